"""Keeping leases: extending them all in one call, stopping runs whose lease could not be extended
or whose time is over.

One timer serves all runs: it sleeps until the earliest instant at which any of them must be stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from kew.app.ports import StoreError, TaskStore
from kew.app.runs import Run, Stop
from kew.domain.config import QueueConfig, to_ms
from kew.domain.requests import Word
from kew.log import logger

EXTENSIONS_PER_LEASE = 3
TRIES_PER_LEASE = 15
MARGIN = 0.1  # of a lease: a run is fenced this much before its lease can end
FOREVER = float("inf")


class Keeper:
    """Watches over the runs of one worker; `runs` is the worker's own table, by lease."""

    def __init__(self, runs: Mapping[str, Run], store: TaskStore, config: QueueConfig) -> None:
        self._runs = runs
        self._store = store
        self._queue = config.name
        self._lease = config.lease
        self._hasty = asyncio.Event()
        self._occupied = asyncio.Event()
        self._guard: asyncio.TimerHandle | None = None
        self._guard_at = FOREVER

    # --- extending

    def hasten(self) -> None:
        """Extend now: the answer tells which tasks are to stop."""
        self._hasty.set()

    async def extend_regularly(self) -> None:
        """Extend every third of a lease while something runs; sooner after a failure, or when hastened."""
        pause = self._lease / EXTENSIONS_PER_LEASE
        while True:
            if not self._runs:
                self._occupied.clear()
            await self._occupied.wait()
            try:
                async with asyncio.timeout(pause):
                    await self._hasty.wait()
            except TimeoutError:
                pass
            self._hasty.clear()
            pause = self._lease / EXTENSIONS_PER_LEASE
            try:
                async with asyncio.timeout(pause):  # or one slow answer would cost every lease
                    await self.extend(list(self._runs.values()))
            except (StoreError, TimeoutError) as error:
                pause = self._lease / TRIES_PER_LEASE
                logger.warning("queue %s: leases not extended: %r", self._queue, error)
            except Exception:
                # A bug must not end the extending: what can't be kept is fenced in time.
                pause = self._lease / TRIES_PER_LEASE
                logger.exception("queue %s: leases not extended", self._queue)

    async def extend(self, runs: Sequence[Run]) -> None:
        """Prolong these leases; what is lost or to be cancelled is told to stop. Raises StoreError."""
        if not runs:
            return
        sent_at = asyncio.get_running_loop().time()
        refs = [run.ref for run in runs]
        words = await self._store.extend(self._queue, refs, to_ms(self._lease))
        for run, word in zip(runs, words, strict=True):
            if word is Word.STALE:
                run.ask_to_stop(Stop.LOST)
                continue
            run.fence_at = sent_at + self._lease * (1 - MARGIN)
            if word is Word.CANCEL:
                run.ask_to_stop(Stop.CANCEL)

    # --- guarding

    def watch(self, runs: Iterable[Run]) -> None:
        """Guard these from now on, and extend their leases."""
        self._occupied.set()
        earliest = min((_limit(run) for run in runs), default=FOREVER)
        if earliest < self._guard_at:
            self._set_guard(earliest)

    def watch_one(self, run: Run) -> None:
        """Guard this one from now on."""
        limit = min(run.fence_at, run.timeout_at)
        if limit < self._guard_at:
            self._set_guard(limit)

    def _set_guard(self, at: float) -> None:
        if self._guard is not None:
            self._guard.cancel()
        self._guard_at = at
        self._guard = None
        if at < FOREVER:
            self._guard = asyncio.get_running_loop().call_at(at, self._judge)

    def _judge(self) -> None:
        """Stop what is over its time or its lease, and sleep until the next instant that matters."""
        now = asyncio.get_running_loop().time()
        for run in self._runs.values():
            if now >= run.fence_at:
                run.ask_to_stop(Stop.FENCED)
            elif now >= run.timeout_at:
                run.ask_to_stop(Stop.TIMEOUT)
        limits = (_limit(run) for run in self._runs.values())
        self._set_guard(min(limits, default=FOREVER))

    def close(self) -> None:
        """Guard no more."""
        self._set_guard(FOREVER)


def _limit(run: Run) -> float:
    """When this run must be looked at; one that was told to stop needs no more looks."""
    if run.stop is not None or run.is_settling:
        return FOREVER
    return min(run.fence_at, run.timeout_at)
