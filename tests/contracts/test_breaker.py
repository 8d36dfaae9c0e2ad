"""The circuit breaker: shared by all processes, it holds tasks back and loses none."""

from kew.app.ports import Command, Control
from kew.domain.breaker import Breaker, BreakerState, Cause
from kew.domain.breaker_history import MOST_KEPT
from kew.domain.failures import CountedFailure
from kew.domain.requests import SettleOutcome, Word
from kew.domain.task import TaskStatus
from tests.support.scene import START_MS, Scene, Worker, failure, success

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


async def breaker(scene: Scene) -> Breaker:
    return (await scene.status()).state.breaker


async def open_breaker(scene: Scene, **settings: int) -> Worker:
    """A queue whose breaker has just opened (reset after 1 s), with ten tasks waiting."""
    await scene.declare(breaker_failures=1, breaker_reset_ms=1_000, **settings)
    await scene.submit("bad", *(f"t{n}" for n in range(10)))
    worker = await scene.worker()
    await worker.fail(await worker.claim_one())
    assert (await breaker(scene)).state is OPEN
    return worker


async def half_open_breaker(scene: Scene, **settings: int) -> Worker:
    worker = await open_breaker(scene, **settings)
    await scene.advance(1_000)
    return worker


async def test_it_opens_after_as_many_failures_in_a_row_as_configured(scene: Scene):
    await scene.declare(breaker_failures=3)
    await scene.submit("a", "b", "c", "d")
    worker = await scene.worker()
    for failures in (1, 2):
        await worker.fail(await worker.claim_one())
        assert (await breaker(scene)) == Breaker(failures=failures)
    await worker.fail(await worker.claim_one())
    assert (await breaker(scene)) == Breaker(state=OPEN, opened_at=START_MS, epoch=1)


async def test_a_success_begins_the_count_again(scene: Scene):
    await scene.declare(breaker_failures=2)
    await scene.submit("a", "b", "c")
    worker = await scene.worker()
    await worker.fail(await worker.claim_one())
    await worker.succeed(await worker.claim_one())
    await worker.fail(await worker.claim_one())
    assert (await breaker(scene)).state is CLOSED


async def test_a_failure_that_will_be_retried_counts_too(scene: Scene):
    await scene.declare(breaker_failures=2)
    await scene.submit("a")
    worker = await scene.worker()
    for _ in range(2):
        await worker.fail(await worker.claim_one(), retry_after_ms=0)
    assert (await breaker(scene)).state is OPEN


async def test_releases_losses_and_cancelled_runs_do_not_count(scene: Scene):
    await scene.declare(breaker_failures=1)
    await scene.submit("a", "b", "c")
    worker = await scene.worker()
    a, b, _ = await worker.claim(3, lease_ms=1_000)
    await worker.release(a)
    await scene.cancel("b")
    await worker.fail(b)
    await scene.advance(1_000)
    assert (await scene.sweep()).recovered == 1
    assert await breaker(scene) == Breaker()


async def test_a_failure_that_does_not_count_neither_adds_to_the_row_nor_ends_it(scene: Scene):
    await scene.declare(breaker_failures=2)
    await scene.submit("a", "b", "c", "d")
    worker = await scene.worker()
    await worker.fail(await worker.claim_one())
    for retry_after_ms in (60_000, None):
        await worker.fail(await worker.claim_one(), retry_after_ms=retry_after_ms, counts=False)
        assert await breaker(scene) == Breaker(failures=1)
    await worker.fail(await worker.claim_one())
    assert (await breaker(scene)).state is OPEN


