"""Retries: a failed attempt waits for its own due time, keeps its error, and counts."""

from kew.domain.requests import SettleOutcome, Word
from kew.domain.task import TaskStatus
from tests.support.scene import START_MS, Scene, group


async def test_a_retry_waits_for_its_delay_from_the_moment_of_settling(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await scene.advance(30)
    assert await worker.fail(task, retry_after_ms=500) == SettleOutcome(Word.DONE, TaskStatus.RETRY)
    after = await scene.task("a")
    assert (after.status, after.ready_at, after.ended_at) == (
        TaskStatus.RETRY,
        START_MS + 530,
        0,
    )
    await scene.advance(499)
    assert await worker.claim() == []
    await scene.advance(1)
    assert [one.attempt for one in await worker.claim()] == [2]


async def test_a_retry_keeps_the_error_of_its_last_attempt_until_it_succeeds(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    await worker.fail(await worker.claim_one(), retry_after_ms=0, error="first")
    second = await worker.claim_one()
    assert (second.failures, second.error) == (1, "first")
    await worker.succeed(second, b"ok")
    after = await scene.task("a")
    assert (after.status, after.error, after.failures) == (TaskStatus.COMPLETED, "", 1)


async def test_failures_add_up_over_attempts(scene: Scene):
    await scene.declare(breaker_failures=0)
    await scene.submit("a")
    worker = await scene.worker()
    for _ in range(3):
        await worker.fail(await worker.claim_one(), retry_after_ms=0)
    await worker.fail(await worker.claim_one(), error="the last")
    after = await scene.task("a")
    assert (after.status, after.failures, after.attempt) == (TaskStatus.FAILED, 4, 4)
    assert after.error == "the last"


async def test_a_retry_may_exceed_max_size(scene: Scene):
    await scene.declare(max_size=1)
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await scene.submit("b")
    assert (await worker.fail(task, retry_after_ms=100)).status is TaskStatus.RETRY
    assert await scene.waiting() == 2


async def test_a_waiting_retry_counts_towards_max_size(scene: Scene):
    await scene.declare(max_size=1)
    await scene.submit("a")
    worker = await scene.worker()
    await worker.fail(await worker.claim_one(), retry_after_ms=60_000)
    assert (await scene.try_submit(group("b")))[0].word is Word.FULL


async def test_each_attempt_has_a_lease_and_a_token_of_its_own(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    first = await worker.claim_one()
    await worker.fail(first, retry_after_ms=0)
    second = await worker.claim_one()
    assert second.lease != first.lease
    assert second.token > first.token
