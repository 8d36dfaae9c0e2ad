"""Failed attempts: what is kept of each, so that people see why a task failed, and which failures are alike."""

from __future__ import annotations

import enum
from typing import Final

import attrs

from kew.domain.events import Event, Failed, Lost, NotStarted, Orphaned, Released
from kew.domain.reports import NO_REPORT, Report
from kew.domain.requests import holder_of
from kew.domain.task import Task, TaskStatus

MOST_ATTEMPTS: Final = 10  # of a task: the last ones


class HowFailed(enum.StrEnum):
    """How an attempt failed. It is also the name of the group of attempts that have no error of their own."""

    FAILED = "failed"  # its code raised an error, or exceeded its timeout
    LOST = "lost"  # its worker went silent
    NOT_STARTED = "not-started"  # the worker could not start it
    INTERRUPTED = "interrupted"  # its worker was shut down, and at_most_once forbids another run
    ORPHANED = "orphaned"  # a closure whose process has gone: it did not run
    UNKNOWN = "unknown"  # a version of kew that kept no attempts saw it fail


@attrs.frozen(kw_only=True)
class FailedAttempt:
    """An attempt that failed: the run number `number` of its task.

    `at` is the store's instant at which it was known (ms), `ran_ms` the time since its claim. `process` is the
    incarnation that held the lease ("": it did not run). The last three are its `Report`'s.
    """

    number: int
    at: int
    ran_ms: int
    process: str
    how: HowFailed
    group: str
    kind: str = ""
    message: str = ""
    traceback: str = ""


def attempt_of(before: Task, event: Event, after: Task, now: int) -> FailedAttempt | None:
    """The failed attempt that an event makes of a task's run; None: it is no failure, or the task is cancelled."""
    if after.status is TaskStatus.CANCELLED:
        return None
    how, report = _how_failed(event, after)
    if how is None:
        return None
    return FailedAttempt(
        number=before.attempt,
        at=now,
        ran_ms=max(0, now - before.started_at) if before.lease else 0,
        process=holder_of(before.lease),
        how=how,
        group=report.group or how.value,
        kind=report.kind,
        message=report.message,
        traceback=report.traceback,
    )


def _how_failed(event: Event, after: Task) -> tuple[HowFailed | None, Report]:
    match event:
        case Failed(report=report):
            return HowFailed.FAILED, report or NO_REPORT
        case NotStarted(error):
            return HowFailed.NOT_STARTED, Report(message=error)
        case Lost():
            return HowFailed.LOST, NO_REPORT
        case Released() if after.status is TaskStatus.FAILED:
            return HowFailed.INTERRUPTED, NO_REPORT
        case Orphaned():
            return HowFailed.ORPHANED, NO_REPORT
        case _:
            return None, NO_REPORT


def may_have_attempts(task: Task) -> bool:
    """Whether failed attempts of the task may be kept; a record that never failed has none."""
    has_failed = task.failures or task.losses or task.replays or task.status is TaskStatus.FAILED
    return bool(has_failed) and task.status not in (TaskStatus.COMPLETED, TaskStatus.CANCELLED)


def with_attempt(
    before: tuple[FailedAttempt, ...], attempt: FailedAttempt
) -> tuple[FailedAttempt, ...]:
    """The attempts that are kept once there is one more."""
    return (*before, attempt)[-MOST_ATTEMPTS:]
