"""Lists of waiting tasks: which tasks are meant, and where a list goes on."""

from __future__ import annotations

import enum
from collections.abc import Collection
from typing import Final

import attrs

from kew.domain.keys import key_of
from kew.domain.task import Task

LOOKED_AT_ONCE: Final = 500  # entries of the indexes, in one request


class WaitingState(enum.StrEnum):
    """What a waiting task waits for."""

    READY = "ready"  # a slot
    DEFERRED = "deferred"  # its due time
    STUCK = "stuck"  # a process that can run its function


@attrs.frozen(kw_only=True)
class CallFilter:
    """Which calls are meant, submitted from one instant on and before another (ms); None: any."""

    function: str | None = None
    key: str | None = None
    task_type: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def means(self, task: Task) -> bool:
        """Whether the task's call is one of them."""
        return (
            self.function in (None, task.call.function)
            and self.key in (None, key_of(task.call))
            and self.task_type in (None, task.call.task_type)
            and (self.since_ms is None or task.queued_at >= self.since_ms)
            and (self.until_ms is None or task.queued_at < self.until_ms)
        )


@attrs.frozen(kw_only=True)
class WaitingFilter(CallFilter):
    """Which waiting tasks are meant."""

    states: Collection[WaitingState] = tuple(WaitingState)

    def fits(self, task: Task, now: int, *, is_stuck: bool) -> bool:
        """Whether a waiting task is meant. `is_stuck`: no process that is present can run it."""
        return state_of(task, now, is_stuck=is_stuck) in self.states and self.means(task)


def state_of(task: Task, now: int, *, is_stuck: bool) -> WaitingState:
    """What a waiting task waits for."""
    if is_stuck:
        return WaitingState.STUCK
    return WaitingState.READY if task.ready_at <= now else WaitingState.DEFERRED


class Part(enum.IntEnum):
    """Where a store keeps waiting tasks of one priority, in the order of a list."""

    LINE = 0
    SET = 1
    SHELF = 2
    KEY = 3


@attrs.frozen(order=True)
class Place:
    """How far waiting tasks were read: down to the one of this ticket and id, due at this instant, in this part.

    `name` is a shelf's or a key's, as the store writes it; `scan` says how far a store has looked for keys.
    """

    priority: int = 1
    part: Part = Part.LINE
    scan: int = 0
    name: str = ""
    due_at: int = 0
    ticket: int = 0
    task_id: str = ""
