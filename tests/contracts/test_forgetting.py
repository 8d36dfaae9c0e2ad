"""Removing the records of tasks that have ended, before they expire."""

from kew.app.ports import Forget
from kew.domain.requests import LifeRef, Word
from tests.support.scene import QUEUE, Scene, group

LARGE = bytes(5000)


async def forget(scene: Scene, *task_ids: str) -> list[Word]:
    tasks = [await scene.task(task_id) for task_id in task_ids]
    refs = [LifeRef(task.id, task.life) for task in tasks]
    return list(await scene.store.do(Forget(QUEUE, refs)))


async def test_a_completed_task_is_removed_with_its_result(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await scene.submit("a", payload=LARGE)
    await worker.succeed(await worker.claim_one(), LARGE)
    assert await forget(scene, "a") == [Word.DONE]
    assert await scene.find("a") is None
    assert (await scene.try_submit(group("a")))[0].word is Word.DONE
    assert (await worker.claim_one()).call.payload == b""


async def test_a_cancelled_task_is_removed(scene: Scene):
    await scene.declare()
    await scene.submit("a", payload=LARGE)
    await scene.cancel("a")
    assert await forget(scene, "a") == [Word.DONE]
    assert await scene.find("a") is None


async def test_a_task_that_has_not_ended_is_not_removed(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await scene.submit("runs", "waits")
    task = await worker.claim_one()
    assert await forget(scene, "runs", "waits") == [Word.ILLEGAL, Word.ILLEGAL]
    await worker.fail(task, retry_after_ms=1000)
    assert await forget(scene, "runs") == [Word.ILLEGAL]
    assert (await scene.task("waits")).is_waiting
