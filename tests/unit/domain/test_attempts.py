"""What an event makes of a task's run: a failed attempt, with its group, or none."""

import pytest

from kew.domain.attempts import (
    MOST_ATTEMPTS,
    FailedAttempt,
    HowFailed,
    attempt_of,
    may_have_attempts,
    with_attempt,
)
from kew.domain.config import Settings
from kew.domain.events import (
    CancelRequested,
    Event,
    Failed,
    Lost,
    NotStarted,
    Orphaned,
    Released,
    Replayed,
    Snoozed,
    Succeeded,
)
from kew.domain.lifecycle import step
from kew.domain.reports import Report
from kew.domain.requests import holder_of
from kew.domain.task import Task, TaskStatus
from tests.support.tasks import LEASE, LEASE_MS, NOW, task

SETTINGS = Settings()
REPORT = Report(group="KeyError@shop:sell", kind="KeyError", message="'a'", traceback="in sell")
RUNNING = task(
    status=TaskStatus.PROCESSING, attempt=2, lease=LEASE, lease_until=NOW + LEASE_MS, started_at=NOW
)


def made(before: Task, event: Event) -> FailedAttempt | None:
    after, _ = step(before, event, NOW + 500, SETTINGS)
    return attempt_of(before, event, after, NOW + 500)


@pytest.mark.parametrize(
    ("event", "how", "group"),
    [
        (Failed(error="no", retry_after_ms=None, report=REPORT), HowFailed.FAILED, REPORT.group),
        (Failed(error="no", retry_after_ms=0), HowFailed.FAILED, "failed"),
        (Failed(error="no", retry_after_ms=0, report=Report()), HowFailed.FAILED, "failed"),
        (NotStarted("no room"), HowFailed.NOT_STARTED, "not-started"),
        (Lost(), HowFailed.LOST, "lost"),
    ],
)
def test_a_failure_is_an_attempt_with_a_group(event: Event, how: HowFailed, group: str):
    attempt = made(RUNNING, event)
    assert attempt is not None
    assert (attempt.how, attempt.group) == (how, group)
    assert (attempt.number, attempt.at) == (2, NOW + 500)
    assert (attempt.ran_ms, attempt.process) == (500, holder_of(LEASE))


@pytest.mark.parametrize(
    "event",
    [Succeeded(b""), Released(started=True), CancelRequested(), Snoozed(error="", after_ms=1)],
)
def test_anything_else_is_none(event: Event):
    assert made(RUNNING, event) is None


def test_an_interruption_is_one_if_it_ends_the_task():
    once = RUNNING.moved(call=task(at_most_once=True).call)
    attempt = made(once, Released(started=True))
    assert attempt is not None
    assert attempt.how is HowFailed.INTERRUPTED
    assert made(once, Released(started=False)) is None


def test_a_task_that_did_not_run_took_no_time_and_no_process():
    attempt = made(task(), Orphaned())
    assert attempt is not None
    assert (attempt.how, attempt.ran_ms, attempt.process) == (HowFailed.ORPHANED, 0, "")


def test_a_cancelled_task_keeps_none():
    cancelled = RUNNING.moved(cancel_requested=True)
    assert made(cancelled, Lost()) is None
    assert made(cancelled, Failed(error="no", retry_after_ms=None, report=REPORT)) is None


def test_the_last_ones_are_kept():
    one = made(RUNNING, Lost())
    assert one is not None
    kept: tuple[FailedAttempt, ...] = ()
    for _ in range(MOST_ATTEMPTS + 3):
        kept = with_attempt(kept, one)
    assert kept == (one,) * MOST_ATTEMPTS


def test_a_task_that_has_not_failed_needs_no_look():
    assert not may_have_attempts(RUNNING)
    assert not may_have_attempts(task(status=TaskStatus.COMPLETED, failures=1))
    failed, _ = step(RUNNING, Failed(error="no", retry_after_ms=None), NOW, SETTINGS)
    replayed, _ = step(failed, Replayed(), NOW, SETTINGS)
    lost, _ = step(RUNNING, Lost(), NOW, SETTINGS)
    assert all(map(may_have_attempts, (failed, replayed, lost)))
