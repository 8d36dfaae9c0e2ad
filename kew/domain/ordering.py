"""The one definition of who is next: by priority, then by when it became ready, then by ticket."""

from __future__ import annotations

from kew.domain.task import Task

OrderKey = tuple[int, int, int]


def order_key(task: Task) -> OrderKey:
    """Sort key of a waiting task; `ticket` is unique in a queue, so no two are equal."""
    return (task.call.priority, task.ready_at, task.ticket)


def is_due(task: Task, now: int) -> bool:
    """A waiting task may be claimed from `ready_at` on; until then it blocks no other task."""
    return task.is_waiting and task.ready_at <= now
