"""Purging: a queue goes with all that is its own, and nothing else does."""

from kew.app.ports import Find, Purge, Queues, ReadSettings
from kew.domain.config import Settings
from kew.domain.requests import SettleOutcome, Word
from kew.domain.task import TaskStatus
from tests.support.scene import Scene, group


async def full_queue(scene: Scene) -> None:
    """A queue with a waiting, a running and an ended task."""
    await scene.declare()
    await scene.submit("ended", "running", "waiting")
    worker = await scene.worker()
    await worker.succeed(await worker.claim_one())
    await worker.claim_one()


async def test_a_purged_queue_is_gone_with_its_tasks(scene: Scene):
    await full_queue(scene)
    await scene.purge("orders")
    assert await scene.store.do(Find(["ended", "running", "waiting"])) == [None] * 3
    assert await scene.store.do(ReadSettings("orders")) is None
    assert list(await scene.store.do(Queues())) == []


async def test_other_queues_keep_everything(scene: Scene):
    await full_queue(scene)
    await scene.declare("mails", max_size=9)
    await scene.submit("m", queue="mails")
    await scene.purge("orders")
    assert list(await scene.store.do(Queues())) == ["mails"]
    assert (await scene.task("m")).status is TaskStatus.QUEUED
    assert await (await scene.worker(queue="mails")).claim_ids() == ["m"]


async def test_ids_of_a_purged_queue_can_be_used_again(scene: Scene):
    await full_queue(scene)
    await scene.purge("orders")
    await scene.declare()
    assert (await scene.try_submit(group("ended", "running")))[0].word is Word.DONE


async def test_a_worker_of_a_purged_queue_cannot_settle(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await scene.purge("orders")
    await scene.declare()
    await scene.submit("a", nonce="another")
    assert await worker.succeed(task) == SettleOutcome(Word.STALE)
    assert (await scene.task("a")).status is TaskStatus.QUEUED


async def test_a_queue_declared_after_a_purge_begins_afresh(scene: Scene):
    await full_queue(scene)
    await scene.purge("orders")
    await scene.declare()
    status = await scene.status()
    assert (status.held, status.state.version, list(status.workers)) == (0, 1, [])
    assert await scene.waiting() == 0


async def test_purging_an_undeclared_queue_is_nothing(scene: Scene):
    await scene.declare()
    await scene.purge("nowhere")
    assert list(await scene.store.do(Queues())) == ["orders"]


async def test_a_late_purge_leaves_alone_the_queue_that_was_declared_since(scene: Scene):
    await scene.declare_settings(Settings(), "orders")
    before = await scene.store.do(ReadSettings("orders"))
    assert before is not None
    assert await scene.store.do(Purge("orders", before.edition))
    await scene.declare_settings(Settings(), "orders")
    await scene.submit("a")
    assert not await scene.store.do(Purge("orders", before.edition))
    assert (await scene.task("a")).status is TaskStatus.QUEUED


async def test_a_purge_without_an_edition_removes_no_declared_queue(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    assert not await scene.store.do(Purge("orders", ""))
    assert (await scene.task("a")).status is TaskStatus.QUEUED


async def test_a_purge_that_is_repeated_has_nothing_left_to_do(scene: Scene):
    await scene.declare_settings(Settings(), "orders")
    before = await scene.store.do(ReadSettings("orders"))
    assert before is not None
    assert await scene.store.do(Purge("orders", before.edition))
    assert await scene.store.do(Purge("orders", before.edition))
