"""Who blocks the event loop.

A daemon thread that looks at the loop's thread when the loop has not turned for a while.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback

from kew.app.ports import Watchdog
from kew.compat import override
from kew.log import logger

BLOCKED_AFTER = 0.25  # seconds
LOOKS_PER_LIMIT = 4


class ThreadWatchdog(Watchdog):
    """Logs, once per blockage, the running asyncio task (a kew task is named by its id) and its stack."""

    def __init__(self, blocked_after: float = BLOCKED_AFTER) -> None:
        self._limit = blocked_after
        self._turned_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = threading.Event()

    @override
    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._closed = threading.Event()
        self._beat(loop)
        watched = threading.get_ident()
        threading.Thread(
            target=self._look, args=(loop, watched, self._closed), name="kew-watchdog", daemon=True
        ).start()

    @override
    def close(self) -> None:
        self._closed.set()
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._turned_at = time.monotonic()
        self._timer = loop.call_later(self._limit / LOOKS_PER_LIMIT, self._beat, loop)

    def _look(self, loop: asyncio.AbstractEventLoop, watched: int, closed: threading.Event) -> None:
        reported = 0.0
        while not closed.wait(self._limit / LOOKS_PER_LIMIT):
            turned_at = self._turned_at
            late = time.monotonic() - turned_at
            if late > self._limit and turned_at != reported:
                reported = turned_at
                _report(loop, watched, late)


def _report(loop: asyncio.AbstractEventLoop, watched: int, late: float) -> None:
    frame = sys._current_frames().get(watched)
    task = asyncio.current_task(loop)
    logger.warning(
        "the event loop has been blocked for %.2f s by %s:\n%s",
        late,
        task.get_name() if task else "a callback (no task)",
        "".join(traceback.format_stack(frame)) if frame else "(its stack is not available)",
    )
