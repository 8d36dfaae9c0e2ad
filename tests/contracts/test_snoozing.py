"""Snoozes: a task comes back later without a failure, and can take its whole queue with it."""

from typing import Any

import pytest

from kew.app.notices import Woken
from kew.app.ports import Command, Explain
from kew.domain.breaker import BreakerState
from kew.domain.events import Snoozed
from kew.domain.explaining import Code
from kew.domain.gates.snoozed import snoozed_until
from kew.domain.reasons import explained, reasons_of
from kew.domain.requests import Settlement, SettleOutcome, Word
from kew.domain.task import Task, TaskStatus, pinned_name
from tests.support.scene import HIGH, QUEUE, START_MS, Scene, Worker, group

QUEUED = SettleOutcome(Word.DONE, TaskStatus.QUEUED)
HOUR_MS = 3_600_000


def snooze(task: Task, after_ms: int, scope: str = "task", error: str = "S: later") -> Settlement:
    event = Snoozed(error=error, after_ms=after_ms, scope=scope)  # type: ignore[arg-type]
    return Settlement(task_id=task.id, lease=task.lease, event=event)


async def ready(scene: Scene, *task_ids: str, **settings: int) -> Worker:
    """A queue with these tasks, and one of its workers."""
    await scene.declare(**settings)
    await scene.submit(*task_ids)
    return await scene.worker()


async def snoozes(worker: Worker, *args: object) -> SettleOutcome:
    return (await worker.settle(snooze(*args))).outcomes[0]  # type: ignore[arg-type]


async def test_a_snoozed_task_comes_back_at_its_instant_and_not_before(scene: Scene):
    worker = await ready(scene, "a")
    task = await worker.claim_one()
    await scene.advance(30)
    assert await snoozes(worker, task, 500) == QUEUED
    after = await scene.task("a")
    assert (after.status, after.ready_at, after.lease) == (
        TaskStatus.QUEUED,
        START_MS + 530,
        "",
    )
    await scene.advance(499)
    early = await worker.ask()
    assert (early.tasks, early.wait_ms) == ((), 1)
    await scene.advance(1)
    assert [one.attempt for one in await worker.claim()] == [2]


async def test_a_snooze_is_no_failure_and_the_breaker_ignores_it(scene: Scene):
    worker = await ready(scene, "a", breaker_failures=2)
    await worker.fail(await worker.claim_one(), retry_after_ms=0)
    for _ in range(3):
        await snoozes(worker, await worker.claim_one(), 0, "task", "RateLimited: näh \n|")
    after = await scene.task("a")
    assert (after.failures, after.losses, after.snoozes, after.attempt) == (1, 0, 3, 4)
    assert after.error == "RateLimited: näh \n|"
    breaker = (await scene.status()).state.breaker
    assert (breaker.state, breaker.failures) == (BreakerState.CLOSED, 1)


async def test_a_snooze_frees_the_probe_of_a_half_open_breaker(scene: Scene):
    worker = await ready(scene, "a", "b", breaker_failures=1, breaker_reset_ms=1_000)
    await worker.fail(await worker.claim_one())
    await scene.advance(1_000)
    probe = await worker.claim_one()
    assert await worker.claim() == []
    await snoozes(worker, probe, HOUR_MS)
    assert (await scene.status()).state.breaker.probes == 0


async def test_a_repeated_snooze_is_counted_once(scene: Scene):
    worker = await ready(scene, "a")
    once = snooze(await worker.claim_one(), 500, "queue")
    assert (await worker.settle(once)).outcomes == [QUEUED]
    for _ in range(2):
        same = SettleOutcome(Word.SAME, TaskStatus.QUEUED)
        assert (await worker.settle(once)).outcomes == [same]
    assert (await scene.task("a")).snoozes == 1


async def test_a_snooze_under_a_lease_that_ended_changes_nothing(scene: Scene):
    worker = await ready(scene, "a")
    task = await worker.claim_one(lease_ms=1_000)
    await scene.advance(1_001)
    await scene.sweep()
    late = snooze(task, 500, "queue")
    assert (await worker.settle(late)).outcomes == [SettleOutcome(Word.STALE)]
    assert snoozed_until((await scene.status()).state) is None


async def test_a_success_a_loss_and_a_release_keep_the_count(scene: Scene):
    worker = await ready(scene, "a")
    await snoozes(worker, await worker.claim_one(), 0)
    await worker.release(await worker.claim_one())
    await worker.claim_one(lease_ms=1_000)
    await scene.advance(1_001)
    await worker.succeed(await worker.claim_one(), b"done")
    after = await scene.task("a")
    assert (after.snoozes, after.losses, after.error, after.result) == (1, 1, "", b"done")


