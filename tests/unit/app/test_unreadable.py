"""Answers of a store that can't be read (a bug, a stranger's bytes): they end no loop, and hold no slot or caller."""

import asyncio
import logging
from typing import Any

import pytest

from kew import QueueConfig, SubmitUncertainError, TaskQueueManager
from kew.adapters.clocks import SystemClock
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.store import MemoryStore
from kew.bootstrap import Parts
from tests.support import jobs
from tests.support.asking import record_of

LEASE = 0.3


class Garbled(MemoryStore):
    """A store that carries out the next calls of one operation, and whose answers make no sense."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.operation, self.left = "", 0

    def garble(self, operation: str, times: int = 1) -> None:
        self.operation, self.left = operation, times

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name in ("operation", "left") or name != self.operation or not self.left:
            return found

        async def garbled(*args: object) -> object:
            await found(*args)
            self.left -= 1
            raise ValueError("not what was expected")

        return garbled


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
            await asyncio.wait_for(record_of(manager, "q", "t"), 5)
