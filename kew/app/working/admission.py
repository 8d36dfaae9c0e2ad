"""The polite host: a queue that lives in a web process must not ruin it.

Granted runs are started in slices, one slice per turn of the event loop, so that the loop serves
everybody else in between. The slice grows by one while the loop keeps up and is halved when it lags
(additive increase, multiplicative decrease); while even single starts leave the loop late, admission pauses.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from kew.app.working.runs import Run
from kew.app.working.slots import Slots

BEAT = 0.01  # seconds between two looks at the loop while tasks run
LARGEST_SLICE = 64
TURNS = 2  # of the loop in which a host's request is read and answered: together they may take as long as the bound
DECAY = 0.9  # of the exported maximum, per beat


class LoopLag:
    """How late the event loop is, seconds: measured while something runs, by a timer that should fire every `BEAT`."""

    def __init__(self, is_wanted: Callable[[], bool]) -> None:
        self.last = 0.0
        self.recent_max = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._is_wanted = is_wanted

    def measure(self) -> None:
        """Begin to measure, until `is_wanted` says no."""
        if self._timer is None:
            self._schedule()

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time() + BEAT
        self._timer = loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        self.last = max(0.0, asyncio.get_running_loop().time() - self._due)
        self.recent_max = max(self.last, self.recent_max * DECAY)
        if self._is_wanted():
            self._schedule()
        else:
            self._timer = None

    def close(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Admission:
    """Starts the runs of one process; `max_lag` None starts everything at once.

    The lag is measured only while one of the runs goes on.
    """

    def __init__(self, max_lag: float | None = None) -> None:
        self.starts_at_once = max_lag is None
        self.lag = LoopLag(self._is_busy)
        self._slots: list[Slots] = []
        self._max_lag = max_lag
        self._waiting: deque[tuple[Callable[[Run], None], Run]] = deque()
        self._slice = 8
        self._turn_began = 0.0
        self._is_pumping = False

    def join(self, slots: Slots) -> None:
        """Measure the lag while these are in use, too."""
        self._slots.append(slots)

    def start(self, begin: Callable[[Run], None], runs: Sequence[Run]) -> None:
        """Call `begin` for each run, now or in the loop's next turns."""
        if self._max_lag is None:
            self._start_at_once(begin, iter(runs))
            return
        self._waiting.extend((begin, run) for run in runs)
        self.lag.measure()
        if not self._is_pumping:
            self._is_pumping = True
            self._turn_began = asyncio.get_running_loop().time()
            self._pump(self._max_lag)

    def _start_at_once(self, begin: Callable[[Run], None], left: Iterator[Run]) -> None:
        try:
            for run in left:
                begin(run)
        except BaseException:  # an interrupt of its first step, after which the loop may yet go on
            asyncio.get_running_loop().call_soon(self._start_at_once, begin, left)
            raise

    def _is_busy(self) -> bool:
        return self._is_pumping or any(slots.load() for slots in self._slots)

    def _pump(self, max_lag: float) -> None:
        now = asyncio.get_running_loop().time()
        self._adapt(now - self._turn_began, max_lag)
        self._turn_began = now
        try:
            for _ in range(min(self._slice, len(self._waiting))):
                begin, run = self._waiting.popleft()
                begin(run)
        finally:
            self._go_on(now, max_lag)

    def _go_on(self, now: float, max_lag: float) -> None:
        loop = asyncio.get_running_loop()
        if not self._waiting:
            self._is_pumping = False
        elif self._slice == 1 and self.lag.last > max_lag:
            self._turn_began = now + max_lag
            loop.call_later(max_lag, self._pump, max_lag)
        else:
            loop.call_soon(self._pump, max_lag)

    def _adapt(self, turn: float, max_lag: float) -> None:
        """`turn`: how long the loop's last turn took, seconds."""
        budget = max_lag / TURNS
        if turn > budget or self.lag.last > max_lag:
            self._slice = max(1, self._slice // 2)
        elif turn < budget / 2:
            self._slice = min(LARGEST_SLICE, self._slice + 1)

    def close(self) -> None:
        """Measure no more; what waits is never started."""
        self._waiting.clear()
        self.lag.close()