async def test_a_replay_resets_the_count(scene: Scene):
    worker = await ready(scene, "a")
    for _ in range(2):
        await snoozes(worker, await worker.claim_one(), 0)
    await worker.fail(await worker.claim_one())
    assert (await scene.task("a")).snoozes == 2
    assert await scene.replay("a") is Word.DONE
    assert (await scene.task("a")).snoozes == 0


async def test_a_snoozed_task_can_be_cancelled(scene: Scene):
    worker = await ready(scene, "a")
    await snoozes(worker, await worker.claim_one(), 5_000)
    assert await scene.cancel("a") is Word.DONE
    assert (await scene.task("a")).status is TaskStatus.CANCELLED
    assert await scene.waiting() == 0


async def test_a_cancel_of_the_run_wins_over_its_snooze(scene: Scene):
    worker = await ready(scene, "a", "b")
    task = await worker.claim_one()
    assert await scene.cancel("a") is Word.CANCEL
    cancelled = SettleOutcome(Word.DONE, TaskStatus.CANCELLED)
    assert await snoozes(worker, task, 500, "queue") == cancelled
    after = await scene.task("a")
    assert (after.error, after.snoozes) == ("S: later", 0)
    assert await worker.claim() == []  # what the task learned about its queue holds


async def test_an_at_most_once_task_comes_back(scene: Scene):
    await scene.declare()
    await scene.submit("a", at_most_once=True)
    worker = await scene.worker()
    assert await snoozes(worker, await worker.claim_one(), 0) == QUEUED
    assert (await worker.claim_one()).attempt == 2


async def test_a_closure_comes_back_to_its_own_process(scene: Scene):
    await scene.declare()
    owner, other = await scene.worker("w1"), await scene.worker("w2")
    await scene.submit("a", function="@w1/closure")
    await snoozes(owner, await owner.claim_one(), 0)
    assert await other.claim() == []
    assert (await owner.claim_one()).attempt == 2


async def test_a_large_payload_survives_a_snooze(scene: Scene):
    await scene.declare()
    await scene.submit("a", payload=b"x" * 5_000)
    worker = await scene.worker()
    await snoozes(worker, await worker.claim_one(), 0)
    again = await worker.claim_one()
    assert (again.call.payload, again.snoozes) == (b"x" * 5_000, 1)


async def test_a_snooze_may_exceed_max_size_and_counts_towards_it(scene: Scene):
    worker = await ready(scene, "a", max_size=1)
    task = await worker.claim_one()
    await scene.submit("b")
    assert await snoozes(worker, task, 60_000) == QUEUED
    assert await scene.waiting() == 2
    assert (await scene.try_submit(group("c")))[0].word is Word.FULL


async def test_a_snoozed_task_frees_its_key_and_keeps_it(scene: Scene):
    await scene.declare(key_workers=1)
    await scene.submit("a", "b", key="acme, inc")
    await scene.submit("c", key="other")
    worker = await scene.worker()
    first, third = await worker.claim(9)
    assert (first.id, third.id) == ("a", "c")
    assert await snoozes(worker, first, 5_000) == QUEUED
    assert await worker.claim_ids() == ["b"]
    await scene.advance(5_000)
    assert await worker.claim() == []  # its key is at its limit
    await worker.succeed(await scene.task("b"))
    again = await worker.claim_one()
    assert (again.id, again.call.key, again.snoozes) == ("a", "acme, inc", 1)


# --- the key


@pytest.mark.parametrize("rates", [(), ((9, 1_000, 0),)])
async def test_a_snoozed_key_starts_nothing_until_its_instant_and_others_do(
    scene: Scene, rates: Any
):
    await scene.declare(max_workers=20, key_rate=rates)
    worker = await scene.worker()
    await scene.submit("a1", "a2", key="a")
    await scene.submit("b1", "b2", key="b")
    await scene.submit("plain")
    first = await worker.claim_one()
    while first.id != "a1":
        await worker.succeed(first)
        first = await worker.claim_one()
    assert await snoozes(worker, first, 5_000, "key") == QUEUED
    assert set(await worker.claim_ids()) >= {"b1", "b2"}
    await scene.submit("a3", key="a")
    await scene.submit("high", key="a", priority=HIGH)
    other = await scene.worker("w2")
    grant = await other.ask(9)
    assert (grant.tasks, grant.wait_ms) == ((), 5_000)
    await scene.advance(4_999)
    assert (await other.ask(9)).wait_ms == 1
    await scene.advance(1)
    assert await other.claim_ids() == ["high", "a2", "a3", "a1"]


