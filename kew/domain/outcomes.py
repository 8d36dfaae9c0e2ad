"""How the outcome of a lease is remembered, so that a repeated settle gets the answer of the first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from kew.domain.errors import SCOPES
from kew.domain.events import Failed, NotStarted, Released, SettleEvent, Snoozed, Succeeded
from kew.domain.task import Task, TaskStatus

SUCCEED, RELEASE, NOT_STARTED = "succeed", "release", "not_started"
SNOOZES = tuple(f"snooze_{scope}" for scope in SCOPES)

WENT_TO: Mapping[str, TaskStatus] = {
    SUCCEED: TaskStatus.COMPLETED,
    "fail": TaskStatus.FAILED,
    "fail_uncounted": TaskStatus.FAILED,
    "retry": TaskStatus.RETRY,
    "retry_uncounted": TaskStatus.RETRY,
    **dict.fromkeys(SNOOZES, TaskStatus.QUEUED),
    RELEASE: TaskStatus.QUEUED,
    NOT_STARTED: TaskStatus.QUEUED,
}


def outcome_word(event: SettleEvent) -> str:
    """The word for a settled lease's outcome."""
    match event:
        case Succeeded():
            return SUCCEED
        case Failed(retry_after_ms=None, counts=counts):
            return "fail" if counts else "fail_uncounted"
        case Failed(counts=counts):
            return "retry" if counts else "retry_uncounted"
        case Snoozed(scope=scope):
            return f"snooze_{scope}"
        case Released():
            return RELEASE
        case NotStarted():
            return NOT_STARTED
        case _ as never:
            assert_never(never)


def settled_word(task: Task) -> str:
    """The outcome that was settled last; empty: none was."""
    return task.settled.rpartition(":")[2]


def has_snoozed(task: Task) -> bool:
    """Whether the outcome that was settled last asked to come back later."""
    return settled_word(task) in SNOOZES


def went_to(task: Task, word: str) -> TaskStatus:
    """Where the outcome settled last took the task. It may be further by now; what was cancelled since stays so."""
    if task.status is TaskStatus.CANCELLED:
        return TaskStatus.CANCELLED
    is_final = word == NOT_STARTED or (word == RELEASE and task.call.at_most_once)
    if is_final and task.status is TaskStatus.FAILED:
        return TaskStatus.FAILED
    return WENT_TO[word]
