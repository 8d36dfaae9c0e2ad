"""One attempt in this process: its lease, its limits in time, and why it was told to stop."""

from __future__ import annotations

import asyncio
import enum

from kew.app.spawning import running_loop
from kew.domain.requests import LeaseRef
from kew.domain.task import Task


class Stop(enum.Enum):
    """Why a run was told to stop; the first reason counts."""

    TIMEOUT = "its time is over"
    CANCEL = "somebody cancelled the task"
    SHUTDOWN = "the process stops"
    FENCED = "its lease could not be extended in time"
    LOST = "its lease belongs to nobody or to another"


class Run:
    """The mutable state of a slot. Instants are the event loop's time, seconds."""

    __slots__ = (
        "fence_at",
        "handle",
        "is_attended",
        "is_settling",
        "is_thread",
        "ref",
        "started",
        "stop",
        "task",
        "timeout_at",
    )

    def __init__(self, task: Task, *, fence_at: float) -> None:
        self.task = task
        self.ref = LeaseRef(task.call.id, task.lease)
        self.fence_at = fence_at
        self.timeout_at = float("inf")
        self.handle: asyncio.Task[None] | None = None
        self.stop: Stop | None = None
        self.is_attended = False
        self.started = False
        self.is_thread = False
        self.is_settling = False

    def is_stopped(self) -> bool:
        """It was told to stop, or is from now on: this process stood still since the grant."""
        if asyncio.get_running_loop().time() >= self.fence_at:
            self.ask_to_stop(Stop.FENCED)
        return self.stop is not None

    def ask_to_stop(self, reason: Stop) -> None:
        """Cancel the run, unless it is ending anyway. A thread can't be cancelled: it is waited for."""
        if self.stop is not None or self.is_settling:
            return
        self.stop = reason
        if self.is_attended and not self.is_thread and self.handle is not None:
            self.handle.cancel()


def is_loop_gone(error: BaseException) -> bool:
    """Whether this came out of user code because its coroutine is thrown away: no event loop runs it any more."""
    return isinstance(error, GeneratorExit) and running_loop() is None