async def test_the_longest_snooze_of_a_key_counts(scene: Scene):
    await scene.declare(max_workers=20)
    worker = await scene.worker()
    await scene.submit("a1", "a2", "a3", "a4", key="a")
    first, second, third = await worker.claim(3)
    await snoozes(worker, first, 5_000, "key")
    await snoozes(worker, second, 1_000, "key")
    await scene.advance(1_000)
    assert (await worker.ask(9)).tasks == ()
    await snoozes(worker, third, 9_000, "key")
    await scene.advance(8_999)
    assert (await worker.ask(9)).tasks == ()
    await scene.advance(1)
    assert sorted(await worker.claim_ids()) == ["a1", "a2", "a3", "a4"]


async def test_the_settle_that_snoozes_a_key_claims_nothing_of_it(scene: Scene):
    await scene.declare(max_workers=20)
    worker = await scene.worker()
    await scene.submit("a1", "a2", key="a")
    task = await worker.claim_one()
    settled = await worker.settle(snooze(task, 5_000, "key"), claim=worker.request(9))
    assert settled.grant is not None
    assert (settled.grant.tasks, settled.grant.wait_ms) == ((), 5_000)


async def test_a_key_is_snoozed_again_and_after_a_rate_remembered_its_starts(scene: Scene):
    await scene.declare(max_workers=20, key_rate=((2, 1_000, 0),))
    worker = await scene.worker()
    await scene.submit("a1", "a2", "a3", "a4", key="a")
    first, second = await worker.claim(9)
    for _ in range(2):
        await snoozes(worker, first, 3_000, "key")
        await scene.advance(2_999)
        assert (await worker.ask(9)).wait_ms == 1
        await scene.advance(1)
        first, third = await worker.claim(9)
        await worker.succeed(third)
    await worker.succeed(second)
    await worker.succeed(first)


async def test_explain_names_the_snooze_of_a_key(scene: Scene):
    await scene.declare(max_workers=20)
    worker = await scene.worker()
    await scene.submit("a1", "a2", key="a")
    await snoozes(worker, await worker.claim_one(), 5_000, "key")
    situation = await scene.store.do(Explain(QUEUE, "a2"))
    assert situation is not None
    why = explained(situation)
    (reason,) = [one for one in why.reasons if one.code is Code.KEY_SNOOZED]
    assert reason.until_at == why.earliest_at == scene.now + 5_000
    assert "snoozed its key 'a' for another 5 s" in reason.text


async def test_a_snooze_that_ended_holds_again_once_the_clock_is_back_before_its_end(scene: Scene):
    await scene.declare(max_workers=20)
    worker = await scene.worker()
    await scene.submit("a1", "a2", key="a")
    await snoozes(worker, await worker.claim_one(), 5_000, "key")
    await scene.advance(5_000)
    assert sorted(await worker.claim_ids()) == ["a1", "a2"]
    await scene.advance(-1_000)
    await scene.submit("a3", key="a")
    grant = await worker.ask(9)
    assert (grant.tasks, grant.wait_ms) == ((), 1_000)


async def test_a_step_back_of_the_clock_prolongs_no_snooze_of_a_key(scene: Scene):
    await scene.declare(max_workers=20)
    worker = await scene.worker()
    await scene.submit("a1", "a2", key="a")
    await snoozes(worker, await worker.claim_one(), 5_000, "key")
    await scene.advance(-60_000)
    await scene.submit("a3", key="a")
    assert "a3" in await worker.claim_ids()


async def test_a_closure_snoozes_no_key(scene: Scene):
    await scene.declare(max_workers=20)
    worker = await scene.worker()
    await scene.submit("c", key="a", function=pinned_name("w1", "c"))
    await snoozes(worker, await worker.claim_one(), 5_000, "key")
    await scene.submit("a1", key="a")
    assert await worker.claim_ids() == ["a1"]


# --- the queue


async def test_a_snoozed_queue_starts_nothing_until_its_instant(scene: Scene):
    worker = await ready(scene, "a", "b", "c")
    await snoozes(worker, await worker.claim_one(), 5_000, "queue")
    other = await scene.worker("w2")
    for each in (worker, other):
        grant = await each.ask(want=9)
        assert (grant.tasks, grant.wait_ms) == ((), 5_000)
    await scene.submit("d")
    await scene.advance(4_999)
    early = await other.ask(want=9)
    assert (early.tasks, early.wait_ms) == ((), 1)
    await scene.advance(1)
    assert await other.claim_ids() == ["b", "c", "d", "a"]


async def test_the_settle_that_snoozes_its_queue_claims_nothing(scene: Scene):
    worker = await ready(scene, "a", "b")
    task = await worker.claim_one()
    settled = await worker.settle(snooze(task, 5_000, "queue"), claim=worker.request())
    assert settled.grant is not None
    assert (settled.grant.tasks, settled.grant.wait_ms) == ((), 5_000)


