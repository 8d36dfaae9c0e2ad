"""Answers of a store that can't be read (a bug, a stranger's bytes): they end no loop, and hold no slot or caller."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, TypeVar

import pytest

from kew import QueueConfig, SubmitUncertainError, TaskQueueManager
from kew.adapters.clocks import SystemClock
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.store import MemoryStore
from kew.app.ports import Operation
from kew.app.working.reporter import Reporter
from kew.bootstrap import Parts
from kew.compat import override
from tests.support import jobs
from tests.support.asking import record_of

LEASE = 0.3


A = TypeVar("A")


class Garbled(MemoryStore):
    """A store that carries out the next calls of one operation, and whose answers make no sense."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.operation, self.left = "", 0

    def garble(self, operation: str, times: int = 1) -> None:
        self.operation, self.left = operation, times

    async def garbled(self, operation: str, answer: Awaitable[A]) -> A:
        answered = await answer
        if operation == self.operation and self.left:
            self.left -= 1
            raise ValueError("not what was expected")
        return answered

    @override
    async def do(self, operation: Operation[A]) -> A:
        return await self.garbled(operation.name, super().do(operation))

    @override
    async def submit(self, *args: Any, **named: Any) -> Any:
        return await self.garbled("submit", super().submit(*args, **named))

    @override
    async def claim(self, *args: Any) -> Any:
        return await self.garbled("claim", super().claim(*args))

    @override
    async def settle(self, *args: Any, **named: Any) -> Any:
        return await self.garbled("settle", super().settle(*args, **named))


@pytest.mark.parametrize("operation", ["claim", "settle", "extend", "peek", "announce"])
async def test_an_answer_that_makes_no_sense_ends_no_loop(
    operation: str, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.CRITICAL, logger="kew")
    store = Garbled()
    parts = Parts(store=store, wakeup=MemoryWakeup(store.namespace.hub))
    async with TaskQueueManager(parts=parts, tick=0.02) as manager:
        config = QueueConfig("q", max_workers=1, lease=LEASE)
        await manager.create_queue(config, functions=[asyncio.sleep])
        store.garble(operation, times=6 if operation == "settle" else 1)
        for n in range(8):
            await manager.submit_task(f"t{n}", "q", "test", asyncio.sleep, None, 0.05)
        async with asyncio.timeout(15):
            for n in range(8):
                assert (await record_of(manager, "q", f"t{n}")).status == "completed"


async def test_a_submit_whose_answer_makes_no_sense_is_uncertain_and_can_be_resumed():
    store = Garbled()
    parts = Parts(store=store, wakeup=MemoryWakeup(store.namespace.hub))
    async with TaskQueueManager(parts=parts) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        store.garble("submit")
        with pytest.raises(SubmitUncertainError) as uncertain:
            await manager.submit_task("t", "q", "test", jobs.echo)
        await manager.submit_task("t", "q", "test", jobs.echo, _token=uncertain.value.token)


async def test_who_waits_for_an_end_is_told_of_an_answer_that_makes_no_sense():
    store = Garbled()
    parts = Parts(store=store, wakeup=MemoryWakeup(store.namespace.hub))
    async with TaskQueueManager(parts=parts) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        await manager.submit_task("t", "q", "test", jobs.echo)
        store.garble("watch")
        with pytest.raises(ValueError, match="expected"):
            await asyncio.wait_for(record_of(manager, "q", "t"), 30)


async def test_an_error_while_outcomes_are_reported_costs_no_slot(monkeypatch, caplog):
    caplog.set_level(logging.CRITICAL, logger="kew")
    noted, failures = Reporter.noted, [ValueError("a bug"), ValueError("a bug")]

    def fails_twice(self: Reporter, *args: Any) -> bool:
        if failures:
            raise failures.pop()
        return noted(self, *args)

    monkeypatch.setattr(Reporter, "noted", fails_twice)
    async with TaskQueueManager("memory://", tick=10) as manager:
        await manager.create_queue(QueueConfig("q", max_workers=1), functions=[asyncio.sleep])
        for n in range(6):
            await manager.submit_task(f"t{n}", "q", "test", asyncio.sleep, None, 0.001)
        async with asyncio.timeout(15):
            for n in range(6):
                assert (await record_of(manager, "q", f"t{n}")).status == "completed"
