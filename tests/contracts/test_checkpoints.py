"""Checkpoints: what a task saved under its lease, for its next attempt."""

from typing import Any

import pytest

from kew.app.ports import Find, Replay, SaveCheckpoint
from kew.domain.events import Snoozed
from kew.domain.requests import LeaseRef, Settlement, Word
from kew.domain.task import Checkpoint, Task, TaskStatus
from tests.support.scene import LEASE_MS, QUEUE, Scene, Worker

LARGE = bytes(range(256)) * 100


async def running(scene: Scene, **options: Any) -> tuple[Worker, Task]:
    """A worker and the task that it holds."""
    await scene.declare(dead_letter_ttl_ms=90_000)
    await scene.submit("a", **options)
    worker = await scene.worker()
    return worker, await worker.claim_one()


async def save(scene: Scene, task: Task, data: bytes, number: int = 1, queue: str = QUEUE) -> Word:
    ref = LeaseRef(task.id, task.lease)
    return await scene.store.do(SaveCheckpoint(queue, ref, number, data))


def saved(task: Task) -> bytes | None:
    return None if task.checkpoint is None else task.checkpoint.data


@pytest.mark.parametrize("data", [b"", b"page 3", b"\x00\n|\xff,=", LARGE])
@pytest.mark.parametrize("options", [{}, {"key": "a,b", "cost": 2}, {"payload": LARGE}])
async def test_the_next_attempt_gets_what_the_last_one_saved(
    scene: Scene, data: bytes, options: dict[str, Any]
):
    worker, task = await running(scene, **options)
    assert task.checkpoint is None
    assert await save(scene, task, data) is Word.DONE
    await worker.fail(task, retry_after_ms=0)
    again = await worker.claim_one()
    assert again.checkpoint == Checkpoint(attempt=1, number=1, size=len(data), data=data)
    assert again.call == task.call


async def test_a_checkpoint_outlives_a_lost_worker_a_release_and_a_snooze(scene: Scene):
    worker, task = await running(scene)
    await save(scene, task, b"one")
    await scene.advance(LEASE_MS)
    second = await worker.claim_one()
    assert saved(second) == b"one"
    await worker.release(second)
    third = await worker.claim_one()
    await save(scene, third, b"two")
    event = Snoozed(error="later", after_ms=0, scope="task")
    await worker.settle(Settlement(task_id="a", lease=third.lease, event=event))
    assert saved(await worker.claim_one()) == b"two"


async def test_a_claim_that_is_repeated_brings_the_checkpoint_again(scene: Scene):
    worker, task = await running(scene)
    await save(scene, task, LARGE)
    await worker.fail(task, retry_after_ms=0)
    request = worker.request()
    first = await scene.store.claim(QUEUE, request)
    again = await scene.store.claim(QUEUE, request)
    assert [saved(one) for one in (*first.tasks, *again.tasks)] == [LARGE, LARGE]


async def test_a_worker_that_has_lost_its_lease_saves_nothing(scene: Scene):
    worker, task = await running(scene)
    await save(scene, task, b"one")
    await scene.advance(LEASE_MS)
    assert await save(scene, task, b"late", 2) is Word.STALE
    again = await worker.claim_one()
    assert await save(scene, task, b"late", 2) is Word.STALE
    assert await save(scene, again, b"two", queue="nowhere") is Word.STALE
    await worker.fail(again, retry_after_ms=0)
    assert await save(scene, again, b"late", 3) is Word.STALE
    assert saved(await worker.claim_one()) == b"one"


async def test_a_late_repeat_does_not_undo_a_later_checkpoint(scene: Scene):
    worker, task = await running(scene)
    assert await save(scene, task, b"one", 1) is Word.DONE
    assert await save(scene, task, b"one", 1) is Word.SAME
    assert await save(scene, task, b"two", 2) is Word.DONE
    assert await save(scene, task, b"one", 1) is Word.SAME
    await worker.fail(task, retry_after_ms=0)
    again = await worker.claim_one()
    assert saved(again) == b"two"
    assert await save(scene, again, b"three", 1) is Word.DONE


async def test_a_run_that_is_to_stop_may_still_save(scene: Scene):
    _, task = await running(scene)
    await scene.cancel("a")
    assert await save(scene, task, b"one") is Word.CANCEL


async def test_readers_see_the_size_alone(scene: Scene):
    _, task = await running(scene)
    await save(scene, task, LARGE)
    [found] = await scene.store.do(Find(["a"]))
    assert isinstance(found, Task)
    assert found.checkpoint == Checkpoint(attempt=1, number=1, size=len(LARGE))


async def test_a_task_that_completes_or_is_cancelled_has_none_any_more(scene: Scene):
    worker, task = await running(scene)
    await save(scene, task, LARGE)
    await worker.succeed(task)
    assert (await scene.task("a")).checkpoint is None
    await scene.submit("b")
    other = await worker.claim_one()
    await save(scene, other, LARGE)
    await worker.fail(other, retry_after_ms=1_000)
    await scene.cancel("b")
    cancelled = await scene.task("b")
    assert (cancelled.status, cancelled.checkpoint) == (TaskStatus.CANCELLED, None)


async def test_a_dead_letter_keeps_it_and_its_replay_goes_on_from_there(scene: Scene):
    worker, task = await running(scene)
    await save(scene, task, b"one")
    await worker.fail(task)
    assert await scene.replay("a") is Word.DONE
    again = await worker.claim_one()
    assert saved(again) == b"one"
    await worker.fail(again)
    assert await scene.store.do(Replay(QUEUE, "a", None, b"new")) is Word.DONE
    assert (await worker.claim_one()).checkpoint is None


async def test_it_goes_with_the_record(scene: Scene):
    worker, task = await running(scene)
    await save(scene, task, LARGE)
    await worker.fail(task)
    await scene.advance(90_000)
    await scene.sweep()
    assert await scene.find("a") is None
    await scene.submit("a")
    worker = await scene.worker("w2")
    fresh = await worker.claim_one()
    assert (fresh.attempt, fresh.checkpoint) == (1, None)
