"""Keeping leases: extend all of them in one call, and stop runs that exceed their lease or timeout.

One timer serves all runs. It sleeps until the earliest time at which one of them must be stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence

from kew.app.ports import Extend, StoreError, TaskStore, Uptime
from kew.app.repeat import Failures
from kew.app.working.reports import Reports
from kew.app.working.runs import Run, Stop
from kew.app.working.slots import Slots
from kew.domain.config import QueueConfig, to_ms
from kew.domain.requests import Word
from kew.log import logger

EXTENSIONS_PER_LEASE = 3
TRIES_PER_LEASE = 15
# Seconds between two looks at the clock that goes on while the machine is suspended.
LONGEST_BEAT = 1.0
MARGIN = 0.1  # of a lease: a run is fenced this much before its lease can end
FOREVER = float("inf")


class Keeper:
    """Watches over the runs of one worker."""

    def __init__(
        self,
        slots: Slots,
        store: TaskStore,
        config: QueueConfig,
        uptime: Uptime | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.uptime: Uptime = uptime or loop.time
        self._beat = FOREVER if uptime is None else min(LONGEST_BEAT, MARGIN * config.lease)
        self._ahead = self.uptime() - loop.time()  # of the loop's clock, when last looked at
        self._slots = slots
        self._store = store
        self._queue = config.name
        self._lease = config.lease
        self._hasty = asyncio.Event()
        self._occupied = asyncio.Event()
        self._guard: asyncio.TimerHandle | None = None
        self._guard_at = FOREVER
        self.reports = Reports(self._begin_reporting)

    # --- extending

    def hasten(self) -> None:
        """Extend now: the answer says which tasks must stop."""
        self._hasty.set()

    async def extend_regularly(self, on_dead: Callable[[Sequence[Run]], None]) -> None:
        """Extend every third of a lease while something runs; sooner after a failure, or when hastened.

        `on_dead` is called before, with the runs that were cancelled before their first step.
        """
        pause = self._lease / EXTENSIONS_PER_LEASE
        failures = Failures(f"queue {self._queue}: leases not extended")
        while True:
            if not self._slots:
                self._occupied.clear()
            await self._occupied.wait()
            try:
                async with asyncio.timeout(pause):
                    await self._hasty.wait()
            except TimeoutError:
                pass
            self._hasty.clear()
            pause = self._lease / EXTENSIONS_PER_LEASE
            on_dead([run for run in self._slots if run.is_dead])
            try:
                async with asyncio.timeout(pause):  # or one slow answer would cost every lease
                    await self.extend(list(self._slots))
                failures.end()
            except (StoreError, TimeoutError) as error:
                pause = self._lease / TRIES_PER_LEASE
                failures.add(error)
            except Exception:
                # A bug must not end this loop. Runs whose lease can't be extended are fenced in time.
                pause = self._lease / TRIES_PER_LEASE
                logger.exception("queue %s: leases not extended", self._queue)

    async def extend(self, runs: Sequence[Run]) -> None:
        """Extend these leases. Runs whose lease is lost or that were cancelled are stopped. Raises StoreError."""
        if not runs:
            return
        sent_at = self.uptime()
        refs, reports = [run.ref for run in runs], self.reports.of(runs)
        words = await self._store.do(Extend(self._queue, refs, to_ms(self._lease), reports))
        self.reports.sent(runs, reports)
        for run, word in zip(runs, words, strict=True):
            if word is Word.STALE:
                run.ask_to_stop(Stop.LOST)
                continue
            run.fence_at = sent_at + self._lease * (1 - MARGIN)
            if word is Word.CANCEL:
                run.ask_to_stop(Stop.CANCEL)

    def _begin_reporting(self) -> None:
        self._slots.background.begin(self._report())

    async def _report(self) -> None:
        """Extend the leases of the runs that have progress to report. If that fails, the next heartbeat takes it."""
        self.reports.keep(set(self._slots))
        runs = [run for run in self._slots if self.reports.has_news(run) and not run.is_settling]
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(self._lease / EXTENSIONS_PER_LEASE):
                await self.extend(runs)

    async def hold(self, store: TaskStore) -> None:
        """Extend all leases in another thread, through a store of its own, while this one's event loop is blocked.

        Nothing is stopped: the next extension of the loop sees to that. Raises StoreError.
        """
        runs = [run for run in self._slots if run.stop is None and not run.is_settling]
        if not runs:
            return
        sent_at = self.uptime()
        refs, reports = [run.ref for run in runs], self.reports.of(runs)
        words = await store.do(Extend(self._queue, refs, to_ms(self._lease), reports))
        self.reports.sent(runs, reports)
        for run, word in zip(runs, words, strict=True):
            if word is not Word.STALE:
                run.fence_at = sent_at + self._lease * (1 - MARGIN)

    # --- guarding

    def occupy(self) -> None:
        """There are leases to extend."""
        self._occupied.set()

    def watch(self, runs: Iterable[Run]) -> None:
        """Guard these from now on, and extend their leases."""
        self._occupied.set()
        earliest = min(map(self._limit, runs), default=FOREVER)
        if earliest < self._guard_at:
            self._set_guard(earliest)

    def watch_one(self, run: Run) -> None:
        """Guard this one from now on."""
        limit = min(run.fence_at - self._ahead, run.timeout_at)
        if limit < self._guard_at:
            self._set_guard(limit)

    def _set_guard(self, at: float) -> None:
        if self._guard is not None:
            self._guard.cancel()
        self._guard_at = at
        self._guard = None
        if at < FOREVER:
            loop = asyncio.get_running_loop()
            # The loop's timers stand still while the machine is suspended, and leases don't: look often.
            self._guard_at = at = min(at, loop.time() + self._beat)
            self._guard = loop.call_at(at, self._judge)

    def _judge(self) -> None:
        """Stop runs that exceed their lease or timeout, and sleep until the next such time."""
        now, uptime = asyncio.get_running_loop().time(), self.uptime()
        self._ahead = uptime - now
        for run in list(self._slots):
            if uptime >= run.fence_at:
                run.ask_to_stop(Stop.FENCED)
            elif now >= run.timeout_at:
                run.ask_to_stop(Stop.TIMEOUT)
        self._set_guard(min(map(self._limit, self._slots), default=FOREVER))

    def _limit(self, run: Run) -> float:
        """When this run must be looked at, in the loop's time; one that was asked to stop needs no more looks."""
        if run.stop is not None or run.is_settling:
            return FOREVER
        return min(run.fence_at - self._ahead, run.timeout_at)

    def close(self) -> None:
        """Guard no more, and report nothing."""
        self._set_guard(FOREVER)
        self.reports.close()
