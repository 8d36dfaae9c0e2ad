"""What the rows of the lifecycle table are made of: guards, and functions that compute a task's changed fields.

A guard is a fact about the task, the event and the queue's settings. A change gives the fields that a row writes
besides the status, which the row names itself.
"""

from __future__ import annotations

from typing import Any

from kew.domain.config import Settings
from kew.domain.errors import EXPIRED
from kew.domain.events import (
    CancelRequested,
    Claimed,
    Event,
    Expired,
    Failed,
    Lost,
    NotStarted,
    Orphaned,
    Released,
    Replayed,
    Snoozed,
    Succeeded,
)
from kew.domain.outcomes import SUCCEED, outcome_word
from kew.domain.task import Task

FieldChanges = dict[str, Any]  # `Any`: a task's fields have many types


# --- guards


def cancel_requested(task: Task, event: Event, settings: Settings) -> bool:
    """A user cancelled the task while it ran."""
    return task.cancel_requested


def final(task: Task, event: Failed, settings: Settings) -> bool:
    """The worker decided against a retry."""
    return event.retry_after_ms is None


def final_and_uncounted(task: Task, event: Failed, settings: Settings) -> bool:
    """The task's own code decided against a retry, which says nothing against the service that the breaker guards."""
    return event.retry_after_ms is None and not event.counts


def uncounted(task: Task, event: Failed, settings: Settings) -> bool:
    """The task's own code asked for the retry."""
    return not event.counts


def at_most_once(task: Task, event: Event, settings: Settings) -> bool:
    """The task must not run twice."""
    return task.call.at_most_once


def at_most_once_and_started(task: Task, event: Released, settings: Settings) -> bool:
    """The code of a task that must not run twice had begun to run."""
    return task.call.at_most_once and event.started


def delivered_too_often(task: Task, event: Lost | NotStarted, settings: Settings) -> bool:
    """With this delivery, the task has lost more of them than it may."""
    return task.losses + 1 > settings.max_deliveries


# --- changes of a lease that ends


def keep_result(task: Task, event: Succeeded, now: int, settings: Settings) -> FieldChanges:
    """End with the result; how far it had come says nothing more."""
    return {
        **_ended(now, settings.task_ttl_ms),
        "settled": f"{task.lease}:{SUCCEED}",
        "result": event.result,
        "error": "",
        "progress": None,
        "checkpoint": None,
    }


def cancel_failed(
    task: Task, event: Failed | Snoozed, now: int, settings: Settings
) -> FieldChanges:
    """End with the error, which isn't counted."""
    return {**end(task, event, now, settings), "error": event.error}


def fail(task: Task, event: Failed, now: int, settings: Settings) -> FieldChanges:
    """End as a dead letter, with the failure counted."""
    return {**_dead(task, event, now, settings, event.error), "failures": task.failures + 1}


def wait_for_retry(task: Task, event: Failed, now: int, settings: Settings) -> FieldChanges:
    """Wait for as long as the worker decided, with the failure counted."""
    assert event.retry_after_ms is not None, "a final failure has a row of its own"
    return {
        **release(task, event, now, settings),
        "ready_at": now + event.retry_after_ms,
        "error": event.error,
        "failures": task.failures + 1,
    }


def snooze(task: Task, event: Snoozed, now: int, settings: Settings) -> FieldChanges:
    """Wait for as long as the task asked, with the snooze counted and no failure."""
    return {
        **release(task, event, now, settings),
        "ready_at": now + event.after_ms,
        "error": event.error,
        "snoozes": task.snoozes + 1,
    }


def fail_interrupted(
    task: Task, event: Lost | Released, now: int, settings: Settings
) -> FieldChanges:
    """End as a dead letter, since it must not run twice."""
    return _dead(task, event, now, settings, lost_at_most_once(task))


def fail_undelivered(
    task: Task, event: Lost | NotStarted, now: int, settings: Settings
) -> FieldChanges:
    """End as a dead letter, with the last loss counted."""
    losses = task.losses + 1
    error = lost_too_often(losses)
    if isinstance(event, NotStarted):
        error = never_started(losses, event.error)
    return {**_dead(task, event, now, settings, error), "losses": losses}


