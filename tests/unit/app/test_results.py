"""Waiting for results while the store is away, silent or lossy: on simulated time, with every look counted."""

import asyncio
from typing import TypeVar

import pytest

from kew.adapters.clocks import SystemClock
from kew.adapters.memory.store import MemoryStore
from kew.app.ports import Announce, Declare, Operation, Refused, Watch
from kew.app.results import POLL, Results
from kew.app.submitting.futures import unchanged
from kew.compat import override
from kew.domain.config import Settings
from kew.domain.errors import TaskNotFoundError, TaskQueueError
from kew.domain.events import Succeeded
from kew.domain.requests import ClaimRequest, Group, Settlement
from kew.domain.task import Task
from kew.testing import SimulatedManager, run
from tests.support.scene import call

A = TypeVar("A")


class Watched(MemoryStore):
    """A store that counts looks, and answers, refuses or is silent."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.looks = 0
        self.mood = "answers"

    @override
    async def do(self, operation: Operation[A]) -> A:
        if isinstance(operation, Watch):
            self.looks += 1
            if self.mood == "refuses":
                await asyncio.sleep(0.3)
                raise Refused("it is away")
            if self.mood == "is silent":
                await asyncio.Event().wait()
        return await super().do(operation)

    async def hold(self, *task_ids: str, queue: str = "q") -> None:
        """Let these tasks wait."""
        await self.do(Declare(queue, Settings(), queue))
        groups = [Group(submissions=(call(task_id),)) for task_id in task_ids]
        await self.submit(queue, groups)

    async def complete(self, queue: str = "q") -> None:
        """Run all that waits, in a process that tells nobody here."""
        await self.do(Announce(queue, "elsewhere", ("f",), 10**9))
        request = ClaimRequest(incarnation="elsewhere", lane=1, sequence=1, want=9, lease_ms=10**9)
        for task in (await self.claim(queue, request)).tasks:
            done = Settlement(task_id=task.id, lease=task.lease, event=Succeeded(b"7"))
            await self.settle(queue, [done])


def waiting(results: Results, *task_ids: str, queue: str = "q") -> list[asyncio.Future[Task]]:
    return [results.wait(queue, task_id, unchanged) for task_id in task_ids]


@pytest.mark.parametrize("mood", ["answers", "refuses"])
def test_one_look_every_few_seconds_serves_all_however_long_it_takes(mood: str):
    async def story(_: SimulatedManager) -> None:
        store = Watched()
        await store.hold("a", "b", "c")
        results = Results(store, "here")
        waiters = waiting(results, "a", "b", "c")
        await asyncio.sleep(1)
        store.looks, store.mood = 0, mood
        await asyncio.sleep(600)
        pause = POLL if mood == "answers" else 1.3
        assert store.looks <= 600 / pause + 2
        store.mood = "answers"
        await store.complete()
        assert [task.result for task in await asyncio.gather(*waiters)] == [b"7"] * 3
        results.close()

    run(story)


def test_a_silent_store_is_not_asked_again_while_it_is_silent():
    async def story(_: SimulatedManager) -> None:
        store = Watched()
        await store.hold("a")
        store.mood = "is silent"
        results = Results(store, "here")
        (waiter,) = waiting(results, "a")
        await asyncio.sleep(600)
        assert store.looks == 1
        results.close()
        with pytest.raises(TaskQueueError):
            await waiter
        await asyncio.sleep(0.1)
        assert not list(results._looks)

    run(story)


def test_a_lost_notification_costs_one_poll():
    async def story(_: SimulatedManager) -> None:
        store = Watched()
        await store.hold("a")
        results = Results(store, "here")
        (waiter,) = waiting(results, "a")
        await asyncio.sleep(1)
        await store.complete()
        began = asyncio.get_running_loop().time()
        assert (await waiter).result == b"7"
        assert asyncio.get_running_loop().time() - began <= POLL

    run(story)


def test_who_waits_in_the_wrong_queue_spoils_nobodys_wait():
    async def story(_: SimulatedManager) -> None:
        store = Watched()
        await store.hold("a")
        await store.hold("x", queue="other")
        results = Results(store, "here")
        (right,) = waiting(results, "a")
        wrong = waiting(results, "a", "a", queue="other")
        errors = await asyncio.gather(*wrong, return_exceptions=True)
        assert [type(error) for error in errors] == [TaskNotFoundError] * 2
        assert errors[0] is not errors[1]
        await store.complete()
        assert (await right).result == b"7"
        results.close()

    run(story)


class Odd(Exception):
    """It can't be copied."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} {two}")


def test_an_answer_that_cannot_be_read_is_told_to_all_who_wait():
    async def story(_: SimulatedManager) -> None:
        class Broken(Watched):
            @override
            async def do(self, operation: Operation[A]) -> A:
                if isinstance(operation, Watch):
                    raise Odd(1, 2)
                return await super().do(operation)

        results = Results(Broken(), "here")
        errors = await asyncio.gather(*waiting(results, "a", "a", "b"), return_exceptions=True)
        assert [type(error) for error in errors] == [TaskQueueError] * 3
        assert len(set(map(id, errors))) == 3

    run(story)


def test_nobody_waits_once_it_is_closed():
    async def story(_: SimulatedManager) -> None:
        results = Results(Watched(), "here")
        results.close()
        with pytest.raises(TaskQueueError):
            await results.wait("q", "a", unchanged)

    run(story)
