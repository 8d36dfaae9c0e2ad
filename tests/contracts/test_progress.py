"""Progress: the last report of the current attempt, kept with the task under its lease."""

import pytest

from kew.app.ports import Extend
from kew.domain.events import Snoozed
from kew.domain.progress import ProgressReport, shown_progress
from kew.domain.requests import LeaseRef, Settlement, Word
from kew.domain.task import Progress, Task, TaskStatus
from tests.support.scene import LEASE_MS, QUEUE, START_MS, Scene, Worker

HALF = ProgressReport(1, 500_000, "page 15 of 30")
DONE = ProgressReport(2, 1_000_000)


async def running(scene: Scene, *task_ids: str, **settings: int) -> tuple[Worker, list[Task]]:
    """A queue whose worker holds these tasks."""
    await scene.declare(**settings)
    await scene.submit(*task_ids)
    worker = await scene.worker()
    return worker, await worker.claim(len(task_ids))


async def report(scene: Scene, task: Task, report: ProgressReport | None) -> Word:
    ref = LeaseRef(task.id, task.lease)
    [word] = await scene.store.do(Extend(QUEUE, [ref], LEASE_MS, [report]))
    return word


async def test_a_report_is_kept_with_the_task_and_extends_its_lease(scene: Scene):
    _, [task] = await running(scene, "a")
    await scene.advance(40)
    assert await report(scene, task, HALF) is Word.DONE
    found = await scene.task("a")
    assert found.progress == Progress(
        attempt=1, number=1, parts=500_000, at=START_MS + 40, message="page 15 of 30"
    )
    assert found.lease_until == START_MS + 40 + LEASE_MS
    assert found.progress.value == 0.5


@pytest.mark.parametrize("message", ["", "a,b=c 100%", "é\u2028 ☃\n\x00", "1.2.3", "%2C" * 60])
async def test_a_message_of_any_text_arrives(scene: Scene, message: str):
    _, [task] = await running(scene, "a")
    await report(scene, task, ProgressReport(1, 0, message))
    progress = (await scene.task("a")).progress
    assert progress is not None
    assert (progress.value, progress.message) == (0, message)


async def test_only_the_last_report_is_kept_and_a_late_repeat_of_an_earlier_one_is_ignored(
    scene: Scene,
):
    _, [task] = await running(scene, "a")
    await report(scene, task, HALF)
    await report(scene, task, DONE)
    await scene.advance(10)
    assert await report(scene, task, HALF) is Word.DONE
    await report(scene, task, None)
    progress = (await scene.task("a")).progress
    assert progress == Progress(attempt=1, number=2, parts=1_000_000, at=START_MS)


async def test_a_call_carries_reports_of_some_runs_and_extends_all_of_them(scene: Scene):
    _, tasks = await running(scene, "a", "b", "c")
    await scene.advance(10)
    refs = [LeaseRef(task.id, task.lease) for task in [*tasks, tasks[0]]]
    reports = [DONE, None, HALF, HALF]
    words = await scene.store.do(Extend(QUEUE, refs, LEASE_MS, reports))
    assert set(words) == {Word.DONE}
    found = [await scene.task(name) for name in "abc"]
    assert [task.progress and task.progress.value for task in found] == [1.0, None, 0.5]
    assert {task.lease_until for task in found} == {START_MS + 10 + LEASE_MS}


async def test_a_report_under_a_lease_that_has_ended_changes_nothing(scene: Scene):
    worker, [task] = await running(scene, "a")
    await report(scene, task, HALF)
    await scene.advance(LEASE_MS)
    assert await report(scene, task, DONE) is Word.STALE
    [again] = await worker.claim()
    assert await report(scene, task, DONE) is Word.STALE
    await report(scene, again, ProgressReport(1, 100_000))
    assert await report(scene, task, DONE) is Word.STALE
    progress = (await scene.task("a")).progress
    assert progress is not None
    assert (progress.attempt, progress.value) == (2, 0.1)


async def test_a_run_that_is_to_stop_may_still_report(scene: Scene):
    _, [task] = await running(scene, "a")
    await scene.cancel("a")
    assert await report(scene, task, HALF) is Word.CANCEL
    assert shown_progress(await scene.task("a")) is not None


async def test_the_progress_of_a_failed_attempt_is_shown_until_the_next_one_begins(scene: Scene):
    worker, [task] = await running(scene, "a")
    await report(scene, task, HALF)
    await worker.fail(task, retry_after_ms=0)
    waiting = await scene.task("a")
    assert waiting.status is TaskStatus.RETRY
    assert shown_progress(waiting) == waiting.progress is not None
    [again] = await worker.claim()
    assert shown_progress(again) is None
    assert shown_progress(await scene.task("a")) is None
    await report(scene, again, HALF)
    await worker.fail(again)
    dead = await scene.task("a")
    assert dead.status is TaskStatus.FAILED
    assert shown_progress(dead) == Progress(
        attempt=2, number=1, parts=500_000, at=START_MS, message=HALF.message
    )


async def test_a_task_that_completes_has_no_progress_any_more(scene: Scene):
    worker, [task, other] = await running(scene, "a", "b")
    for each in (task, other):
        await report(scene, each, DONE)
        await worker.succeed(each, b"r" * 2_000)
    for name in "ab":
        ended = await scene.task(name)
        assert (ended.status, ended.progress) == (TaskStatus.COMPLETED, None)
        assert ended.result == b"r" * 2_000


async def test_snoozes_and_keys_stand_beside_progress(scene: Scene):
    await scene.declare()
    await scene.submit("a", key="a,b", cost=3)
    worker = await scene.worker()
    for snoozes in range(2):
        task = await worker.claim_one()
        assert task.snoozes == snoozes
        await report(scene, task, HALF)
        event = Snoozed(error="later", after_ms=0, scope="task")
        await worker.settle(Settlement(task_id="a", lease=task.lease, event=event))
    found = await scene.task("a")
    assert (found.call.key, found.call.cost, found.snoozes) == ("a,b", 3, 2)
    assert found.progress is not None
    assert found.progress.attempt == 2
