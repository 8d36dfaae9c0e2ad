"""Cancelling many tasks by name: those that wait are cancelled, in the life that is meant, and nothing else."""

import pytest

from kew.app.notices import TaskEnded
from kew.app.ports import CancelAll, ListWaiting, Watch
from kew.domain.listing import WaitingFilter
from kew.domain.requests import LifeRef, Word
from kew.domain.task import Life, TaskStatus, pinned_name
from tests.support.scene import QUEUE, Scene, call, group

ROOM = {"max_workers": 100, "max_size": 10_000, "breaker_failures": 0}


async def refs_of(scene: Scene, *task_ids: str) -> list[LifeRef]:
    return [LifeRef(one, (await scene.task(one)).life) for one in task_ids]


async def cancel_all(scene: Scene, *refs: LifeRef) -> list[Word]:
    return list(await scene.store.do(CancelAll(QUEUE, refs)))


async def test_what_waits_is_cancelled_wherever_it_waits(scene: Scene):
    await scene.declare(**ROOM)
    worker = await scene.worker()
    await scene.submit("retried")
    await worker.fail(await worker.claim_one(), retry_after_ms=1_000)
    await scene.submit("stranger", function="g")
    assert await worker.claim_ids() == []  # sets it aside
    await scene.submit("line", "line too")
    await scene.submit("later", delay_ms=5_000)
    await scene.submit("keyed", key="a")
    await scene.submit("closure", function=pinned_name("w9", "c"))
    ids = ["retried", "stranger", "line", "later", "keyed", "closure"]
    assert await cancel_all(scene, *await refs_of(scene, *ids)) == [Word.DONE] * 6
    assert {(await scene.task(one)).status for one in ids} == {TaskStatus.CANCELLED}
    assert await scene.waiting() == 1
    assert await worker.claim_ids() == ["line too"]


async def test_nothing_else_is_touched(scene: Scene):
    await scene.declare(**ROOM)
    worker = await scene.worker()
    await scene.submit("runs", "ends", "fails", "replayed", "cancelled")
    refs = await refs_of(scene, "runs", "ends", "fails", "replayed", "cancelled")
    await scene.cancel("cancelled")
    runs, ends, fails, replayed = await worker.claim(4)
    await worker.succeed(ends)
    await worker.fail(fails)
    await worker.fail(replayed)
    await scene.replay("replayed")
    other = LifeRef("replayed", Life(999, 0))
    words = await cancel_all(scene, *refs, LifeRef("nothing", Life(1, 0)), other)
    assert words == [
        *(Word.ILLEGAL, Word.ENDED, Word.ENDED, Word.ENDED, Word.SAME, Word.MISSING, Word.MISSING),
    ]
    assert not (await scene.task("runs")).cancel_requested
    assert (await worker.succeed(runs)).word is Word.DONE
    assert await worker.claim_ids() == ["replayed"]


async def test_a_repeat_and_a_task_named_twice_change_nothing_more(scene: Scene):
    await scene.declare(**ROOM)
    await scene.submit("a")
    (ref,) = await refs_of(scene, "a")
    assert await cancel_all(scene, ref, ref) == [Word.DONE, Word.SAME]
    assert await cancel_all(scene, ref) == [Word.SAME]
    assert await scene.waiting() == 0


async def test_without_a_queue_nothing_is_there(scene: Scene):
    assert await cancel_all(scene, LifeRef("a", Life(1, 0))) == [Word.MISSING]


async def test_watchers_are_notified(scene: Scene):
    await scene.declare(**ROOM)
    listener = await scene.listen("w9")
    await scene.submit("a")
    await scene.store.do(Watch(QUEUE, ["a"], "w9"))
    await cancel_all(scene, *await refs_of(scene, "a"))
    assert await listener.next() == TaskEnded("a")


@pytest.mark.parametrize("left", [0, 300])
async def test_a_long_line_is_cancelled_in_pages_and_what_is_left_starts(scene: Scene, left: int):
    """A line that keeps the entries of what was cancelled still grants what stands behind and between them."""
    await scene.declare(**ROOM)
    worker = await scene.worker("w1", "f", "g")
    kept = [f"k{n:04}" for n in range(left)]
    for n in range(0, 2_400, 100):
        gone = [call(f"t{n + each:04}", function="f") for each in range(100)]
        await scene.try_submit(group(*gone))
    for n in range(0, left, 100):
        await scene.try_submit(group(*(call(one, function="g") for one in kept[n : n + 100])))
    await scene.submit("t between", function="f")
    after, cancelled = None, 0
    while True:
        page = await scene.store.do(ListWaiting(QUEUE, WaitingFilter(function="f"), after, 100))
        assert page is not None
        words = await cancel_all(scene, *(LifeRef(task.id, task.life) for task in page.tasks))
        cancelled += words.count(Word.DONE)
        after = page.after
        if after is None:
            break
    assert cancelled == 2_401
    assert await scene.waiting() == left
    assert await worker.claim_ids(90) == kept[:90]
