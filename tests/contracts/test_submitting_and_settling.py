"""A submit that carries settlements: they come first, then the groups, then the claim, all in one atomic step."""

import pytest

from kew.app.ports import Command
from kew.domain.requests import Along, SettleOutcome, Word
from kew.domain.task import TaskStatus
from tests.support.idle import WOKEN, idle
from tests.support.scene import QUEUE, Scene, call, failure, group, not_started, success

COMPLETED, RETRY, FAILED = TaskStatus.COMPLETED, TaskStatus.RETRY, TaskStatus.FAILED


async def test_a_submit_settles_stores_and_claims(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    submitted = await scene.store.submit(
        QUEUE, [group(call("b"))], Along(claim=worker.request(), settlements=[success(task, b"1")])
    )
    assert submitted.settled == [SettleOutcome(Word.DONE, COMPLETED)]
    assert [outcome.word for outcome in submitted.outcomes] == [Word.DONE]
    assert submitted.grant is not None
    assert [each.id for each in submitted.grant.tasks] == ["b"]
    after = await scene.task("a")
    assert (after.status, after.result) == (COMPLETED, b"1")


async def test_each_settlement_has_an_outcome_of_its_own_in_order(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b", "c")
    worker = await scene.worker()
    a, b, c = await worker.claim(3)
    await worker.succeed(c)
    sent = [failure(b, retry_after_ms=5), success(c), failure(c), success(a)]
    submitted = await scene.store.submit(
        QUEUE, [group(call("d"))], Along(claim=worker.request(), settlements=sent)
    )
    assert list(submitted.settled) == [
        SettleOutcome(Word.DONE, RETRY),
        SettleOutcome(Word.SAME, COMPLETED),
        SettleOutcome(Word.STALE),
        SettleOutcome(Word.DONE, COMPLETED),
    ]


async def test_a_repeat_gets_the_same_answers_and_changes_nothing(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    groups, request, sent = [group(call("b"))], worker.request(), [success(task)]
    first = await scene.store.submit(QUEUE, groups, Along(claim=request, settlements=sent))
    before = await scene.task("a"), await scene.task("b")
    again = await scene.store.submit(QUEUE, groups, Along(claim=request, settlements=sent))
    assert again.settled == [SettleOutcome(Word.SAME, COMPLETED)]
    assert [outcome.word for outcome in again.outcomes] == [Word.SAME]
    assert first.grant is not None
    assert again.grant is not None
    assert (again.grant.word, again.grant.tasks) == (Word.SAME, first.grant.tasks)
    assert (await scene.task("a"), await scene.task("b")) == before


@pytest.mark.parametrize("claims", [True, False])
async def test_settlements_are_applied_even_if_every_group_is_refused(scene: Scene, claims: bool):
    await scene.declare(max_size=1)
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await scene.submit("waiting")
    submitted = await scene.store.submit(
        QUEUE,
        [group(call("b")), group(call("a", nonce="another"))],
        Along(claim=worker.request() if claims else None, settlements=[success(task)]),
    )
    assert [outcome.word for outcome in submitted.outcomes] == [Word.FULL, Word.DUPLICATE]
    assert submitted.settled == [SettleOutcome(Word.DONE, COMPLETED)]
    assert (await scene.task("a")).status is COMPLETED
    assert await scene.find("b") is None
    assert (submitted.grant is not None) is claims


async def test_settlements_without_a_claim_free_their_leases_and_grant_none(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    worker = await scene.worker()
    a, b = await worker.claim(2)
    submitted = await scene.store.submit(
        QUEUE,
        [group(call("c"))],
        Along(settlements=[success(a), failure(b, retry_after_ms=10_000)]),
    )
    assert submitted.grant is None
    assert [outcome.status for outcome in submitted.settled] == [COMPLETED, RETRY]
    assert (await scene.status()).held == 0
    assert await worker.claim_ids() == ["c"]


async def test_the_claim_sees_the_slot_that_the_settlement_freed(scene: Scene):
    """With one lease for all, a submit's claim could not be granted before the settlement."""
    await scene.declare(max_workers=1)
    await scene.submit("a", "b")
    worker = await scene.worker()
    task = await worker.claim_one()
    submitted = await scene.store.submit(
        QUEUE, [group(call("c"))], Along(claim=worker.request(), settlements=[success(task)])
    )
    assert submitted.grant is not None
    assert [each.id for each in submitted.grant.tasks] == ["b"]


async def test_a_group_sees_that_the_settled_task_s_id_is_in_use(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    submitted = await scene.store.submit(
        QUEUE,
        [group(call("a", nonce="another"))],
        Along(claim=worker.request(), settlements=[success(task)]),
    )
    assert [outcome.word for outcome in submitted.outcomes] == [Word.DUPLICATE]


async def test_the_id_of_a_task_that_is_settled_and_expires_at_once_is_free(scene: Scene):
    await scene.declare(task_ttl_ms=0)
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    submitted = await scene.store.submit(
        QUEUE,
        [group(call("a", nonce="another"))],
        Along(claim=worker.request(), settlements=[success(task)]),
    )
    assert submitted.settled == [SettleOutcome(Word.DONE, COMPLETED)]
    assert [outcome.word for outcome in submitted.outcomes] == [Word.DONE]
    assert (await scene.task("a")).call.nonce == "another"
    assert submitted.grant is not None
    assert [each.call.nonce for each in submitted.grant.tasks] == ["another"]


async def test_a_task_that_is_settled_to_wait_counts_for_the_size_of_the_queue(scene: Scene):
    await scene.declare(max_size=1)
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    submitted = await scene.store.submit(
        QUEUE, [group(call("b"))], Along(settlements=[not_started(task)])
    )
    assert [outcome.word for outcome in submitted.outcomes] == [Word.FULL]
    assert await worker.claim_ids() == ["a"]


async def test_a_queue_that_is_not_declared_has_no_lease_to_settle(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await scene.purge()
    submitted = await scene.store.submit(
        QUEUE, [group(call("b"))], Along(claim=worker.request(), settlements=[success(task)])
    )
    assert [outcome.word for outcome in submitted.outcomes] == [Word.NO_QUEUE]
    assert submitted.settled == [SettleOutcome(Word.STALE)]
    assert submitted.grant is not None
    assert submitted.grant.word is Word.NO_QUEUE


async def test_a_failed_probe_opens_the_breaker_before_the_claim(scene: Scene):
    await scene.declare(breaker_failures=1, breaker_reset_ms=1000)
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    submitted = await scene.store.submit(
        QUEUE, [group(call("b"))], Along(claim=worker.request(), settlements=[failure(task)])
    )
    assert submitted.grant is not None
    assert not submitted.grant.tasks
    assert (await scene.task("b")).status is TaskStatus.QUEUED


async def test_a_paused_queue_settles_and_stores_but_grants_nothing(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await scene.control(Command.PAUSE)
    submitted = await scene.store.submit(
        QUEUE, [group(call("b"))], Along(claim=worker.request(), settlements=[success(task)])
    )
    assert submitted.settled == [SettleOutcome(Word.DONE, COMPLETED)]
    assert submitted.grant is not None
    assert not submitted.grant.tasks


# --- notifications


async def test_a_process_that_settles_submits_and_claims_notifies_none(scene: Scene):
    processes = await idle(scene, 2)
    worker = processes.workers[0]
    await scene.submit("a")
    task = await worker.claim_one()
    assert not await worker.claim()
    assert not await processes.workers[1].claim()
    before = await processes.woken()
    await scene.store.submit(
        QUEUE, [group(call("b"))], Along(claim=worker.request(), settlements=[success(task)])
    )
    assert (before, await processes.woken()) == (1, 0)


async def test_what_the_claim_leaves_wakes_another_process(scene: Scene):
    processes = await idle(scene, 2)
    worker, other = processes.workers
    await scene.submit("a")
    task = await worker.claim_one()
    assert not await other.claim()
    await processes.told()
    groups = [group(call("b"), call("c"))]
    await scene.store.submit(
        QUEUE, groups, Along(claim=worker.request(), settlements=[success(task)])
    )
    assert await processes.told() == [[], [WOKEN]]


async def test_a_probe_that_closes_the_breaker_wakes_a_process_for_what_waits(scene: Scene):
    processes = await idle(scene, 2, breaker_failures=1, breaker_reset_ms=1000)
    worker, other = processes.workers
    await scene.submit("a", "b", "c")
    await worker.fail(await worker.claim_one())
    await scene.advance(1000)
    probe = await worker.claim_one()
    assert not await other.claim()
    await processes.told()
    await scene.store.submit(
        QUEUE, [group(call("d"))], Along(claim=worker.request(), settlements=[success(probe)])
    )
    assert await processes.told() == [[], [WOKEN]]
