"""The life of a task: one table of what may happen, and `step`, which makes it happen.

The table is the whole behaviour: every status stands in it, ends with nearly nothing after them. An event that
a status doesn't list is a bug in the caller: `IllegalTransition`, raised in one place, with nothing changed. `step`
computes where the task goes; that it goes where the table allows is checked on every step of every test and simulation
(`verify`), and the table can be printed (`print_table`).

    PROCESSING with cancel requested: fail, lose, release -> CANCELLED      succeed -> COMPLETED
    at_most_once: lose, and release of a started run      -> FAILED         release of one not started -> QUEUED
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, assert_never

from kew.domain.config import Settings
from kew.domain.errors import IllegalTransition
from kew.domain.events import (
    CancelRequested,
    Claimed,
    Event,
    Failed,
    Lost,
    Orphaned,
    Released,
    Replayed,
    SettleEvent,
    Succeeded,
)
from kew.domain.task import Task, TaskStatus

QUEUED, PROCESSING, RETRY = TaskStatus.QUEUED, TaskStatus.PROCESSING, TaskStatus.RETRY
COMPLETED, FAILED, CANCELLED = TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED

TABLE: Mapping[TaskStatus, Mapping[type[Event], frozenset[TaskStatus]]] = {
    QUEUED: {
        Claimed: frozenset({PROCESSING}),
        CancelRequested: frozenset({CANCELLED}),
        Orphaned: frozenset({FAILED}),
    },
    RETRY: {
        Claimed: frozenset({PROCESSING}),
        CancelRequested: frozenset({CANCELLED}),
        Orphaned: frozenset({FAILED}),
    },
    PROCESSING: {
        Succeeded: frozenset({COMPLETED}),
        Failed: frozenset({RETRY, FAILED, CANCELLED}),
        Lost: frozenset({QUEUED, FAILED, CANCELLED}),
        Released: frozenset({QUEUED, FAILED, CANCELLED}),
        CancelRequested: frozenset({PROCESSING}),
    },
    COMPLETED: {},
    FAILED: {Replayed: frozenset({QUEUED})},
    CANCELLED: {Replayed: frozenset({QUEUED})},
}


class Effect(enum.Enum):
    """What a step wants besides the new value; the queue's rules carry it out."""

    COUNT_SUCCESS = "tell the breaker of a success"
    COUNT_FAILURE = "tell the breaker of a failure"
    RETURN_PROBE = "give a probe of the breaker back"
    TELL_HOLDER = "tell the lease's holder to stop"


Step = tuple[Task, Effect | None]


def step(task: Task, event: Event, now: int, settings: Settings) -> Step:
    """The task after `event` at the store's instant `now` (ms), and the effect wanted.

    Raises `IllegalTransition`, with nothing changed, for a pair that the table doesn't list.
    """
    if type(event) not in TABLE[task.status]:
        raise IllegalTransition(
            f"{type(event).__name__} is illegal while {task.status.value}: {task.id!r}"
        )
    match event:
        case Claimed():
            return _claimed(task, event, now), None
        case Succeeded(result):
            done = _ended(task, COMPLETED, now, settings, "succeed", result=result, error="")
            return done, Effect.COUNT_SUCCESS
        case Failed():
            return _failed(task, event, now, settings)
        case Lost():
            return _lost(task, now, settings), Effect.RETURN_PROBE
        case Released(started):
            return _released(task, now, settings, started=started), Effect.RETURN_PROBE
        case CancelRequested():
            return _cancelled(task, now, settings)
        case Orphaned():
            return _ended(task, FAILED, now, settings, error=ORPHANED), None
        case Replayed():
            return _replayed(task, now), None
        case _ as never:
            assert_never(never)


ORPHANED = (
    "the process that submitted this closure or lambda has gone, and no other can run it; "
    "submit a module-level function, or use the pickle codec"
)


def lost_at_most_once(task: Task) -> str:
    """The error of an at_most_once task whose run was interrupted."""
    return f"attempt {task.attempt} was interrupted, and at_most_once forbids another"


def lost_too_often(losses: int) -> str:
    """The error of a task that took its worker down too often."""
    return f"its worker was lost {losses} times (max_deliveries), so it is not given to another"


def _claimed(task: Task, event: Claimed, now: int) -> Task:
    return task.moved(
        status=PROCESSING,
        attempt=task.attempt + 1,
        lease=event.lease,
        lease_until=now + event.lease_ms,
        token=event.token,
        epoch=event.epoch,
        started_at=now,
    )


