"""Cancelling: a waiting task ends at once, a running one is asked to stop, an ended one stays as it is."""

from kew.domain.requests import SettleOutcome, Word
from kew.domain.task import TaskStatus
from tests.support.scene import START_MS, Scene

CANCELLED = TaskStatus.CANCELLED


async def test_a_waiting_task_is_cancelled_at_once(scene: Scene):
    await scene.declare(task_ttl_ms=100_000)
    await scene.submit("a")
    assert await scene.cancel("a") is Word.DONE
    after = await scene.task("a")
    assert (after.status, after.ended_at, after.expires_at) == (
        CANCELLED,
        START_MS,
        START_MS + 100_000,
    )
    assert await (await scene.worker()).claim() == []


async def test_a_deferred_and_a_retrying_task_can_be_cancelled(scene: Scene):
    await scene.declare()
    await scene.submit("deferred", delay_ms=1_000)
    await scene.submit("retrying")
    worker = await scene.worker()
    await worker.fail(await worker.claim_one(), retry_after_ms=1_000)
    assert await scene.cancel("deferred") is Word.DONE
    assert await scene.cancel("retrying") is Word.DONE
    await scene.advance(2_000)
    assert await worker.claim() == []


async def test_a_cancelled_task_no_longer_counts_towards_max_size(scene: Scene):
    await scene.declare(max_size=1)
    await scene.submit("a")
    await scene.cancel("a")
    await scene.submit("b")
    assert await scene.waiting() == 1


async def test_a_running_task_is_asked_to_stop_and_runs_on_until_it_does(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    assert await scene.cancel("a") is Word.CANCEL
    after = await scene.task("a")
    assert (after.status, after.cancel_requested) == (TaskStatus.PROCESSING, True)
    assert await worker.extend(task) == [Word.CANCEL]


async def test_asking_a_running_task_again_is_the_same_question(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await (await scene.worker()).claim_one()
    await scene.cancel("a")
    assert await scene.cancel("a") is Word.CANCEL


async def test_a_task_asked_to_stop_that_fails_is_cancelled_and_keeps_its_error(scene: Scene):
    await scene.declare(breaker_failures=1)
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await scene.cancel("a")
    outcome = await worker.fail(task, retry_after_ms=0, error="interrupted")
    assert outcome == SettleOutcome(Word.DONE, CANCELLED)
    after = await scene.task("a")
    assert (after.error, after.failures) == ("interrupted", 0)
    assert (await scene.status()).state.breaker.state == "closed"


async def test_a_repeated_failure_of_a_task_asked_to_stop_gets_the_same_answer(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await scene.cancel("a")
    await worker.fail(task)
    assert await worker.fail(task) == SettleOutcome(Word.SAME, CANCELLED)


async def test_a_task_asked_to_stop_that_is_handed_back_is_cancelled(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await scene.cancel("a")
    assert await worker.release(task, started=False) == SettleOutcome(Word.DONE, CANCELLED)


async def test_a_task_asked_to_stop_that_succeeds_all_the_same_is_completed(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await scene.cancel("a")
    assert await worker.succeed(task) == SettleOutcome(Word.DONE, TaskStatus.COMPLETED)


async def test_cancelling_twice_is_cancelling_once(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await scene.cancel("a")
    before = await scene.task("a")
    await scene.advance(10)
    assert await scene.cancel("a") is Word.SAME
    assert await scene.task("a") == before


async def test_a_task_that_has_ended_cannot_be_cancelled(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    worker = await scene.worker()
    await worker.succeed(await worker.claim_one())
    await worker.fail(await worker.claim_one())
    assert await scene.cancel("a") is Word.ENDED
    assert await scene.cancel("b") is Word.ENDED
    assert (await scene.task("a")).status is TaskStatus.COMPLETED


async def test_cancelling_what_nobody_knows_says_missing(scene: Scene):
    await scene.declare("orders")
    await scene.declare("mails")
    await scene.submit("a", queue="mails")
    assert await scene.cancel("nobody") is Word.MISSING
    assert await scene.cancel("a", queue="orders") is Word.MISSING
    assert await scene.cancel("a", queue="nowhere") is Word.MISSING
    assert (await scene.task("a")).status is TaskStatus.QUEUED


async def test_a_cancel_that_names_an_earlier_task_of_the_id_changes_nothing(scene: Scene):
    await scene.declare(task_ttl_ms=70_000)
    await scene.submit("a")
    old = await scene.task("a")
    await scene.cancel("a")
    await scene.advance(70_000)
    await scene.submit("a", nonce="another")
    assert await scene.cancel("a", life=old.life) is Word.MISSING
    new = await scene.task("a")
    assert new.status is TaskStatus.QUEUED
    assert await scene.cancel("a", life=new.life) is Word.DONE


async def test_a_cancel_that_arrives_after_a_replay_leaves_what_was_put_back(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    seen = (await scene.task("a")).life
    assert await scene.cancel("a", life=seen) is Word.DONE
    assert await scene.cancel("a", life=seen) is Word.SAME
    await scene.replay("a")
    assert await scene.cancel("a", life=seen) is Word.ENDED
    again = await scene.task("a")
    assert again.status is TaskStatus.QUEUED
    assert await scene.cancel("a", life=again.life) is Word.DONE
