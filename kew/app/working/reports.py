"""What the runs of one worker report of their progress: of each run the last report alone, until the store has it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

from kew.app.working.runs import Run
from kew.domain.progress import ProgressReport, report_of

INTERVAL = 1.0
"""Seconds from a report until all that there are by then are sent, if no heartbeat takes them along before."""


class Reports:
    """Collects reports from the event loop and from threads. `send` is called on the event loop, once per interval."""

    def __init__(self, send: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._send = send
        self._last: dict[Run, ProgressReport] = {}
        self._sent: dict[Run, int] = {}  # the number of the last report that the store has
        self._timer: asyncio.TimerHandle | None = None
        self._is_announced = False
        self._is_closed = False

    def add(self, run: Run, value: float, message: str) -> None:
        """Report this from now on, in place of what the run reported before. Any thread may call it.

        A run that has ended reports nothing more. Raises `InvalidProgressError`.
        """
        before = self._last.get(run)
        report = report_of(before.number + 1 if before else 1, value, message)
        if run.is_settling or self._is_closed:
            return
        self._last[run] = report
        if not self._is_announced:  # the loop must hear of the first one alone
            self._is_announced = True
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._announced)

    def _announced(self) -> None:
        if self._timer is None and not self._is_closed:
            self._timer = self._loop.call_later(INTERVAL, self._due)

    def _due(self) -> None:
        self._timer = None
        self._is_announced = (
            False  # before they are read: what is added from here on is announced again
        )
        self._send()

    def has_news(self, run: Run) -> bool:
        """Whether it reported what the store doesn't have."""
        report = self._last.get(run)
        return report is not None and report.number > self._sent.get(run, 0)

    def of(self, runs: Sequence[Run]) -> Sequence[ProgressReport | None]:
        """What is to be sent, one for each of these runs; nothing if none of them has news."""
        if not self._last:
            return ()
        found = [self._last[run] if self.has_news(run) else None for run in runs]
        return found if any(found) else ()

    def sent(self, runs: Sequence[Run], reports: Sequence[ProgressReport | None]) -> None:
        """The store has these."""
        for run, report in zip(runs, reports, strict=bool(reports)):
            if report is not None:
                self._sent[run] = max(report.number, self._sent.get(run, 0))

    def keep(self, runs: Collection[Run]) -> None:
        """Forget what others than these reported: they have ended."""
        if self._last:
            for run in [run for run in list(self._last) if run not in runs]:
                self._last.pop(run, None)
                self._sent.pop(run, None)

    def close(self) -> None:
        """Send nothing any more."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
