"""The outbox: what goes out when, and what each caller is told whatever the store does."""

import asyncio
from collections.abc import Collection
from typing import Any

import pytest

from kew import (
    QueueConfig,
    StoreUnavailableError,
    SubmitUncertainError,
    TaskInfo,
    TaskQueueManager,
)
from kew.adapters.clocks import SystemClock
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.store import MemoryStore
from kew.app.ports import Ambiguous, Refused, Submitted, Told
from kew.bootstrap import Parts
from kew.compat import override
from kew.domain.requests import ClaimRequest, Group
from tests.support import jobs


class Posting(MemoryStore):
    """A store that notes the ids of each round trip, and answers when it is told to."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.trips: list[list[str]] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.error: Exception | None = None

    @override
    def post(
        self, queue: str, groups: Collection[Group], claim: ClaimRequest | None, told: Told
    ) -> "asyncio.Future[Submitted]":
        self.trips.append([call.id for group in groups for call in group.submissions])
        return super().post(queue, groups, claim, told)

    @override
    async def submit(
        self, queue: str, groups: Collection[Group], claim: ClaimRequest | None = None
    ) -> Submitted:
        await self.answers.wait()
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return await super().submit(queue, groups, claim)


@pytest.fixture
def store() -> Posting:
    return Posting()


@pytest.fixture
async def manager(store: Posting) -> Any:
    parts = Parts(store=store, wakeup=MemoryWakeup(store.namespace.hub))
    async with TaskQueueManager(parts=parts, patience=0.2) as one:
        await one.create_queue(QueueConfig("q"), work=False, functions=[jobs.echo])
        yield one


def submit(manager: TaskQueueManager, task_id: str) -> Any:
    return manager.submit_task(task_id, "q", "t", jobs.echo)


# --- what goes out when


async def test_an_awaited_submit_goes_out_at_once_where_nothing_else_does(manager, store):
    turns: list[int] = []
    asyncio.get_running_loop().call_soon(lambda: turns.append(len(store.trips)))
    await submit(manager, "lone")
    assert turns == [1]  # it had gone when the loop's next turn began


async def test_a_submit_that_nobody_awaits_yet_waits_for_what_else_comes_in_the_same_turn(
    manager, store
):
    first, second = submit(manager, "a"), submit(manager, "b")
    assert store.trips == []
    assert [info.task_id for info in (await first, await second)] == ["a", "b"]
    assert store.trips == [["a", "b"]]


async def test_submits_gathered_or_in_a_task_group_share_a_round_trip(manager, store):
    await asyncio.gather(*(submit(manager, f"g{n}") for n in range(5)))
    async with asyncio.TaskGroup() as group:
        for n in range(5):
            group.create_task(submit(manager, f"t{n}"))
    assert [len(trip) for trip in store.trips] == [5, 5]


async def test_of_many_who_await_in_one_turn_the_first_goes_alone_and_the_others_together(
    manager, store
):
    async def awaiting(task_id: str) -> TaskInfo:
        info: TaskInfo = await submit(manager, task_id)
        return info

    await asyncio.gather(*(awaiting(f"w{n}") for n in range(5)))
    assert [len(trip) for trip in store.trips] == [1, 4]


async def test_while_a_round_trip_is_on_its_way_an_awaited_submit_waits_for_the_loops_turn(
    manager, store
):
    store.answers.clear()
    first = asyncio.create_task(submit(manager, "first"))
    await asyncio.sleep(0)
    second, third = (asyncio.create_task(submit(manager, name)) for name in ("second", "third"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    store.answers.set()
    await asyncio.gather(first, second, third)
    assert store.trips == [["first"], ["second", "third"]]


async def test_submits_one_after_another_leave_the_loop_to_others(manager):
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    for n in range(50):
        await submit(manager, f"s{n}")
    beside.cancel()
    assert turns >= 50


# --- what callers are told


async def test_a_submit_that_is_on_its_way_at_an_impatient_shutdown_is_in_doubt(manager, store):
    store.answers.clear()
    submitting = asyncio.create_task(submit(manager, "doubtful"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert store.trips == [["doubtful"]]
    await manager.shutdown(timeout=0)
    with pytest.raises(SubmitUncertainError):
        await submitting


async def test_a_submit_that_has_not_gone_out_at_an_impatient_shutdown_is_surely_not_stored(
    manager, store
):
    store.answers.clear()
    on_their_way = []
    for name in ("a", "b"):  # as many round trips as may be on their way at once
        on_their_way.append(asyncio.create_task(submit(manager, name)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    waiting = asyncio.create_task(submit(manager, "waiting"))
    await asyncio.sleep(0)
    assert store.trips == [["a"], ["b"]]
    await manager.shutdown(timeout=0)
    with pytest.raises(StoreUnavailableError):
        await waiting
    for each in on_their_way:
        with pytest.raises(SubmitUncertainError):
            await each


async def test_a_submit_without_an_answer_is_repeated_and_told_its_answer(manager, store):
    store.error = Ambiguous("no reply")
    info = await submit(manager, "again")
    assert info.task_id == "again"
    assert await manager.get_task_status("again")
    assert await submit(manager, "next")


async def test_a_shutdown_while_a_submit_is_repeated_leaves_it_in_doubt(manager, store):
    store.error = Ambiguous("no reply")
    submitting = asyncio.create_task(submit(manager, "again"))
    for _ in range(6):  # it has failed once, and pauses
        await asyncio.sleep(0)
    await manager.shutdown(timeout=0)
    with pytest.raises(SubmitUncertainError):
        await submitting


async def test_an_answer_that_cannot_be_read_is_told_and_the_next_submit_goes_out(manager, store):
    store.error = ValueError("not an answer")
    with pytest.raises(SubmitUncertainError):
        await submit(manager, "unreadable")
    assert (await submit(manager, "next")).task_id == "next"


async def test_a_store_that_raises_before_it_asks_anything_is_told_and_blocks_nobody(
    manager, store, monkeypatch
):
    def broken(*_: object) -> None:
        raise TypeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(store, "post", broken)
        with pytest.raises(SubmitUncertainError):
            await submit(manager, "unlucky")
    assert (await submit(manager, "next")).task_id == "next"


async def test_a_store_that_refuses_until_the_patience_is_over_has_surely_stored_nothing(
    manager, store, monkeypatch
):
    async def refusing(*_: object) -> None:
        raise Refused("full")

    with monkeypatch.context() as patched:
        patched.setattr(store, "submit", refusing)
        with pytest.raises(StoreUnavailableError):
            await submit(manager, "refused")
    assert (await submit(manager, "refused")).task_id == "refused"