async def test_a_failure_that_does_not_count_is_one_of_the_task(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    for status in (TaskStatus.RETRY, TaskStatus.FAILED):
        task = await worker.claim_one()
        after = 0 if status is TaskStatus.RETRY else None
        for word in (Word.DONE, Word.SAME):
            outcome = await worker.fail(task, retry_after_ms=after, counts=False)
            assert outcome == SettleOutcome(word, status)
    record = await scene.find("a")
    assert record is not None
    assert record.failures == 2


async def test_a_settle_that_is_repeated_as_one_that_counts_is_stale(scene: Scene):
    await scene.declare(breaker_failures=1)
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await worker.fail(task, counts=False)
    assert (await worker.fail(task)).word is Word.STALE
    assert await breaker(scene) == Breaker()


async def test_a_probe_that_ends_without_counting_is_free_again(scene: Scene):
    worker = await half_open_breaker(scene)
    for retry_after_ms in (60_000, None):
        (probe,) = await worker.claim(5)
        await worker.fail(probe, retry_after_ms=retry_after_ms, counts=False)
        found = await breaker(scene)
        assert (found.state, found.probes) == (HALF_OPEN, 0)
    (probe,) = await worker.claim(5)
    await worker.succeed(probe)
    assert (await breaker(scene)).state is CLOSED


async def test_without_a_threshold_it_never_opens(scene: Scene):
    await scene.declare(breaker_failures=0)
    await scene.submit(*(f"t{n}" for n in range(10)))
    worker = await scene.worker()
    await worker.settle(*(failure(task) for task in await worker.claim(10)))
    assert await breaker(scene) == Breaker()


async def test_while_it_is_open_ready_tasks_wait_and_none_is_lost(scene: Scene):
    worker = await open_breaker(scene)
    assert await worker.claim(10) == []
    assert await scene.waiting() == 10


async def test_after_its_reset_time_exactly_one_probe_passes(scene: Scene):
    worker = await open_breaker(scene)
    await scene.advance(999)
    assert await worker.claim(10) == []
    await scene.advance(1)
    assert await worker.claim_ids() == ["t0"]
    assert await (await scene.worker("w2")).claim_ids() == []
    assert (await breaker(scene)).probes == 1


async def test_as_many_probes_pass_as_configured(scene: Scene):
    worker = await half_open_breaker(scene, breaker_probes=3)
    assert await worker.claim_ids(2) == ["t0", "t1"]
    assert await worker.claim_ids() == ["t2"]


async def test_a_probe_that_succeeds_closes_it(scene: Scene):
    worker = await half_open_breaker(scene)
    await worker.succeed(await worker.claim_one())
    assert (await breaker(scene)).state is CLOSED
    assert len(await worker.claim_ids()) == 9


async def test_a_probe_that_fails_opens_it_again_for_the_whole_reset_time(scene: Scene):
    worker = await half_open_breaker(scene)
    probe = await worker.claim_one()
    await scene.advance(500)
    await worker.fail(probe)
    assert (await breaker(scene)) == Breaker(state=OPEN, opened_at=START_MS + 1_500, epoch=3)
    await scene.advance(999)
    assert await worker.claim() == []
    await scene.advance(1)
    assert len(await worker.claim_ids()) == 1


async def test_a_probe_handed_back_is_free_again(scene: Scene):
    worker = await half_open_breaker(scene)
    await worker.release(await worker.claim_one())
    assert await worker.claim_ids() == ["t0"]


async def test_a_probe_whose_worker_was_lost_is_free_again(scene: Scene):
    worker = await half_open_breaker(scene)
    await worker.claim_one(lease_ms=5_000)
    await scene.advance(5_000)
    assert await (await scene.worker("w2")).claim_ids() == ["t0"]


async def test_a_probe_that_ends_cancelled_is_free_again(scene: Scene):
    worker = await half_open_breaker(scene)
    probe = await worker.claim_one()
    await scene.cancel(probe.id)
    assert await worker.claim_ids() == []
    await worker.fail(probe)
    assert await worker.claim_ids() == ["t1"]


async def test_a_straggler_from_before_the_break_neither_closes_nor_opens_it(scene: Scene):
    await scene.declare(breaker_failures=1, breaker_reset_ms=1_000)
    await scene.submit("bad", "slow", "slower", "next")
    worker = await scene.worker()
    bad, slow, slower = await worker.claim(3)
    await worker.fail(bad)
    await worker.succeed(slow)
    assert (await breaker(scene)).state is OPEN
    await scene.advance(1_000)
    probe = await worker.claim_one()
    assert probe.id == "next"
    await worker.fail(slower)
    assert (await breaker(scene)).state is HALF_OPEN
    await worker.succeed(probe)
    assert (await breaker(scene)).state is CLOSED


async def test_a_straggler_handed_back_frees_no_probe(scene: Scene):
    await scene.declare(breaker_failures=1, breaker_reset_ms=1_000)
    await scene.submit("bad", "slow", "next")
    worker = await scene.worker()
    bad, slow = await worker.claim(2)
    await worker.fail(bad)
    await scene.advance(1_000)
    await worker.claim_one()
    await worker.release(slow)
    assert (await breaker(scene)).probes == 1
    assert await worker.claim_ids() == []


async def test_failures_settled_in_one_call_open_it_for_the_claim_sent_along(scene: Scene):
    await scene.declare(breaker_failures=2)
    await scene.submit("a", "b", "c")
    worker = await scene.worker()
    tasks = await worker.claim(2)
    settled = await worker.settle(*(failure(one) for one in tasks), claim=worker.request())
    assert settled.grant is not None
    assert settled.grant.tasks == ()


async def test_outcomes_of_one_call_count_in_order(scene: Scene):
    await scene.declare(breaker_failures=2)
    await scene.submit("a", "b", "c")
    worker = await scene.worker()
    a, b, c = await worker.claim(3)
    await worker.settle(failure(a), success(b), failure(c))
    assert await breaker(scene) == Breaker(failures=1)


async def test_its_status_is_judged_at_the_time_of_the_look(scene: Scene):
    await open_breaker(scene)
    await scene.advance(999)
    assert (await breaker(scene)).state is OPEN
    await scene.advance(1)
    assert (await breaker(scene)).state is HALF_OPEN


async def test_a_person_may_count_a_failure(scene: Scene):
    await scene.declare(breaker_failures=2)
    await scene.control(Command.RECORD_FAILURE)
    assert (await breaker(scene)).failures == 1
    await scene.control(Command.RECORD_FAILURE)
    assert (await breaker(scene)).state is OPEN


async def test_a_person_may_open_it_and_it_lets_a_probe_through_in_time(scene: Scene):
    await scene.declare(breaker_failures=5, breaker_reset_ms=10_000)
    await scene.submit("a")
    worker = await scene.worker()
    await scene.control(Command.OPEN_BREAKER)
    assert (await breaker(scene)).state is OPEN
    assert await worker.claim_ids() == []
    await scene.advance(10_000)
    assert await worker.claim_ids() == ["a"]


async def test_a_queue_without_a_breaker_has_none_to_open(scene: Scene):
    await scene.declare(breaker_failures=0)
    before = await breaker(scene)
    await scene.control(Command.OPEN_BREAKER)
    assert await breaker(scene) == before


async def test_a_person_may_close_it(scene: Scene):
    worker = await open_breaker(scene)
    await scene.control(Command.RESET_BREAKER)
    assert (await breaker(scene)).state is CLOSED
    assert len(await worker.claim_ids()) == 10


async def test_after_a_reset_by_hand_outcomes_from_before_it_count_for_nothing(scene: Scene):
    await scene.declare(breaker_failures=1)
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await scene.control(Command.RESET_BREAKER)
    await worker.fail(task)
    assert (await breaker(scene)).state is CLOSED


async def test_a_breaker_of_one_queue_holds_back_no_other(scene: Scene):
    await open_breaker(scene)
    await scene.declare("mails")
    await scene.submit("m", queue="mails")
    assert await (await scene.worker(queue="mails")).claim_ids() == ["m"]


async def test_the_status_has_the_failures_that_opened_it_with_their_errors(scene: Scene):
    await scene.declare(breaker_failures=3)
    await scene.submit("a", "b", "c", "d")
    worker = await scene.worker()
    a, b, c, d = await worker.claim(4)
    await worker.fail(a, error="ValueError: before the streak")
    await worker.succeed(b)
    await scene.advance(10)
    first_at = scene.now
    await worker.fail(c, error="é" * 200)
    await scene.control(Command.RECORD_FAILURE)
    assert [each.task_id for each in (await scene.status()).counted] == ["c", ""]
    await worker.fail(d, error="OSError: no route")
    status = await scene.status()
    assert status.state.breaker.state is OPEN
    assert status.counted == (
        CountedFailure(at=first_at, task_id="c", error="é" * 149),
        CountedFailure(at=scene.now),
        CountedFailure(at=scene.now, task_id="d", error="OSError: no route"),
    )


async def test_a_failure_that_does_not_count_is_not_among_them(scene: Scene):
    await scene.declare(breaker_failures=2)
    await scene.submit("a", "b")
    worker = await scene.worker()
    a, b = await worker.claim(2)
    await worker.fail(a, error="counts")
    await scene.cancel("b")
    await worker.fail(b, error="cancelled")
    assert [each.error for each in (await scene.status()).counted] == ["counts"]


async def test_its_history_says_what_it_did_when_and_why(scene: Scene):
    worker = await half_open_breaker(scene)
    await scene.advance(500)
    await worker.fail(await worker.claim_one(), error="é" * 200)
    await scene.advance(1_500)
    await worker.succeed(await worker.claim_one())
    await scene.store.do(Control("orders", Command.OPEN_BREAKER, "p", 1, "ada ~ " + "x" * 400))
    log = (await scene.status()).state.breaker_log
    assert [
        (made.at - START_MS, made.state, made.cause, made.task_id)
        for made in sorted(log.values(), key=lambda made: made.epoch)
    ] == [
        (0, OPEN, Cause.FAILURES, "bad"),
        (1_000, HALF_OPEN, Cause.RESET_TIMEOUT, ""),
        (1_500, OPEN, Cause.PROBE_FAILED, "t0"),
        (2_500, HALF_OPEN, Cause.RESET_TIMEOUT, ""),
        (3_000, CLOSED, Cause.PROBE_SUCCEEDED, ""),
        (3_000, OPEN, Cause.OPERATOR, ""),
    ]
    assert log[3].why == "é" * 149
    assert log[6].why == "ada ~ " + "x" * 294


async def test_a_look_at_its_history_changes_nothing(scene: Scene):
    await half_open_breaker(scene)
    before = await scene.status()
    await scene.advance(700)
    assert (await scene.status()).state.breaker_log == before.state.breaker_log
    assert before.state.breaker_log[2].at == START_MS + 1_000


async def test_its_history_keeps_the_last_changes_only(scene: Scene):
    await scene.declare(breaker_failures=1)
    for _ in range(MOST_KEPT + 2):
        await scene.control(Command.RECORD_FAILURE)
        await scene.control(Command.RESET_BREAKER)
    log = (await scene.status()).state.breaker_log
    assert sorted(made.epoch for made in log.values()) == list(range(25, 45))
