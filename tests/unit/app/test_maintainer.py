"""What a queue's worker does besides tasks."""

from kew import QueueConfig
from kew.adapters.clocks import SystemClock
from kew.adapters.memory.store import MemoryStore
from kew.app.maintainer import Maintainer
from kew.app.registry import Registry


async def test_a_process_that_has_departed_declares_a_lost_queue_and_is_not_counted_on_again():
    """A submit of the last moment may find that the store forgot the queue."""
    store = MemoryStore(SystemClock())
    settings = QueueConfig("q").settings()
    maintainer = Maintainer(
        "q", incarnation="w1", settings=settings, store=store, registry=Registry("w1")
    )
    await maintainer.introduce()
    before = await store.status("q")
    await maintainer.stop()
    await store.purge("q")
    await maintainer.introduce()
    after = await store.status("q")
    assert before is not None
    assert after is not None
    assert (list(before.workers), list(after.workers)) == (["w1"], [])
