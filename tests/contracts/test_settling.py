"""Settling: an outcome counts under the identity of its lease, once, and can be repeated."""

from kew.app.ports import Cancel
from kew.domain.events import Released, Succeeded
from kew.domain.requests import Settlement, SettleOutcome, Word
from kew.domain.task import TaskStatus
from kew.domain.transitions import never_started
from tests.support.scene import QUEUE, START_MS, Scene, failure, handed_back, success

DONE, SAME, STALE = Word.DONE, Word.SAME, Word.STALE
COMPLETED, FAILED, RETRY = TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.RETRY
QUEUED, CANCELLED = TaskStatus.QUEUED, TaskStatus.CANCELLED


async def test_a_success_completes_the_task_with_its_result(scene: Scene):
    await scene.declare(task_ttl_ms=100_000)
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await scene.advance(40)
    assert await worker.succeed(task, bytes(range(256))) == SettleOutcome(DONE, COMPLETED)
    after = await scene.task("a")
    assert (after.status, after.result, after.error) == (COMPLETED, bytes(range(256)), "")
    assert (after.ended_at, after.expires_at) == (START_MS + 40, START_MS + 100_040)
    assert (after.lease, after.lease_until) == ("", 0)


async def test_a_final_failure_is_kept_with_its_error_for_longer(scene: Scene):
    await scene.declare(task_ttl_ms=100_000, dead_letter_ttl_ms=900_000)
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    outcome = await worker.fail(task, error="no such order: 'ü'\n|")
    assert outcome == SettleOutcome(DONE, FAILED)
    after = await scene.task("a")
    assert (after.status, after.error, after.failures) == (FAILED, "no such order: 'ü'\n|", 1)
    assert after.expires_at == START_MS + 900_000


