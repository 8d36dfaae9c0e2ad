"""What is the memory store's own: that its indexes keep nothing for ever."""

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
    book = scene.store.namespace.queues[QUEUE].book  # type: ignore[attr-defined]  # it is a MemoryStore
    assert len(book.dead_letters(None, 10)) == 1
    await scene.sweep()
    assert book.dead_letters(None, 10) == []
