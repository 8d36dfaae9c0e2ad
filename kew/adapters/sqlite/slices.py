"""Long transactions in slices, so that the event loop runs between them.

The thread of a store shares the interpreter's lock (GIL) with the event loop, and on a small host also the processor.
SQLite releases the lock for each statement, but only for microseconds: if the two share a processor, the thread has it
again before the event loop has woken. So the thread sleeps for a moment now and then, which hands over both.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

SLICE_S: Final = 0.002
PAUSE_S: Final = 0.000_05


class Slices:
    """The slices of one thread."""

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._end = 0.0

    def begin(self) -> None:
        """Begin a slice: the thread has just waited."""
        self._end = self._clock() + SLICE_S

    def check(self) -> None:
        """Pause if the slice is over. It is called for each task that is read or written."""
        if self._clock() >= self._end:
            self._sleep(PAUSE_S)
            self.begin()
