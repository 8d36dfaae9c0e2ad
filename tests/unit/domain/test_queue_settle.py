"""How leases end in the pure queue: settled, taken back when they ended, or prolonged."""

from __future__ import annotations

import attrs
import pytest

from kew.domain import maintenance
from kew.domain import queue as rules
from kew.domain.breaker import Breaker, BreakerState
from kew.domain.config import Settings
from kew.domain.errors import IllegalTransition
from kew.domain.events import Failed, NotStarted, Released, SettleEvent, Snoozed, Succeeded
from kew.domain.extending import extend
from kew.domain.outcomes import outcome_word
from kew.domain.queue import NOTHING, RECOVER_AT_ONCE
from kew.domain.requests import SettleOutcome, Word
from kew.domain.snapshot import Snapshot
from kew.domain.task import TERMINAL, TaskStatus
from tests.support.tasks import (
    LEASE,
    NOW,
    changed,
    ended,
    lease_ref,
    queue,
    running,
    settlement,
    task,
)

LATER = NOW + 500
OPEN = Breaker(state=BreakerState.OPEN, opened_at=NOW, epoch=1)
PROBING = Breaker(state=BreakerState.HALF_OPEN, epoch=2, probes=1)
AGAIN, FINAL = Failed(error="E", retry_after_ms=40), Failed(error="E", retry_after_ms=None)
SUCCESS = Succeeded(b"r")


def elsewhere(one: Snapshot) -> Snapshot:
    """The same records, looked at from another queue of the namespace."""
    return attrs.evolve(one, name="other")


@pytest.mark.parametrize(
    ("event", "word", "status"),
    [
        (SUCCESS, "succeed", TaskStatus.COMPLETED),
        (AGAIN, "retry", TaskStatus.RETRY),
        (FINAL, "fail", TaskStatus.FAILED),
        (attrs.evolve(AGAIN, counts=False), "retry_uncounted", TaskStatus.RETRY),
        (attrs.evolve(FINAL, counts=False), "fail_uncounted", TaskStatus.FAILED),
        (Snoozed(error="S", after_ms=40), "snooze_task", TaskStatus.QUEUED),
        (Snoozed(error="S", after_ms=40, scope="key"), "snooze_key", TaskStatus.QUEUED),
        (Snoozed(error="S", after_ms=40, scope="queue"), "snooze_queue", TaskStatus.QUEUED),
        (Released(started=True), "release", TaskStatus.QUEUED),
        (Released(started=False), "release", TaskStatus.QUEUED),
        (NotStarted("no room"), "not_started", TaskStatus.QUEUED),
    ],
)
def test_a_settle_applies_once_and_answers_as_often_as_it_is_asked(
    event: SettleEvent, word: str, status: TaskStatus
) -> None:
    before = queue(running())
    change, outcome = rules.settle(before, settlement(event), LATER)
    assert outcome == SettleOutcome(Word.DONE, status)
    after = before.after(change)
    assert after.tasks["t"].settled == f"{LEASE}:{word}"
    assert outcome_word(event) == word
    for _ in range(2):
        assert rules.settle(after, settlement(event), LATER) == (
            NOTHING,
            SettleOutcome(Word.SAME, status),
        )


def test_what_could_not_be_started_once_too_often_has_failed_however_often_it_is_asked() -> None:
    before = queue(running(losses=queue().state.settings.max_deliveries))
    event = NotStarted("no room")
    change, outcome = rules.settle(before, settlement(event), LATER)
    assert outcome == SettleOutcome(Word.DONE, TaskStatus.FAILED)
    again = rules.settle(before.after(change), settlement(event), LATER)
    assert again == (NOTHING, SettleOutcome(Word.SAME, TaskStatus.FAILED))


@pytest.mark.parametrize("event", [SUCCESS, AGAIN, FINAL, Released(started=True)])
def test_a_repeated_settle_of_a_cancelled_run_gets_its_answer_too(event: SettleEvent) -> None:
    before = queue(running(cancel_requested=True))
    change, outcome = rules.settle(before, settlement(event), NOW)
    again = rules.settle(before.after(change), settlement(event), NOW)
    assert outcome.status in TERMINAL
    assert again == (NOTHING, SettleOutcome(Word.SAME, outcome.status))


