"""Watching: whoever wants to know of a task's end is told, once it has ended, by whatever ended it."""

from kew.app.notices import TaskEnded
from kew.app.ports import Watch
from kew.domain.task import TaskStatus, pinned_name
from tests.support.scene import Scene
from tests.support.tasks import readable


async def test_watching_tells_the_records_like_finding_does(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    found, absent = map(readable, await scene.store.do(Watch("orders", ["a", "nobody"], "w1")))
    assert found is not None
    assert (found.id, found.watchers) == ("a", ("w1",))
    assert absent is None


async def test_a_task_of_another_queue_is_not_found_by_watching(scene: Scene):
    await scene.declare("orders")
    await scene.declare("mails")
    await scene.submit("a", queue="mails")
    assert await scene.store.do(Watch("orders", ["a"], "w9")) == [None]
    assert await scene.store.do(Watch("nowhere", ["a"], "w9")) == [None]
    assert (await scene.task("a")).watchers == ()


async def test_a_watcher_is_told_when_the_task_completes(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    listener = await scene.listen("w9")
    await scene.store.do(Watch("orders", ["a"], "w9"))
    worker = await scene.worker()
    await worker.succeed(await worker.claim_one())
    assert await listener.next() == TaskEnded("a")


async def test_who_settles_is_not_told_what_it_tells(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    worker = await scene.worker("w1")
    listeners = [await scene.listen(name) for name in ("w1", "w2")]
    for name in ("w1", "w2"):
        await scene.store.do(Watch("orders", ["a", "b"], name))
    await worker.succeed(await worker.claim_one())
    await scene.cancel("b")
    assert [await listeners[1].next() for _ in "ab"] == [TaskEnded("a"), TaskEnded("b")]
    assert await listeners[0].next() == TaskEnded("b")


async def test_a_holder_is_told_of_an_end_that_is_not_its_word(scene: Scene):
    await scene.declare(max_deliveries=0)
    await scene.submit("a")
    worker = await scene.worker("w1")
    listener = await scene.listen("w1")
    await scene.store.do(Watch("orders", ["a"], "w1"))
    await worker.claim_one(lease_ms=1_000)
    await scene.advance(1_000)
    await scene.sweep()
    assert await listener.next() == TaskEnded("a")


async def test_every_watcher_is_told(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    listeners = [await scene.listen(name) for name in ("w7", "w8", "w9")]
    for name in ("w7", "w8", "w9"):
        await scene.store.do(Watch("orders", ["a"], name))
    await scene.cancel("a")
    assert [await listener.next() for listener in listeners] == [TaskEnded("a")] * 3


async def test_watching_twice_is_watching_once(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    listener = await scene.listen("w9")
    for _ in range(2):
        await scene.store.do(Watch("orders", ["a", "b"], "w9"))
    await scene.cancel("a")
    await scene.cancel("b")
    assert [await listener.next(), await listener.next()] == [TaskEnded("a"), TaskEnded("b")]
    assert (await scene.task("a")).watchers == ("w9",)


async def test_a_task_that_has_ended_is_told_in_the_answer_and_not_announced(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    await scene.cancel("a")
    listener = await scene.listen("w9")
    (found,) = map(readable, await scene.store.do(Watch("orders", ["a"], "w9")))
    assert found is not None
    assert (found.status, found.watchers) == (TaskStatus.CANCELLED, ())
    await scene.store.do(Watch("orders", ["b"], "w9"))
    await scene.cancel("b")
    assert await listener.next() == TaskEnded("b")


async def test_a_retry_is_no_end(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    listener = await scene.listen("w9")
    await scene.store.do(Watch("orders", ["a"], "w9"))
    worker = await scene.worker()
    await worker.fail(await worker.claim_one(), retry_after_ms=0)
    await worker.release(await worker.claim_one())
    assert listener.so_far() == []
    await worker.fail(await worker.claim_one())
    assert await listener.next() == TaskEnded("a")


async def test_a_watcher_is_told_when_a_task_is_lost_for_good(scene: Scene):
    await scene.declare(max_deliveries=0)
    await scene.submit("a")
    listener = await scene.listen("w9")
    await scene.store.do(Watch("orders", ["a"], "w9"))
    await (await scene.worker()).claim_one(lease_ms=1_000)
    await scene.advance(1_000)
    await scene.sweep()
    assert await listener.next() == TaskEnded("a")


async def test_a_watcher_is_told_when_a_pinned_task_is_orphaned(scene: Scene):
    await scene.declare()
    name = pinned_name("w1", "closure")
    await scene.worker("w1", name, ttl_ms=1_000)
    await scene.submit("a", function=name)
    await (await scene.worker("w2", "f")).claim_ids()
    listener = await scene.listen("w9")
    await scene.store.do(Watch("orders", ["a"], "w9"))
    await scene.advance(1_000)
    await scene.sweep()
    assert await listener.next() == TaskEnded("a")


async def test_watching_changes_nothing_else(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await scene.store.do(Watch("orders", ["a"], "w9"))
    assert await scene.task("a") == task.moved(watchers=("w9",))
    assert (await worker.succeed(task)).status is TaskStatus.COMPLETED


async def test_watchers_outlive_a_replay(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await scene.store.do(Watch("orders", ["a"], "w9"))
    listener = await scene.listen("w9")
    await scene.cancel("a")
    await scene.replay("a")
    await scene.cancel("a")
    assert [await listener.next(), await listener.next()] == [TaskEnded("a")] * 2
