"""Who blocks the event loop.

A daemon thread that looks at the loop's thread when the loop has not turned for a while.
"""

from __future__ import annotations

import asyncio
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, Final

from kew.app.ports import Watchdog
from kew.compat import override
from kew.log import PROCESS, logger

LOOKS_PER_LIMIT: Final = 4
NAME: Final = re.compile(r"task (\S+) \(queue (\S+), (.+)\)")
UNSEEN: Final = "by a call that kept other threads from running too, or the process stood still"


class ThreadWatchdog(Watchdog):
    """Logs, once per blockage, the running asyncio task (a kew task is named by its id) and its stack."""

    def __init__(self) -> None:
        self._limit = 0.0
        self._turned_at = 0.0
        self._reported = 0.0  # what `_turned_at` was when a blockage was reported
        self._worst = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = threading.Event()
        self._while_blocked: Callable[[float], None] | None = None

    @override
    def start(
        self, blocked_after: float, while_blocked: Callable[[float], None] | None = None
    ) -> None:
        loop = asyncio.get_running_loop()
        if getattr(loop, "is_simulated", False):
            return  # its steps take no time
        self._limit, self._closed = blocked_after, threading.Event()
        self._while_blocked = while_blocked
        self._turned_at = time.monotonic()
        self._schedule(loop)
        arguments = (loop, threading.get_ident(), self._closed, PROCESS.get(None))
        threading.Thread(
            target=self._look, args=arguments, name="kew-watchdog", daemon=True
        ).start()

    @override
    def close(self) -> None:
        self._closed.set()
        if self._timer is not None:
            self._timer.cancel()

    @override
    def worst_lag(self) -> float | None:
        worst, self._worst = self._worst, 0.0
        return worst if self._limit else None

    @property
    def _pause(self) -> float:
        return self._limit / LOOKS_PER_LIMIT

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(self._pause, self._beat, loop)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        before, now = self._turned_at, time.monotonic()
        late = now - before - self._pause
        self._turned_at = now
        self._worst = max(self._worst, late)
        self._schedule(loop)
        if late > self._limit:
            why = "" if self._reported == before else f" {UNSEEN}"
            logger.warning("the event loop was blocked for %.2f s in all%s", now - before, why)

    def _look(
        self,
        loop: asyncio.AbstractEventLoop,
        watched: int,
        closed: threading.Event,
        process: str | None,
    ) -> None:
        looked_at = time.monotonic()
        while not closed.wait(self._pause) and not loop.is_closed():
            if not loop.is_running():
                continue  # between two runs nothing blocks it
            before, looked_at = looked_at, time.monotonic()
            turned_at = self._turned_at
            late = looked_at - turned_at
            # If this thread was late as well, the loop's thread is somewhere else by now.
            is_late = looked_at - before > 2 * self._pause
            if late > self._limit and not is_late and turned_at != self._reported:
                self._reported = turned_at
                _report(loop, watched, late, process)
            if self._while_blocked is not None and late > self._pause and not is_late:
                self._while_blocked(late)


def _report(
    loop: asyncio.AbstractEventLoop, watched: int, late: float, process: str | None
) -> None:
    frame = sys._current_frames().get(watched)
    task = asyncio.current_task(loop)
    name = task.get_name() if task else "a callback (no task)"
    logger.warning(
        "the event loop%s has been blocked for %.2f s by %s:\n%s",
        f" of {process}" if process else "",
        late,
        name,
        "".join(traceback.format_stack(frame)) if frame else "(its stack is not available)",
        fields={**_fields(name), "process_name": process},
    )


def _fields(name: str) -> dict[str, Any]:
    """Those of a kew task, by the name of its asyncio task."""
    found = NAME.fullmatch(name)
    return dict(zip(("task_id", "queue", "function"), found.groups(), strict=True)) if found else {}