async def test_what_runs_goes_on_while_its_queue_is_snoozed(scene: Scene):
    worker = await ready(scene, "a", "b")
    first, second = await worker.claim(want=2)
    await snoozes(worker, first, 5_000, "queue")
    assert await worker.extend(second) == [Word.DONE]
    assert (await worker.succeed(second)).status is TaskStatus.COMPLETED


async def test_of_two_snoozes_of_a_queue_the_later_instant_holds(scene: Scene):
    worker = await ready(scene, "a", "b", "c")
    tasks = await worker.claim(want=2)
    await snoozes(worker, tasks[0], 5_000, "queue")
    await snoozes(worker, tasks[1], 3_000, "queue")
    assert snoozed_until((await scene.status()).state) == START_MS + 5_000
    await scene.advance(3_000)
    assert await worker.claim() == []
    await scene.advance(2_000)
    assert await worker.claim_ids() == ["c", "b", "a"]


async def test_other_queues_are_not_snoozed(scene: Scene):
    worker = await ready(scene, "a")
    await scene.declare("other")
    await scene.submit("b", queue="other")
    elsewhere = await scene.worker("w2", queue="other")
    await snoozes(worker, await worker.claim_one(), 5_000, "queue")
    assert await elsewhere.claim_ids() == ["b"]


async def test_a_person_ends_a_snooze_by_resuming_the_queue(scene: Scene):
    worker = await ready(scene, "a", "b")
    await snoozes(worker, await worker.claim_one(), HOUR_MS, "queue")
    assert await worker.claim() == []
    assert await scene.control(Command.RESUME) is Word.DONE
    assert snoozed_until((await scene.status()).state) is None
    assert await worker.claim_ids() == ["b"]  # "a" itself comes back when it asked to


async def test_a_snoozed_queue_stays_snoozed_through_a_pause_and_a_declaration(scene: Scene):
    worker = await ready(scene, "a", "b")
    await snoozes(worker, await worker.claim_one(), 5_000, "queue")
    await scene.control(Command.PAUSE)
    await scene.declare(max_workers=3)
    status = await scene.status()
    assert snoozed_until(status.state) == START_MS + 5_000
    assert status.state.paused


async def test_a_clock_that_steps_back_makes_no_snooze_longer_than_was_asked(scene: Scene):
    worker = await ready(scene, "a", "b")
    await snoozes(worker, await worker.claim_one(), 5_000, "queue")
    await scene.advance(-HOUR_MS)
    await scene.submit("c")
    grant = await worker.ask(want=9)
    assert (grant.tasks, grant.wait_ms) == ((), 5_000)
    await scene.advance(5_000)
    assert await worker.claim_ids() == ["c"]


async def test_a_process_that_waits_is_woken_by_a_resume(scene: Scene):
    worker = await ready(scene, "a", "b")
    listener = await scene.listen("w1")
    await snoozes(worker, await worker.claim_one(), HOUR_MS, "queue")
    assert await worker.claim() == []
    listener.so_far()
    await scene.control(Command.RESUME)
    await listener.next()


async def test_an_idle_process_is_notified_to_set_a_timer_for_the_end_of_a_snooze(scene: Scene):
    """It waits for the end of the lease, which is long after."""
    worker = await ready(scene, "a", "b", "c", max_workers=1)
    task = await worker.claim_one(lease_ms=HOUR_MS)
    other = await scene.worker("w2")
    assert (await other.ask()).wait_ms == HOUR_MS
    listener = await scene.listen("w2")
    await snoozes(worker, task, 5_000, "queue")
    assert await listener.next() == Woken(QUEUE)
    assert (await other.ask()).wait_ms == 5_000


async def test_a_snoozed_task_and_a_snoozed_queue_are_explained(scene: Scene):
    worker = await ready(scene, "a", "b")
    await snoozes(worker, await worker.claim_one(), 5_000, "queue", "RateLimited: slow down")
    situation = await scene.store.do(Explain(QUEUE, "a"))
    assert situation is not None
    reasons = reasons_of(situation)
    codes = {reason.code: reason.until_at for reason in reasons}
    assert codes[Code.SNOOZED] == codes[Code.QUEUE_SNOOZED] == START_MS + 5_000
    assert any("RateLimited: slow down" in reason.text for reason in reasons)
    behind = await scene.store.do(Explain(QUEUE, "b"))
    assert behind is not None
    (reason,) = [one for one in reasons_of(behind) if one.code is Code.QUEUE_SNOOZED]
    assert reason.until_at == START_MS + 5_000
