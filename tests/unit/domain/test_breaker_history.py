"""What a breaker did last, and why."""

from datetime import UTC, datetime

import attrs

from kew.domain import commands
from kew.domain.breaker import Breaker, BreakerState, Cause, Transition
from kew.domain.breaker_history import MOST_KEPT, BreakerChange, changes_of
from kew.domain.config import Settings
from kew.domain.events import Failed, Succeeded
from kew.domain.queue import claim, settle
from kew.domain.snapshot import Snapshot
from tests.support.tasks import LEASE, NOW, queue, request, running, settlement, task

SETTINGS = Settings(breaker_failures=1, breaker_reset_ms=1_000, max_retries=0)
OPEN = Breaker(state=BreakerState.OPEN, opened_at=NOW, epoch=1)
FAILED = Failed(error="ConnectionError: refused", retry_after_ms=None)


def after_settling(before: Snapshot, event: Succeeded | Failed, now: int) -> Snapshot:
    return before.after(settle(before, settlement(event, lease=LEASE), now)[0])


def last(after: Snapshot) -> Transition:
    return max(after.state.breaker_log.values(), key=lambda made: made.epoch)


def test_the_failure_that_opens_a_breaker_is_why():
    after = after_settling(queue(running(), settings=SETTINGS), FAILED, NOW + 5)
    assert after.state.breaker_log == {
        1: Transition(
            epoch=1,
            at=NOW + 5,
            state=BreakerState.OPEN,
            cause=Cause.FAILURES,
            task_id="t",
            why="ConnectionError: refused",
        )
    }


def test_a_failure_that_opens_nothing_is_no_change():
    settings = attrs.evolve(SETTINGS, breaker_failures=2)
    assert after_settling(queue(running(), settings=settings), FAILED, NOW).state.breaker_log == {}


def test_it_is_half_open_from_when_its_reset_timeout_has_passed_whenever_that_is_noticed():
    before = queue(task(), settings=SETTINGS, breaker=OPEN)
    after = before.after(claim(before, request(), NOW + 7_000)[0])
    assert last(after) == Transition(
        epoch=2, at=NOW + 1_000, state=BreakerState.HALF_OPEN, cause=Cause.RESET_TIMEOUT
    )


def test_a_straggler_from_before_the_break_is_not_why_it_is_half_open():
    before = queue(running(epoch=0), settings=SETTINGS, breaker=OPEN)
    assert last(after_settling(before, FAILED, NOW + 7_000)).cause is Cause.RESET_TIMEOUT


def test_a_probe_closes_or_opens_it():
    probing = Breaker(state=BreakerState.HALF_OPEN, epoch=2, probes=1)
    before = queue(running(epoch=2), settings=SETTINGS, breaker=probing)
    succeeded = last(after_settling(before, Succeeded(b""), NOW))
    assert (succeeded.state, succeeded.cause) == (BreakerState.CLOSED, Cause.PROBE_SUCCEEDED)
    failed = last(after_settling(before, FAILED, NOW))
    assert (failed.state, failed.cause, failed.task_id) == (
        BreakerState.OPEN,
        Cause.PROBE_FAILED,
        "t",
    )


def test_a_breaker_that_is_turned_off_closes():
    before = queue(task(), settings=Settings(breaker_failures=0), breaker=OPEN)
    after = before.after(claim(before, request(), NOW + 7)[0])
    assert (last(after).at, last(after).cause) == (NOW + 7, Cause.TURNED_OFF)


def test_a_clock_that_steps_back_is_no_change():
    before = queue(running(epoch=0), settings=SETTINGS, breaker=OPEN)
    after = after_settling(before, FAILED, NOW - 5_000)
    assert after.state.breaker.opened_at == NOW - 5_000
    assert after.state.breaker_log == {}


def test_the_latest_change_comes_first_and_old_ones_are_forgotten():
    here = queue(settings=SETTINGS)
    for number in range(MOST_KEPT + 3):
        here = here.after(commands.reset_breaker(here, NOW + number, "ada"))
    changes = changes_of(here.state.breaker_log)
    assert len(changes) == MOST_KEPT
    assert [change.time for change in changes] == sorted(
        (change.time for change in changes), reverse=True
    )
    assert changes[0] == BreakerChange(
        time=datetime.fromtimestamp((NOW + MOST_KEPT + 2) / 1000, UTC),
        state="closed",
        cause="operator",
        by="ada",
    )


def test_a_failure_that_a_person_recorded_has_no_error():
    before = queue(settings=SETTINGS)
    (change,) = changes_of(before.after(commands.record_failure(before, NOW)).state.breaker_log)
    assert (change.state, change.cause, change.error, change.by) == ("open", "failures", None, None)
    assert change.to_dict() == {
        "time": "1970-01-01T00:16:40+00:00",
        "state": "open",
        "cause": "failures",
        "error": None,
        "task_id": None,
        "by": None,
    }
