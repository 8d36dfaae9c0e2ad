"""The life of a task: one table, which `step` executes.

A row says: in this status, at this event, if this guard holds, the task goes to this status, with these changes and
this effect. Of the rows for one status and event, the first whose guard holds is taken, and the last has no guard. An
event without a row is a bug in the caller: `IllegalTransition`, raised in one place, with nothing changed.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any

import attrs

from kew.domain.config import Settings
from kew.domain.errors import IllegalTransition
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
from kew.domain.task import Task, TaskStatus, moved
from kew.domain.transitions import (
    FieldChanges,
    at_most_once,
    at_most_once_and_started,
    cancel_failed,
    cancel_requested,
    count_loss,
    delivered_too_often,
    end,
    expire,
    fail,
    fail_interrupted,
    fail_undelivered,
    final,
    final_and_uncounted,
    keep_result,
    orphan,
    release,
    request_cancel,
    reset,
    snooze,
    take_lease,
    uncounted,
    wait_for_retry,
)

QUEUED, PROCESSING, RETRY = TaskStatus.QUEUED, TaskStatus.PROCESSING, TaskStatus.RETRY
COMPLETED, FAILED, CANCELLED = TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED


class Effect(enum.Enum):
    """What a step wants besides the new value; the queue's rules carry it out."""

    COUNT_SUCCESS = "count a success for the breaker"
    COUNT_FAILURE = "count a failure for the breaker"
    RETURN_PROBE = "free the breaker's probe"
    NOTIFY_HOLDER = "notify the lease's holder to stop"


Guard = Callable[[Task, Any, Settings], bool]  # `Any`: each reads the event of its row
FieldChangesOf = Callable[[Task, Any, int, Settings], FieldChanges]


@attrs.frozen
class Row:
    """One transition. Without a guard it is taken whenever its turn comes."""

    status: TaskStatus
    event: type[Event]
    guard: Guard | None
    target: TaskStatus
    changes: FieldChangesOf
    effect: Effect | None = None


SUCCESS, FAILURE, PROBE = Effect.COUNT_SUCCESS, Effect.COUNT_FAILURE, Effect.RETURN_PROBE

# fmt: off
TABLE = (
    Row(QUEUED,     Claimed,         None,                     PROCESSING, take_lease),
    Row(QUEUED,     CancelRequested, None,                     CANCELLED,  end),
    Row(QUEUED,     Orphaned,        None,                     FAILED,     orphan),
    Row(QUEUED,     Expired,         None,                     CANCELLED,  expire),
    Row(RETRY,      Claimed,         None,                     PROCESSING, take_lease),
    Row(RETRY,      CancelRequested, None,                     CANCELLED,  end),
    Row(RETRY,      Orphaned,        None,                     FAILED,     orphan),
    Row(PROCESSING, Succeeded,       None,                     COMPLETED,  keep_result,      SUCCESS),
    Row(PROCESSING, Failed,          cancel_requested,         CANCELLED,  cancel_failed,    PROBE),
    Row(PROCESSING, Failed,          final_and_uncounted,      FAILED,     fail,             PROBE),
    Row(PROCESSING, Failed,          final,                    FAILED,     fail,             FAILURE),
    Row(PROCESSING, Failed,          uncounted,                RETRY,      wait_for_retry,   PROBE),
    Row(PROCESSING, Failed,          None,                     RETRY,      wait_for_retry,   FAILURE),
    Row(PROCESSING, Snoozed,         cancel_requested,         CANCELLED,  cancel_failed,    PROBE),
    Row(PROCESSING, Snoozed,         None,                     QUEUED,     snooze,           PROBE),
    Row(PROCESSING, Lost,            cancel_requested,         CANCELLED,  end,              PROBE),
    Row(PROCESSING, Lost,            at_most_once,             FAILED,     fail_interrupted, PROBE),
    Row(PROCESSING, Lost,            delivered_too_often,      FAILED,     fail_undelivered, PROBE),
    Row(PROCESSING, Lost,            None,                     QUEUED,     count_loss,       PROBE),
    Row(PROCESSING, Released,        cancel_requested,         CANCELLED,  end,              PROBE),
    Row(PROCESSING, Released,        at_most_once_and_started, FAILED,     fail_interrupted, PROBE),
    Row(PROCESSING, Released,        None,                     QUEUED,     release,          PROBE),
    Row(PROCESSING, NotStarted,      cancel_requested,         CANCELLED,  end,              PROBE),
    Row(PROCESSING, NotStarted,      delivered_too_often,      FAILED,     fail_undelivered, PROBE),
    Row(PROCESSING, NotStarted,      None,                     QUEUED,     count_loss,       PROBE),
    Row(PROCESSING, CancelRequested, None,                     PROCESSING, request_cancel,   Effect.NOTIFY_HOLDER),
    Row(FAILED,     Replayed,        None,                     QUEUED,     reset),
    Row(CANCELLED,  Replayed,        None,                     QUEUED,     reset),
)
# fmt: on

Cell = tuple[TaskStatus, type[Event]]


def cell_of(row: Row) -> Cell:
    """A row's status and event."""
    return row.status, row.event


CELLS: Mapping[Cell, tuple[Row, ...]] = {
    cell: tuple(rows) for cell, rows in groupby(TABLE, cell_of)
}
Step = tuple[Task, Effect | None]


def step(task: Task, event: Event, now: int, settings: Settings) -> Step:
    """The task after `event` at the store's instant `now` (ms), and the effect wanted.

    Raises `IllegalTransition`, with nothing changed, for a pair that the table doesn't list.
    """
    row = row_of(task, event, settings)
    return moved(task, status=row.target, **row.changes(task, event, now, settings)), row.effect


def row_of(task: Task, event: Event, settings: Settings) -> Row:
    """The first row whose guard holds."""
    for row in CELLS.get((task.status, type(event)), ()):
        if row.guard is None or row.guard(task, event, settings):
            return row
    raise IllegalTransition(
        f"{type(event).__name__} is illegal while {task.status.value}: {task.id!r}"
    )


def verify(before: Task, event: Event, after: Task, settings: Settings) -> None:
    """Assert that a step went where the table says; for tests, simulation and search."""
    target = row_of(before, event, settings).target
    went = f"{type(event).__name__}: {before.status} -> {after.status}"
    assert after.status is target, f"{went}, not {target}"


def print_table() -> str:
    """The table as text: a line for each row, and for each status after which there is nothing."""
    lines = [_line(row).rstrip() for row in TABLE]
    left = {row.status for row in TABLE}
    return "\n".join(
        lines + [f"{status:<10}  (an end)" for status in TaskStatus if status not in left]
    )


def _line(row: Row) -> str:
    guard = f"if {_words(row.guard)}" if row.guard else ""
    effect = row.effect.name.lower() if row.effect else ""
    return (
        f"{row.status:<10}  {row.event.__name__:<15}  {guard:<27}  -> {row.target:<10}  "
        f"{_words(row.changes):<16}  {_spaced(effect)}"
    )


def _words(function: Guard | FieldChangesOf) -> str:
    return _spaced(function.__name__)


def _spaced(name: str) -> str:
    return name.replace("_", " ")
