"""One attempt in this process: its lease, its limits in time, and why it was asked to stop."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from contextvars import Context
from typing import Final, Protocol

from kew.app.injection import Scope
from kew.app.ports import Uptime
from kew.app.spawning import running_loop
from kew.domain.events import SettleEvent
from kew.domain.requests import LeaseRef
from kew.domain.task import Task


class Stop(enum.Enum):
    """Why a run is stopped; the first reason counts."""

    TIMEOUT = "it exceeded its timeout"
    CANCEL = "it was cancelled"
    SHUTDOWN = "the manager was shut down"
    FENCED = "its lease could not be extended in time"
    LOST = "its lease is no longer current"


class Spanning(Protocol):
    """The span of an attempt, if it is traced; `kew.app.tracing` says more."""

    def end(self, event: SettleEvent | None, error: BaseException | None) -> None: ...


NO_CONTEXT: Final = Context()  # never entered itself, only copies of it


class Run:
    """The mutable state of a slot. Instants are the event loop's time, seconds, but `fence_at` is one of `uptime`.

    `thread` is that of a plain function, if `is_thread`, once its call has begun.
    `context` has the variables that the task's code set, for its hooks and log lines, once it has ended.
    `scope`: its dependencies, if it has any. While they clean up, its outcome is decided, and `report` reports it.
    """

    __slots__ = (
        "__weakref__",
        "context",
        "fence_at",
        "handle",
        "is_attended",
        "is_settling",
        "is_thread",
        "ref",
        "report",
        "scope",
        "span",
        "started",
        "stop",
        "task",
        "thread",
        "timeout_at",
        "uptime",
    )

    def __init__(self, task: Task, *, fence_at: float, uptime: Uptime) -> None:
        self.task = task
        self.ref = LeaseRef(task.call.id, task.lease)
        self.fence_at = fence_at
        self.uptime = uptime
        self.timeout_at = float("inf")
        self.handle: asyncio.Task[None] | None = None
        self.stop: Stop | None = None
        self.span: Spanning | None = None
        self.is_attended = False
        self.started = False
        self.is_thread = False
        self.thread = 0
        self.is_settling = False
        self.context = NO_CONTEXT
        self.scope: Scope | None = None
        self.report: Callable[[], None] | None = None

    @property
    def is_begun(self) -> bool:
        """It has an asyncio task, which reports its outcome."""
        return self.is_attended or self.handle is not None

    @property
    def is_dead(self) -> bool:
        """Its asyncio task was cancelled before its first step, by code that cancels every task of the loop."""
        is_over = self.handle is not None and self.handle.done()
        return is_over and not self.is_attended and not self.is_settling

    def is_stopped(self) -> bool:
        """Whether it was asked to stop. If this process stood still since the grant, it is asked now."""
        if self.uptime() >= self.fence_at:
            self.ask_to_stop(Stop.FENCED)
        return self.stop is not None

    def ask_to_stop(self, reason: Stop) -> None:
        """Cancel the run, unless it is ending anyway. A thread can't be cancelled: it is waited for."""
        if self.report is not None:
            self._report_now(reason)
            return
        if self.stop is not None or self.is_settling:
            return
        self.stop = reason
        if self.is_attended and not self.is_thread and self.handle is not None:
            self.handle.cancel()

    def _report_now(self, reason: Stop) -> None:
        """Its outcome is decided, so it isn't stopped: only its dependencies still clean up."""
        if reason is Stop.LOST:
            self.stop = reason
        report, self.report = self.report, None
        if report is not None:
            report()


def is_loop_gone() -> bool:
    """Whether the code that runs now is a coroutine that is thrown away: no event loop runs it any more.

    User code that catches the GeneratorExit may raise any other error instead.
    """
    return running_loop() is None