def test_a_repeated_release_of_what_may_not_run_again_says_that_it_failed() -> None:
    event = Released(started=True)
    before = queue(running(at_most_once=True))
    change, outcome = rules.settle(before, settlement(event), NOW)
    assert outcome == SettleOutcome(Word.DONE, TaskStatus.FAILED)
    again = rules.settle(before.after(change), settlement(event), NOW)
    assert again == (NOTHING, SettleOutcome(Word.SAME, TaskStatus.FAILED))


def test_a_repeated_settle_gets_its_answer_through_later_attempts() -> None:
    later = running(lease="b.0.9.1", settled=f"{LEASE}:retry", attempt=2)
    answer = rules.settle(queue(later), settlement(AGAIN), NOW)
    assert answer == (NOTHING, SettleOutcome(Word.SAME, TaskStatus.RETRY))


@pytest.mark.parametrize("event", [FINAL, SUCCESS, Released(started=True)])
def test_a_lease_that_was_settled_is_not_settled_otherwise(event: SettleEvent) -> None:
    waiting = queue(task(settled=f"{LEASE}:retry"))
    assert rules.settle(waiting, settlement(event), NOW) == (NOTHING, SettleOutcome(Word.STALE))


@pytest.mark.parametrize(
    "found",
    [
        queue(),
        queue(running(lease="b.0.9.1")),
        queue(task()),
        queue(ended()),
        queue(ended(settled=f"{LEASE}:succeed", expires_at=NOW)),
        elsewhere(queue(running())),
        elsewhere(queue(ended(settled=f"{LEASE}:succeed"))),
    ],
)
def test_a_settle_that_does_not_carry_the_current_lease_changes_nothing(found: Snapshot) -> None:
    assert rules.settle(found, settlement(SUCCESS), NOW) == (NOTHING, SettleOutcome(Word.STALE))


def test_a_late_worker_may_settle_until_somebody_took_its_task_back() -> None:
    before = queue(running(lease_until=NOW))
    assert rules.settle(before, settlement(SUCCESS), LATER)[1].word is Word.DONE
    recovered = before.after(rules.recover(before, LATER))
    assert rules.settle(recovered, settlement(SUCCESS), LATER)[1].word is Word.STALE


def test_a_settle_that_the_lifecycle_forbids_is_a_bug() -> None:
    with pytest.raises(IllegalTransition):
        rules.settle(queue(task()), settlement(SUCCESS, lease=""), NOW)


def test_failures_count_for_the_breaker_until_it_opens() -> None:
    settings = Settings(breaker_failures=2)
    before = queue(running(), settings=settings, breaker=Breaker(failures=1))
    after = before.after(rules.settle(before, settlement(FINAL), LATER)[0])
    assert after.state.breaker == Breaker(state=BreakerState.OPEN, opened_at=LATER, epoch=1)


def test_a_success_forgets_earlier_failures() -> None:
    before = queue(running(), breaker=Breaker(failures=2))
    after = before.after(rules.settle(before, settlement(SUCCESS), NOW)[0])
    assert after.state.breaker == Breaker()


@pytest.mark.parametrize(
    ("event", "breaker"),
    [
        (SUCCESS, Breaker(epoch=3)),
        (AGAIN, Breaker(state=BreakerState.OPEN, opened_at=LATER, epoch=3)),
        (Released(started=True), attrs.evolve(PROBING, probes=0)),
    ],
)
def test_a_probe_decides_the_breaker(event: SettleEvent, breaker: Breaker) -> None:
    before = queue(running(epoch=2), breaker=PROBING)
    after = before.after(rules.settle(before, settlement(event), LATER)[0])
    assert after.state.breaker == breaker


@pytest.mark.parametrize("event", [SUCCESS, AGAIN, FINAL, Released(started=True)])
def test_a_straggler_from_before_the_break_counts_for_nothing(event: SettleEvent) -> None:
    before = queue(running(epoch=1), breaker=attrs.evolve(PROBING, probes=0))
    assert rules.settle(before, settlement(event), NOW)[0].state is before.state


def test_a_settle_that_leaves_the_breaker_alone_writes_no_state() -> None:
    before = queue(running())
    assert rules.settle(before, settlement(SUCCESS), NOW)[0].state is before.state


# --- recover


def test_recovery_takes_back_what_is_held_under_ended_leases_alone() -> None:
    before = queue(
        running("live", ticket=1, token=1, lease="a.0.1.1", lease_until=NOW + 1),
        running("ended", ticket=2, token=2, lease="a.0.1.2", lease_until=NOW),
        task("waits", ticket=3),
    )
    change = rules.recover(before, NOW)
    assert changed(before, change) == {
        "status": TaskStatus.QUEUED,
        "lease": "",
        "lease_until": 0,
        "losses": 1,
    }
    assert before.after(change).state == before.state