def count_loss(task: Task, event: Lost | NotStarted, now: int, settings: Settings) -> FieldChanges:
    """Wait at the old place, with the loss counted."""
    return {**release(task, event, now, settings), "losses": task.losses + 1}


def release(task: Task, event: Event, now: int, settings: Settings) -> FieldChanges:
    """Wait at the old place."""
    return {"lease": "", "lease_until": 0, "settled": _settled(task, event)}


# --- other changes


def take_lease(task: Task, event: Claimed, now: int, settings: Settings) -> FieldChanges:
    """Count an attempt, under a new lease and fencing token."""
    return {
        "attempt": task.attempt + 1,
        "lease": event.lease,
        "lease_until": now + event.lease_ms,
        "token": event.token,
        "epoch": event.epoch,
        "started_at": now,
    }


def request_cancel(
    task: Task, event: CancelRequested, now: int, settings: Settings
) -> FieldChanges:
    """Remember that the run must stop; its lease goes on."""
    return {"cancel_requested": True}


def end(task: Task, event: Event, now: int, settings: Settings) -> FieldChanges:
    """End, with or without a lease."""
    ended = _ended(now, settings.task_ttl_ms)
    return {**ended, "settled": _settled(task, event), "checkpoint": None}


def expire(task: Task, event: Expired, now: int, settings: Settings) -> FieldChanges:
    """End unstarted, as cancelled: it is no dead letter that a person has to look at."""
    return {**_ended(now, settings.task_ttl_ms), "error": expired_text(task), "checkpoint": None}


def orphan(task: Task, event: Orphaned, now: int, settings: Settings) -> FieldChanges:
    """End as a dead letter, since no process can run it."""
    return _dead(task, event, now, settings, ORPHANED)


def reset(task: Task, event: Replayed, now: int, settings: Settings) -> FieldChanges:
    """Forget failures, losses, snoozes and the cancel, but not the attempts."""
    return {
        "ready_at": now + event.after_ms,
        "failures": 0,
        "losses": 0,
        "snoozes": 0,
        "replays": task.replays + 1,
        "cancel_requested": False,
        "ended_at": 0,
        "expires_at": 0,
    }


# --- what they share


def _ended(now: int, ttl_ms: int) -> FieldChanges:
    return {"lease": "", "lease_until": 0, "ended_at": now, "expires_at": now + ttl_ms}


def _dead(task: Task, event: Event, now: int, settings: Settings, error: str) -> FieldChanges:
    ended = _ended(now, settings.dead_letter_ttl_ms)
    return {**ended, "settled": _settled(task, event), "error": error}


def _settled(task: Task, event: Event) -> str:
    """What a repeated settle is compared with; a lease that ended without an outcome leaves the last one's."""
    if isinstance(event, Succeeded | Failed | Snoozed | Released | NotStarted):
        return f"{task.lease}:{outcome_word(event)}"
    return task.settled


# --- errors in words


def expired_text(task: Task) -> str:
    """What an expired task ends with."""
    seconds, ms = divmod(task.call.start_by_ms, 1000)
    return f"{EXPIRED}no process started it within {seconds}.{ms:03} s (expires_in)"


ORPHANED = (
    "the process that submitted this closure or lambda is gone, and no other process can run it; "
    "submit a module-level function, or use the pickle codec"
)


def lost_at_most_once(task: Task) -> str:
    """The error of an at_most_once task whose run was interrupted."""
    return (
        f"attempt {task.attempt} was interrupted, and at_most_once forbids another; "
        "replay the task if it may run again"
    )


def lost_too_often(losses: int) -> str:
    """The error of a task that lost its worker too often."""
    return (
        f"its worker was lost {_times(losses)}, more often than max_deliveries allows; "
        "check whether the task kills its process, then replay it"
    )


def never_started(times: int, error: str) -> str:
    """The error of a task that could not be started, and lost its workers otherwise, too often."""
    return f"it could not be started, and was delivered {_times(times)}, more often than max_deliveries allows: {error}"


def _times(count: int) -> str:
    return "1 time" if count == 1 else f"{count} times"