async def test_a_repeated_success_gets_the_same_answer_and_changes_nothing(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await worker.succeed(task, b"1")
    before = await scene.task("a")
    await scene.advance(10)
    assert await worker.succeed(task, b"1") == SettleOutcome(SAME, COMPLETED)
    assert await scene.task("a") == before


async def test_a_repeated_failure_gets_the_same_answer_and_counts_once(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await worker.fail(task, retry_after_ms=100)
    assert await worker.fail(task, retry_after_ms=100) == SettleOutcome(SAME, RETRY)
    assert (await scene.task("a")).failures == 1


async def test_a_repeated_release_gets_the_same_answer(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await worker.release(task)
    assert await worker.release(task) == SettleOutcome(SAME, QUEUED)


async def test_a_settle_is_still_answered_while_the_next_attempt_runs(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    first = await worker.claim_one()
    await worker.fail(first, retry_after_ms=0)
    second = await worker.claim_one()
    assert await worker.fail(first, retry_after_ms=0) == SettleOutcome(SAME, RETRY)
    assert await scene.task("a") == second


async def test_a_handed_back_at_most_once_run_gets_the_same_answer(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b", at_most_once=True)
    worker = await scene.worker()
    ran, waited = await worker.claim(2)
    assert await worker.release(ran, started=True) == SettleOutcome(DONE, FAILED)
    assert await worker.release(ran, started=True) == SettleOutcome(SAME, FAILED)
    assert await worker.release(waited, started=False) == SettleOutcome(DONE, QUEUED)
    assert await worker.release(waited, started=False) == SettleOutcome(SAME, QUEUED)


async def test_a_settle_is_still_answered_after_a_later_attempt_was_lost(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    first = await worker.claim_one()
    await worker.release(first)
    await worker.claim_one(lease_ms=1_000)
    await scene.advance(1_000)
    await scene.sweep()
    assert await worker.release(first) == SettleOutcome(SAME, QUEUED)


async def test_only_the_last_settled_lease_is_remembered(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    first = await worker.claim_one()
    await worker.release(first)
    await worker.release(await worker.claim_one())
    assert (await worker.release(first)).word is STALE


async def test_another_outcome_under_a_settled_lease_is_stale(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await worker.fail(task, retry_after_ms=100)
    assert await worker.fail(task) == SettleOutcome(STALE)
    assert await worker.succeed(task) == SettleOutcome(STALE)
    assert await worker.release(task) == SettleOutcome(STALE)
    assert (await scene.task("a")).status is RETRY


async def test_a_late_worker_may_settle_while_nobody_took_its_task_back(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one(lease_ms=1_000)
    await scene.advance(60_000)
    assert await worker.succeed(task) == SettleOutcome(DONE, COMPLETED)


async def test_a_late_worker_cannot_settle_a_recovered_task(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one(lease_ms=1_000)
    await scene.advance(1_000)
    await scene.sweep()
    assert await worker.succeed(task, b"late") == SettleOutcome(STALE)
    after = await scene.task("a")
    assert (after.status, after.result) == (QUEUED, b"")


async def test_a_late_worker_cannot_settle_a_task_that_another_runs(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    w1, w2 = await scene.worker("w1"), await scene.worker("w2")
    old = await w1.claim_one(lease_ms=1_000)
    await scene.advance(1_000)
    new = await w2.claim_one()
    assert await w1.fail(old) == SettleOutcome(STALE)
    assert await scene.task("a") == new
    assert await w2.succeed(new) == SettleOutcome(DONE, COMPLETED)


async def test_a_late_worker_cannot_settle_the_next_task_of_the_same_id(scene: Scene):
    await scene.declare(task_ttl_ms=70_000)
    await scene.submit("a")
    worker = await scene.worker()
    old = await worker.claim_one()
    await worker.succeed(old)
    await scene.advance(70_000)
    await scene.submit("a", nonce="another")
    assert await worker.succeed(old) == SettleOutcome(STALE)
    assert (await scene.task("a")).status is QUEUED


async def test_a_settle_of_an_unknown_task_is_stale(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    settlement = Settlement(task_id="nobody", lease="w1.0.1.1", event=Succeeded(b""))
    assert (await worker.settle(settlement)).outcomes == [SettleOutcome(STALE)]


async def test_a_settle_in_another_queue_is_stale(scene: Scene):
    await scene.declare("orders")
    await scene.declare("mails")
    await scene.submit("a")
    task = await (await scene.worker()).claim_one()
    for queue in ("mails", "nowhere"):
        settled = await scene.store.settle(queue, [success(task)])
        assert [outcome.word for outcome in settled.outcomes] == [STALE]
    assert (await scene.task("a")).status is TaskStatus.PROCESSING


async def test_each_settlement_of_a_call_has_its_own_answer_in_order(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b", "c", "d")
    worker = await scene.worker()
    a, b, c, d = await worker.claim(4)
    await worker.succeed(d)
    settled = await worker.settle(
        failure(c), success(a), success(d), handed_back(b), success(b), success(a)
    )
    assert settled.outcomes == [
        SettleOutcome(DONE, FAILED),
        SettleOutcome(DONE, COMPLETED),
        SettleOutcome(SAME, COMPLETED),
        SettleOutcome(DONE, QUEUED),
        SettleOutcome(STALE),
        SettleOutcome(SAME, COMPLETED),
    ]


async def test_a_settle_brings_the_next_claims_back_with_it(scene: Scene):
    await scene.declare(max_workers=2)
    await scene.submit("a", "b", "c", "d", "e")
    worker = await scene.worker()
    a, b = await worker.claim(2)
    settled = await worker.settle(success(a), success(b), claim=worker.request(3))
    assert settled.grant is not None
    assert [task.id for task in settled.grant.tasks] == ["c", "d"]


async def test_a_claim_brought_by_a_settle_is_under_every_limit(scene: Scene):
    await scene.declare(breaker_failures=1)
    await scene.submit("a", "b")
    worker = await scene.worker()
    settled = await worker.settle(failure(await worker.claim_one()), claim=worker.request())
    assert settled.grant is not None
    assert settled.grant.tasks == ()


async def test_a_repeated_settle_with_a_claim_repeats_both(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b", "c")
    worker = await scene.worker()
    task = await worker.claim_one()
    request = worker.request()
    first = await worker.settle(success(task), claim=request)
    again = await worker.settle(success(task), claim=request)
    assert again.outcomes == [SettleOutcome(SAME, COMPLETED)]
    assert first.grant is not None
    assert again.grant is not None
    assert (again.grant.word, again.grant.tasks) == (SAME, first.grant.tasks)


async def test_a_released_task_counts_neither_a_failure_nor_a_loss(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    await worker.release(await worker.claim_one())
    after = await scene.task("a")
    assert (after.status, after.attempt, after.failures, after.losses) == (QUEUED, 1, 0, 0)


async def test_an_at_most_once_task_released_before_it_started_waits_again(scene: Scene):
    await scene.declare()
    await scene.submit("a", at_most_once=True)
    worker = await scene.worker()
    task = await worker.claim_one()
    assert await worker.release(task, started=False) == SettleOutcome(DONE, QUEUED)


async def test_an_at_most_once_task_released_after_it_started_has_failed(scene: Scene):
    await scene.declare()
    await scene.submit("a", at_most_once=True)
    worker = await scene.worker()
    task = await worker.claim_one()
    assert await worker.release(task, started=True) == SettleOutcome(DONE, FAILED)
    assert "at_most_once" in (await scene.task("a")).error


async def test_a_repeated_release_is_the_same_whether_or_not_it_says_started(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await worker.release(task, started=False)
    repeated = Settlement(task_id="a", lease=task.lease, event=Released(started=True))
    assert (await worker.settle(repeated)).outcomes == [SettleOutcome(SAME, QUEUED)]


async def test_a_run_that_could_not_be_started_counts_as_a_loss_and_keeps_its_place(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    worker = await scene.worker()
    task = await worker.claim_one()
    assert await worker.could_not_start(task) == SettleOutcome(DONE, QUEUED)
    assert await worker.could_not_start(task) == SettleOutcome(SAME, QUEUED)
    waiting = await scene.task("a")
    assert (waiting.losses, waiting.failures, waiting.attempt) == (1, 0, 1)
    assert (await worker.claim_one()).id == "a"


async def test_a_task_that_can_never_be_started_fails_with_the_reason(scene: Scene):
    await scene.declare(max_deliveries=2)
    await scene.submit("a")
    worker = await scene.worker()
    for _ in range(2):
        assert await worker.could_not_start(await worker.claim_one()) == SettleOutcome(DONE, QUEUED)
    task = await worker.claim_one()
    for word in (DONE, SAME):
        assert await worker.could_not_start(task, "no röm\n") == SettleOutcome(word, FAILED)
    dead = await scene.task("a")
    assert dead.losses == 3
    assert dead.error == never_started(3, "no röm\n")


async def test_what_could_not_be_started_after_a_cancellation_is_cancelled(scene: Scene):
    await scene.declare(max_deliveries=0)
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await scene.store.do(Cancel(QUEUE, "a", None))
    for word in (DONE, SAME):
        assert await worker.could_not_start(task) == SettleOutcome(word, CANCELLED)


async def test_an_at_most_once_task_that_could_not_be_started_waits_again(scene: Scene):
    await scene.declare()
    await scene.submit("a", at_most_once=True)
    worker = await scene.worker()
    assert await worker.could_not_start(await worker.claim_one()) == SettleOutcome(DONE, QUEUED)
    assert (await worker.claim_one()).attempt == 2


async def test_a_settle_tells_the_stores_time(scene: Scene):
    await scene.declare()
    await scene.advance(77)
    assert (await (await scene.worker()).settle()).now_ms == START_MS + 77