def test_recovery_without_ended_leases_changes_nothing() -> None:
    assert rules.recover(queue(running(), task("u", ticket=2)), NOW) is NOTHING


def test_recovery_is_bounded_and_takes_the_earliest() -> None:
    gone = [
        running(f"t{n}", ticket=n, token=n, lease=f"a.0.1.{n}", lease_until=NOW - n)
        for n in range(1, RECOVER_AT_ONCE + 3)
    ]
    assert RECOVER_AT_ONCE == 100
    assert len(rules.recover(queue(*gone), NOW).tasks) == 100
    assert [one.id for one in rules.recover(queue(*gone), NOW, limit=2).tasks] == ["t102", "t101"]


def test_recovering_twice_is_recovering_once() -> None:
    before = queue(running(lease_until=NOW))
    after = before.after(rules.recover(before, NOW))
    assert rules.recover(after, LATER) is NOTHING


def test_a_run_that_is_not_taken_back_ends_when_it_is_found_lost() -> None:
    before = queue(running(at_most_once=True, lease_until=NOW))
    (lost,) = rules.recover(before, LATER).tasks
    assert (lost.status, lost.ended_at) == (TaskStatus.FAILED, LATER)


@pytest.mark.parametrize(("now", "state"), [(NOW + 99, "open"), (NOW + 100, "half_open")])
def test_whatever_ends_a_lease_judges_the_breaker_at_that_instant(now: int, state: str) -> None:
    broken = Breaker(state=BreakerState.OPEN, opened_at=NOW, epoch=1)
    before = queue(
        running(lease_until=NOW), breaker=broken, settings=Settings(breaker_reset_ms=100)
    )
    recovered = before.after(rules.recover(before, now))
    settled = before.after(rules.settle(before, settlement(SUCCESS), now)[0])
    assert recovered.state.breaker.state == settled.state.breaker.state == state


def test_a_lost_probe_is_free_again() -> None:
    before = queue(running(epoch=2, lease_until=NOW), breaker=PROBING)
    after = before.after(rules.recover(before, NOW))
    assert after.state.breaker == attrs.evolve(PROBING, probes=0)


# --- extend


@pytest.mark.parametrize(("stopping", "word"), [(False, Word.DONE), (True, Word.CANCEL)])
def test_a_live_lease_is_prolonged_and_told_of_a_cancel(stopping: bool, word: Word) -> None:
    task = running(lease_until=NOW + 1, cancel_requested=stopping)
    before = queue(task, longest_lease_ms=700)
    change, answer = extend(before, lease_ref(), 700, NOW)
    assert answer is word
    assert changed(before, change) == {"lease_until": NOW + 700}
    assert change.state is None


def test_the_longest_lease_is_remembered_whether_granted_or_prolonged() -> None:
    change, _ = extend(queue(running(lease_until=NOW + 1)), lease_ref(), 700, NOW)
    assert change.state is not None
    assert change.state.longest_lease_ms == 700


def test_leases_that_last_longer_than_any_granted_are_shortened() -> None:
    short, late = running(lease_until=NOW + 700), running(lease_until=NOW + 3_600_000)
    before = queue(attrs.evolve(short, ticket=1), longest_lease_ms=700)
    assert maintenance.shortened(before, NOW, 10) is NOTHING
    before = queue(late, longest_lease_ms=700)
    assert maintenance.shortened(before, NOW, 0) is NOTHING
    assert changed(before, maintenance.shortened(before, NOW, 10)) == {"lease_until": NOW + 700}


@pytest.mark.parametrize(
    "found",
    [
        queue(),
        queue(task()),
        queue(running(lease="b.0.1.1")),
        queue(running(lease_until=NOW)),
        queue(running(lease_until=NOW - 1)),
        elsewhere(queue(running())),
    ],
)
def test_a_lease_that_is_not_live_is_never_revived(found: Snapshot) -> None:
    assert extend(found, lease_ref(), 700, NOW) == (NOTHING, Word.STALE)


def test_no_lease_is_extended_under_no_name() -> None:
    assert extend(queue(task()), lease_ref(lease=""), 700, NOW) == (NOTHING, Word.STALE)
