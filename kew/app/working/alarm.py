"""When a worker looks for work without a notification."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Alarm:
    """Rings once, at the earliest instant that it was set to. Instants are the event loop's time, seconds."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._heard_at = 0.0

    def set(self, seconds: float) -> None:
        """Ring then; an earlier alarm stays."""
        loop = asyncio.get_running_loop()
        self._heard_at = loop.time()
        at = self._heard_at + seconds
        if self._timer is not None and not self._timer.cancelled():
            if self._heard_at < self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = loop.call_at(at, self._ring)

    def answered(self, seconds: float | None, *, asked_at: float) -> None:
        """The store says when there may be more; None: it can't say. Asked after all that was heard, it is the latest
        word, and an earlier alarm that rests on older words is over.
        """
        if asked_at > self._heard_at:
            self.cancel()
        if seconds is not None:
            self.set(seconds)

    def cancel(self) -> None:
        """Don't ring."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
