"""Letting the dependencies of runs clean up, once the outcome is decided: nothing that they do changes it.

A run keeps its slot and its lease meanwhile, so that its next attempt finds things in order. If the clean-up takes
long, or the process ends, the outcome is reported first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from kew.app.injection import CLEANUP_FAILED
from kew.app.labels import log, warn
from kew.app.working.interrupts import is_interrupt
from kew.app.working.runs import Run, Stop, is_loop_gone
from kew.log import logger

PATIENCE: Final = 5.0
"""Seconds that an outcome waits for the clean-up."""
PATIENCE_AT_SHUTDOWN: Final = 1.0


class Cleanups:
    """The clean-ups of one queue. `is_ending`: the event loop ends."""

    def __init__(self, is_ending: Callable[[], bool]) -> None:
        self._is_ending = is_ending
        self._tasks: set[asyncio.Task[None]] = set()

    async def clean_up(
        self, run: Run, error: BaseException | None, report: Callable[[], None]
    ) -> bool:
        """Clean up after the run, in its asyncio task; False: its outcome was reported meanwhile.

        `error` is what the dependencies see. What they raise is logged.
        """
        run.report = report
        patience = PATIENCE_AT_SHUTDOWN if run.stop is Stop.SHUTDOWN else PATIENCE
        timer = asyncio.get_running_loop().call_later(patience, self._report_late, run, patience)
        try:
            await self.close(run, error)
        finally:
            timer.cancel()
            is_reported, run.report = run.report is None, None
        return not is_reported

    async def close(self, run: Run, error: BaseException | None) -> None:
        """Clean up after the run; what fails is logged."""
        task = asyncio.current_task()
        if run.scope is None or task is None:
            return
        self._tasks.add(task)
        try:
            await run.scope.close(error)
        except BaseException as failure:
            if is_loop_gone() or is_interrupt(failure):
                raise
            if isinstance(failure, asyncio.CancelledError) and self._is_ending():
                raise
            log(logger.error, run, CLEANUP_FAILED, failure)
        finally:
            self._tasks.discard(task)

    def _report_late(self, run: Run, patience: float) -> None:
        if run.report is not None:
            warn(run, f"has dependencies that take more than {patience:g} s to clean up")
            report, run.report = run.report, None
            report()

    async def end(self, timeout: float) -> None:
        """Wait for those that still clean up, at most `timeout` seconds, then cancel them."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(set(self._tasks), timeout=timeout)
        for task in late:
            task.cancel()
        if late:
            logger.warning(
                "dependencies of %s tasks still clean up after %g s and are cancelled",
                len(late),
                timeout,
            )
            await asyncio.wait(late, timeout=timeout)