def _failed(task: Task, event: Failed, now: int, settings: Settings) -> Step:
    word = outcome_word(event)
    if task.cancel_requested:
        cancelled = _ended(task, CANCELLED, now, settings, word, error=event.error)
        return cancelled, Effect.RETURN_PROBE
    counted = {"error": event.error, "failures": task.failures + 1}
    if event.retry_after_ms is None:
        return _ended(task, FAILED, now, settings, word, **counted), Effect.COUNT_FAILURE
    again_at = now + event.retry_after_ms
    return _waiting(task, RETRY, again_at, word, **counted), Effect.COUNT_FAILURE


def _lost(task: Task, now: int, settings: Settings) -> Task:
    if task.cancel_requested:
        return _ended(task, CANCELLED, now, settings)
    if task.call.at_most_once:
        return _ended(task, FAILED, now, settings, error=lost_at_most_once(task))
    losses = task.losses + 1
    if losses > settings.max_deliveries:
        return _ended(task, FAILED, now, settings, error=lost_too_often(losses), losses=losses)
    return _waiting(task, QUEUED, task.ready_at, losses=losses)


def _released(task: Task, now: int, settings: Settings, *, started: bool) -> Task:
    if task.cancel_requested:
        return _ended(task, CANCELLED, now, settings, "release")
    if started and task.call.at_most_once:
        return _ended(task, FAILED, now, settings, "release", error=lost_at_most_once(task))
    return _waiting(task, QUEUED, task.ready_at, "release")


def _cancelled(task: Task, now: int, settings: Settings) -> Step:
    if task.status is PROCESSING:
        return task.moved(cancel_requested=True), Effect.TELL_HOLDER
    return _ended(task, CANCELLED, now, settings), None


def _replayed(task: Task, now: int) -> Task:
    return task.moved(
        status=QUEUED,
        ready_at=now,
        failures=0,
        losses=0,
        replays=task.replays + 1,
        cancel_requested=False,
        ended_at=0,
        expires_at=0,
    )


def _waiting(task: Task, status: TaskStatus, ready_at: int, word: str = "", **changes: Any) -> Task:
    return task.moved(
        status=status,
        ready_at=ready_at,
        lease="",
        lease_until=0,
        settled=_settled(task, word),
        **changes,
    )


def _ended(
    task: Task, status: TaskStatus, now: int, settings: Settings, word: str = "", **changes: Any
) -> Task:
    ttl = settings.dead_letter_ttl_ms if status is FAILED else settings.task_ttl_ms
    return task.moved(
        status=status,
        lease="",
        lease_until=0,
        settled=_settled(task, word),
        ended_at=now,
        expires_at=now + ttl,
        **changes,
    )


def _settled(task: Task, word: str) -> str:
    """What a repeated settle is compared with; a lease that ended without a word leaves the last one's."""
    return f"{task.lease}:{word}" if word else task.settled


def outcome_word(event: SettleEvent) -> str:
    """How a settled lease's outcome is remembered."""
    match event:
        case Succeeded():
            return "succeed"
        case Failed(retry_after_ms=None):
            return "fail"
        case Failed():
            return "retry"
        case Released():
            return "release"
        case _ as never:
            assert_never(never)


def settled_word(task: Task) -> str:
    """The outcome that was settled last; empty: none was."""
    return task.settled.rpartition(":")[2]


def went_to(task: Task, word: str) -> TaskStatus:
    """Where the outcome settled last took the task. It may be further by now; what was cancelled since stays so."""
    if task.status is CANCELLED:
        return CANCELLED
    if word == "release" and task.status is FAILED and task.call.at_most_once:
        return FAILED
    return {"succeed": COMPLETED, "fail": FAILED, "retry": RETRY, "release": QUEUED}[word]


def verify(before: Task, event: Event, after: Task) -> None:
    """Assert that a step went where the table says; for tests, simulation and search."""
    allowed = TABLE[before.status][type(event)]
    assert after.status in allowed, f"{type(event).__name__}: {before.status} -> {after.status}"


def print_table() -> str:
    """The table as text: a line per cell, ends with nothing after them."""
    lines = []
    for status, cells in TABLE.items():
        lines += [
            f"{status.value:<11} {event.__name__:<16} -> {', '.join(sorted(targets))}"
            for event, targets in cells.items()
        ] or [f"{status.value:<11} (an end)"]
    return "\n".join(lines)
