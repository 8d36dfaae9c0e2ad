"""Replay: a person puts a failed or cancelled task back, and it starts afresh."""

import attrs
import pytest

from kew.app.ports import Replay
from kew.domain.requests import SettleOutcome, Word
from kew.domain.task import TaskStatus
from tests.support.scene import QUEUE, START_MS, Scene, Worker

LARGE = bytes(range(256)) * 5  # too large for a record


async def dead_letter(scene: Scene, worker: Worker, task_id: str = "a") -> None:
    await scene.submit(task_id)
    await worker.fail(await worker.claim_one(), retry_after_ms=0)
    await worker.fail(await worker.claim_one(), error="dead")


async def test_a_failed_task_waits_again_with_its_counts_forgotten(scene: Scene):
    await scene.declare(breaker_failures=0)
    worker = await scene.worker()
    await dead_letter(scene, worker)
    await scene.advance(500)
    assert await scene.replay("a") is Word.DONE
    after = await scene.task("a")
    assert (after.status, after.failures, after.losses) == (TaskStatus.QUEUED, 0, 0)
    assert (after.ready_at, after.ended_at, after.expires_at) == (START_MS + 500, 0, 0)
    assert after.attempt == 2


async def test_a_replayed_task_runs_and_its_attempts_go_on_counting(scene: Scene):
    await scene.declare(breaker_failures=0)
    worker = await scene.worker()
    await dead_letter(scene, worker)
    await scene.replay("a")
    task = await worker.claim_one()
    assert task.attempt == 3
    assert await worker.succeed(task, b"ok") == SettleOutcome(Word.DONE, TaskStatus.COMPLETED)


async def test_a_cancelled_task_can_be_replayed_and_is_no_longer_asked_to_stop(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await scene.cancel("a")
    await worker.release(task)
    assert await scene.replay("a") is Word.DONE
    assert await worker.extend(await worker.claim_one()) == [Word.DONE]


async def test_a_task_that_was_replayed_too_often_lost_may_be_lost_again(scene: Scene):
    await scene.declare(max_deliveries=0)
    await scene.submit("a")
    worker = await scene.worker()
    await worker.claim_one(lease_ms=1_000)
    await scene.advance(1_000)
    await scene.sweep()
    assert (await scene.task("a")).status is TaskStatus.FAILED
    await scene.replay("a")
    await worker.claim_one(lease_ms=1_000)
    await scene.advance(1_000)
    await scene.sweep()
    assert (await scene.task("a")).losses == 1


async def test_replaying_twice_is_replaying_once(scene: Scene):
    await scene.declare(breaker_failures=0)
    worker = await scene.worker()
    await dead_letter(scene, worker)
    await scene.replay("a")
    await scene.advance(10)
    assert await scene.replay("a") is Word.SAME
    assert (await scene.task("a")).ready_at == START_MS


async def test_a_running_task_is_not_replayed(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    running = await (await scene.worker()).claim_one()
    assert await scene.replay("a") is Word.SAME
    assert await scene.task("a") == running


async def test_a_completed_task_cannot_be_replayed(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    await worker.succeed(await worker.claim_one())
    assert await scene.replay("a") is Word.ILLEGAL
    assert (await scene.task("a")).status is TaskStatus.COMPLETED


async def test_replaying_what_nobody_knows_says_missing(scene: Scene):
    await scene.declare("orders")
    await scene.declare("mails")
    await scene.submit("a", queue="mails")
    await scene.cancel("a", queue="mails")
    assert await scene.replay("nobody") is Word.MISSING
    assert await scene.replay("a", queue="orders") is Word.MISSING
    assert await scene.replay("a", queue="nowhere") is Word.MISSING


async def test_a_replay_that_names_an_earlier_task_of_the_id_changes_nothing(scene: Scene):
    await scene.declare(task_ttl_ms=70_000)
    await scene.submit("a")
    await scene.cancel("a")
    old = await scene.task("a")
    await scene.advance(70_000)
    await scene.submit("a", nonce="another")
    await scene.cancel("a")
    assert await scene.replay("a", life=old.life) is Word.MISSING
    assert await scene.replay("a", life=attrs.evolve(old.life, ticket=old.ticket + 1)) is Word.DONE


async def test_a_replay_may_exceed_max_size(scene: Scene):
    await scene.declare(max_size=1)
    await scene.submit("a")
    await scene.cancel("a")
    await scene.submit("b")
    assert await scene.replay("a") is Word.DONE
    assert await scene.waiting() == 2


async def test_a_replayed_task_does_not_expire(scene: Scene):
    await scene.declare(task_ttl_ms=70_000)
    await scene.submit("a")
    await scene.cancel("a")
    await scene.replay("a")
    await scene.advance(100_000_000)
    assert (await scene.sweep()).removed == 0
    assert (await scene.task("a")).status is TaskStatus.QUEUED


async def test_a_settle_repeated_after_a_replay_is_still_answered(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await worker.fail(task)
    await scene.replay("a")
    assert await worker.fail(task) == SettleOutcome(Word.SAME, TaskStatus.FAILED)


async def test_a_replay_that_arrives_twice_puts_back_once_though_it_failed_again_meanwhile(
    scene: Scene,
):
    await scene.declare(breaker_failures=0)
    await scene.submit("a", at_most_once=True)
    worker = await scene.worker()
    await worker.release(await worker.claim_one(), started=True)
    seen = (await scene.task("a")).life
    assert await scene.replay("a", life=seen) is Word.DONE
    await worker.release(await worker.claim_one(), started=True)
    assert await scene.replay("a", life=seen) is Word.SAME
    failed = await scene.task("a")
    assert (failed.status, failed.attempt, failed.replays) == (TaskStatus.FAILED, 2, 1)
    assert await scene.replay("a", life=failed.life) is Word.DONE


@pytest.mark.parametrize("before", [b"", b"before", LARGE])
@pytest.mark.parametrize("after", [b"", b"after", LARGE[::-1]])
async def test_a_replay_may_change_the_payload(scene: Scene, before: bytes, after: bytes):
    await scene.declare(breaker_failures=0)
    worker = await scene.worker()
    await scene.submit("a", payload=before)
    await worker.fail(await worker.claim_one(), error="boom")
    life = (await scene.task("a")).life
    replay = Replay(QUEUE, "a", life, after)
    assert await scene.store.do(replay) is Word.DONE
    assert (await scene.task("a")).error == "boom"
    task = await worker.claim_one()
    assert task.call.payload == after
    await worker.fail(task)
    assert await scene.store.do(replay) is Word.SAME
    assert await scene.replay("a") is Word.DONE
    assert (await worker.claim_one()).call.payload == after
