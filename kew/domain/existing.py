"""Errors about a task that is there already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kew.domain.errors import TaskAlreadyExistsError, TaskQueueError


class TaskNotEndedError(TaskQueueError):
    """The task waits or runs, so its record can't be removed, nor its id used again."""

    def __init__(self, task_id: str) -> None:
        super().__init__(
            f"task {task_id!r} has not ended: cancel it first (`await manager.cancel_task({task_id!r})`), and "
            "wait for its end if it runs"
        )
        self.task_id = task_id


class UniqueTaskError(TaskAlreadyExistsError):
    """Another task holds the unique key of a call (`conflict="raise"`) and may no longer wait ("replace").

    `task_id` and `handle` are those of this other task. Nothing of the call, or of the refused piece of a batch, was
    stored. `is_replay`: it holds the key of the task `task_id`, which wasn't replayed; the handle is None then.
    """

    def __init__(
        self,
        task_id: str,
        accepted: Sequence[str] = (),
        *,
        handle: Any = None,
        is_replay: bool = False,
    ) -> None:
        TaskQueueError.__init__(
            self,
            f"task {task_id!r} wasn't replayed: another task holds its unique key; wait for its end"
            if is_replay
            else f"task {task_id!r} holds the unique key of this call: `error.handle` is its handle; "
            "wait for its end, cancel it, or submit with conflict='join'",
        )
        self.task_id = task_id
        self.accepted = tuple(accepted)
        self.handle = handle
