"""Snoozes: what an attempt that comes back later does to its task, and to its queue."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest

from kew.domain import commands
from kew.domain.backoff import LONGEST_DELAY
from kew.domain.causes import causes_of
from kew.domain.config import Settings
from kew.domain.errors import RateLimited, Scope, Snooze
from kew.domain.events import Failed, Snoozed
from kew.domain.explaining import Code, Situation, Sure
from kew.domain.gates import fold
from kew.domain.gates.gate import Facts
from kew.domain.gates.snoozed import SnoozedQueue, snoozed_until
from kew.domain.holding import Hold
from kew.domain.reasons import explained
from kew.domain.snoozing import snooze_or_failure, snoozed_too_often
from kew.domain.view import QueueState
from tests.support.tasks import NOW, queue, task

GATE = SnoozedQueue()
PLAIN = QueueState(settings=Settings(max_workers=9))


def outcome(*errors: Exception, **changes: Any) -> Snoozed | Failed:
    error = errors[0] if len(errors) == 1 else ExceptionGroup("g", errors)
    asked = {"snoozes": 0, "max_snoozes": 3, "has_key": False, **changes}
    return snooze_or_failure(causes_of(error), "S: why", **asked)


def snoozed(state: QueueState = PLAIN, *, after_ms: int = 5_000, now: int = NOW) -> QueueState:
    event = Snoozed(error="S", after_ms=after_ms, scope="queue")
    return fold.snoozed(state, task(), event, now)


def facts(state: QueueState, now: int = NOW) -> Facts:
    return Facts(state=fold.judged(state, now), now=now, held=0)


# --- the task


@pytest.mark.parametrize(
    ("after", "ms"),
    [
        (30, 30_000),
        (0, 0),
        (-5, 0),
        (0.25, 250),
        (timedelta(minutes=1), 60_000),
        (float("inf"), LONGEST_DELAY * 1000),
    ],
)
def test_a_task_comes_back_after_as_long_as_it_asked(after: Any, ms: int) -> None:
    assert outcome(Snooze(after)) == Snoozed(error="S: why", after_ms=ms)


def test_of_several_snoozes_the_longest_and_the_widest_count() -> None:
    both = outcome(Snooze(9), RateLimited(2, scope="queue"), RateLimited(1, scope="task"))
    assert both == Snoozed(error="S: why", after_ms=9_000, scope="queue")


@pytest.mark.parametrize(
    ("has_key", "scope"), [(True, "key"), (False, "task")], ids=["with a key", "without"]
)
def test_the_scope_of_a_key_is_that_of_the_task_if_it_has_none(has_key: bool, scope: Scope) -> None:
    asked = outcome(RateLimited(1, scope="key"), has_key=has_key)
    assert asked == Snoozed(error="S: why", after_ms=1_000, scope=scope)


def test_one_snooze_more_than_allowed_fails_the_task_and_says_so() -> None:
    assert isinstance(outcome(Snooze(1), snoozes=2), Snoozed)
    error = snoozed_too_often(3, "S: why")
    assert outcome(Snooze(1), snoozes=3) == Failed(error=error, retry_after_ms=None, counts=False)
    assert error.startswith("it asked to come back later, and did so 3 times already")
    assert "max_snoozes" in error
    assert error.endswith(": S: why")
    assert "did so once already" in snoozed_too_often(1, "")


# --- the queue


def test_a_queue_that_was_never_snoozed_does_not_use_the_gate() -> None:
    assert not GATE.is_used(PLAIN)
    assert snoozed_until(PLAIN) is None
    assert commands.resume(queue(), "resumed").state == queue().state


@pytest.mark.parametrize("scope", ["task", "key"])
def test_a_snooze_of_less_than_the_queue_does_not_hold_it(scope: Scope) -> None:
    event = Snoozed(error="S", after_ms=5_000, scope=scope)
    assert fold.snoozed(PLAIN, task(), event, NOW) is PLAIN


def test_a_snooze_of_no_time_does_not_hold_the_queue() -> None:
    assert snoozed(after_ms=0) is PLAIN


def test_a_snoozed_queue_starts_nothing_until_its_instant() -> None:
    state = snoozed()
    assert snoozed_until(state) == NOW + 5_000
    last = facts(state, NOW + 4_999)
    assert (fold.room(last), fold.opens_at(last)) == (0, NOW + 5_000)
    over = facts(state, NOW + 5_000)
    assert (fold.room(over), fold.opens_at(over)) == (9, None)
    assert over.state == PLAIN


def test_a_snooze_that_is_over_but_was_not_judged_holds_nothing() -> None:
    over = Facts(state=snoozed(), now=NOW + 5_000, held=0)
    assert (GATE.room(over, 9), GATE.opens_at(over)) == (None, None)
    situation = Situation(now=NOW + 5_000, horizon=NOW, task=task(), state=over.state, held=0)
    assert GATE.explain(situation, 9) is None


def test_a_later_instant_wins_over_an_earlier_one() -> None:
    first = snoozed(after_ms=5_000)
    assert snoozed_until(snoozed(first, after_ms=3_000, now=NOW + 1_000)) == NOW + 5_000
    assert snoozed_until(snoozed(first, after_ms=5_000, now=NOW + 1_000)) == NOW + 6_000
    assert snoozed_until(snoozed(first, after_ms=1, now=NOW + 6_000)) == NOW + 6_001


def test_a_clock_that_steps_back_makes_no_snooze_longer_than_was_asked() -> None:
    past = NOW - 3_600_000
    after = fold.judged(snoozed(), past)
    assert snoozed_until(after) == past + 5_000
    assert fold.judged(after, past) is after
    assert snoozed_until(snoozed(snoozed(), after_ms=100, now=past)) == past + 5_000


def test_a_resumed_queue_is_not_snoozed_any_more_and_a_paused_one_is() -> None:
    before = queue(gates=snoozed().gates)
    paused = commands.pause(before, Hold(NOW)).state
    assert paused is not None
    assert snoozed_until(paused) == NOW + 5_000
    resumed = commands.resume(before, "resumed").state
    assert resumed is not None
    assert resumed.gates == {}


# --- why a task waits


def situation(state: QueueState = PLAIN, **changes: Any) -> Situation:
    one = task(attempt=1, **changes)
    horizon = max(NOW, one.ready_at, snoozed_until(state) or 0)
    return Situation(now=NOW, horizon=horizon, task=one, state=state, held=0, processes=1, able=1)


def test_a_snoozed_task_is_explained_by_its_own_words() -> None:
    lease: dict[str, Any] = {
        "settled": "z.0.1.1:snooze_task",
        "ready_at": NOW + 30_000,
        "snoozes": 1,
    }
    (reason,) = explained(situation(error="RateLimited: slow down", **lease)).reasons
    assert (reason.code, reason.sure, reason.until_at) == (
        Code.SNOOZED,
        Sure.EXACT,
        NOW + 30_000,
    )
    assert "asked to come back (RateLimited: slow down)" in reason.text
    assert "due in 30 s" in reason.text


def test_a_deferred_task_is_not_called_snoozed() -> None:
    (reason,) = explained(situation(ready_at=NOW + 30_000)).reasons
    assert reason.code is Code.DEFERRED


def test_a_snoozed_queue_explains_itself() -> None:
    explanation = explained(situation(snoozed()))
    (reason,) = explanation.reasons
    assert (reason.code, reason.sure, reason.until_at) == (
        Code.QUEUE_SNOOZED,
        Sure.EXACT,
        NOW + 5_000,
    )
    assert "resume_queue()" in reason.text
    assert explanation.earliest_at == NOW + 5_000


def test_a_paused_queue_that_is_snoozed_gives_both_reasons() -> None:
    both = explained(situation(attrs.evolve(snoozed(), paused=True)))
    assert [reason.code for reason in both.reasons] == [Code.PAUSED, Code.QUEUE_SNOOZED]
