"""What is the memory store's own: that its indexes keep nothing for ever."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from kew import QueueConfig, StoreUnsuitableError, TaskQueueManager
from tests.support.scene import QUEUE
from tests.support.stores import memory_scene


async def test_a_dead_letter_whose_id_another_queue_uses_leaves_its_index_with_its_time():
    scene = memory_scene()
    await scene.declare(dead_letter_ttl_ms=1_000)
    await scene.declare("mails")
    worker = await scene.worker()
    await scene.submit("a")
    await worker.fail(await worker.claim_one())
    await scene.advance(1_000)
    await scene.submit("a", queue="mails")
    indexed = scene.store.namespace.queues[QUEUE].indexed  # type: ignore[attr-defined]  # it is a MemoryStore
    assert len(indexed.dead.page(None, None, 10)) == 1
    await scene.sweep()
    assert indexed.dead.page(None, None, 10) == []
    assert indexed.dead.attempts == {}


def test_a_named_store_is_for_one_event_loop_at_a_time():
    url = f"memory://{__name__.rpartition('.')[2]}"
    first, second = TaskQueueManager(url), TaskQueueManager(url)

    async def work() -> int:
        return 1

    async def use(manager: TaskQueueManager) -> None:
        await manager.create_queue(QueueConfig("q"))
        info = await manager.submit_task(uuid4().hex, "q", "t", work)
        assert await manager.handle(info).result(timeout=30) == 1

    async def begin() -> None:
        await first.initialize()
        with ThreadPoolExecutor(1) as threads, pytest.raises(StoreUnsuitableError, match="loop"):
            await asyncio.wrap_future(threads.submit(asyncio.run, second.initialize()))
        await use(first)

    async def later() -> None:
        async with second:
            await use(second)

    asyncio.run(begin())  # it ends without a shutdown
    asyncio.run(later())


async def test_a_line_that_no_process_claims_from_does_not_grow_with_what_is_cancelled():
    scene = memory_scene()
    await scene.declare()
    await scene.submit("kept")
    for n in range(2_000):
        await scene.submit(f"t{n}")
        await scene.cancel(f"t{n}")
    (line,) = scene.store.namespace.queues["orders"].indexed._lines.values()  # type: ignore[attr-defined]
    assert line.size < 200
