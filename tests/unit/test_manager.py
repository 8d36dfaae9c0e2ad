"""A manager's own life: beginning twice, beginning in vain, ending."""

import asyncio

import pytest

from kew import QueueConfig, StoreUnavailableError, TaskQueueManager
from kew.adapters.clocks import SystemClock
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.store import MemoryStore
from kew.app.ports import Refused
from kew.bootstrap import Parts
from kew.compat import override


class Moody(MemoryStore):
    """A store that counts how often it is opened and closed, and purges only when it wants to."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.opened = self.closed = 0
        self.purges = True

    @override
    async def open(self) -> None:
        await asyncio.sleep(0)
        self.opened += 1

    @override
    async def close(self) -> None:
        self.closed += 1

    @override
    async def purge(self, queue: str) -> None:
        if not self.purges:
            raise Refused("not now")
        await super().purge(queue)


def over(store: Moody, **options: bool) -> TaskQueueManager:
    wakeup = MemoryWakeup(store.namespace.hub)
    return TaskQueueManager(parts=Parts(store=store, wakeup=wakeup), **options)


async def test_initializing_twice_at_once_begins_once():
    store = Moody()
    manager = over(store)
    await asyncio.gather(manager.initialize(), manager.initialize())
    assert (store.opened, store.closed) == (1, 0)
    await manager.shutdown()


async def test_a_start_that_could_not_clean_has_not_begun_and_may_be_tried_again():
    store = Moody()
    async with over(store) as earlier:
        await earlier.create_queue(QueueConfig("q"))
    store.purges = False
    manager = over(store, cleanup_on_start=True)
    with pytest.raises(StoreUnavailableError):
        await manager.initialize()
    assert store.opened == store.closed
    store.purges = True
    await manager.initialize()
    assert await store.queues() == []
    await manager.shutdown()
