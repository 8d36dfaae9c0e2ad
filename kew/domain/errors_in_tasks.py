"""Errors raised inside of a running task, by what it reports or saves. Public names: see `kew.exceptions`."""

from __future__ import annotations

from kew.domain.errors import TaskQueueError, shown


class InvalidProgressError(TaskQueueError, ValueError):
    """A task reported progress that isn't a number from 0 to 1, or a message that isn't text."""


class InvalidCheckpointError(TaskQueueError, ValueError):
    """A task saved what can't be stored, or its last checkpoint can't be decoded here."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"checkpoint: {reason}")


class LeaseLostError(TaskQueueError):
    """The attempt is over or has lost its lease: another one may run. Nothing was saved."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"task {shown(task_id)}: this attempt no longer has its lease")
        self.task_id = task_id
