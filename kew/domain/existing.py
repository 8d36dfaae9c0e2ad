"""Errors about a task that is there already."""

from __future__ import annotations

from kew.domain.errors import TaskQueueError


class TaskNotEndedError(TaskQueueError):
    """The task waits or runs, so its record can't be removed, nor its id used again."""

    def __init__(self, task_id: str) -> None:
        super().__init__(
            f"task {task_id!r} has not ended: cancel it first (`await manager.cancel_task({task_id!r})`), and "
            "wait for its end if it runs"
        )
        self.task_id = task_id
