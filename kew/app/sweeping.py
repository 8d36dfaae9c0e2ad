"""Clearing up: expired records, ended leases and processes that have gone, in the queues of this process and in others.

A sweep is never urgent. Each call of the store is bounded, and between two of them there is a pause as long as the call
took, so that clearing up takes at most half of what the store could do for one client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from kew.app import steady
from kew.app.ports import Queues, StoreError, Sweep, TaskStore
from kew.app.repeat import Failures
from kew.app.spawning import Owned, clean_context, spawn
from kew.app.steady import Steady
from kew.app.working.losses import Losses
from kew.app.working.reporter import Reporter
from kew.log import logger

TICKS_PER_SWEEP = 20
SWEEP_LIMIT = 200  # of each kind, in one call


async def sweep(store: TaskStore, queue: str, losses: Losses, seen: Steady) -> None:
    """Clear up a queue and report what lost workers left. Raises `StoreError`."""
    more, loop, gone_by = True, asyncio.get_running_loop(), seen.gone_by
    while more:
        started = loop.time()
        swept = await store.do(Sweep(queue, SWEEP_LIMIT, steady.PRESENCE_MS, gone_by))
        seen.saw(swept.now_ms, started, loop.time())
        losses.report(swept.lost)
        losses.report_orphans(swept.orphaned)
        losses.report_expired(swept.expired)
        more = swept.more
        await asyncio.sleep(loop.time() - started if more else 0)


class Caretaker:
    """Sweeps the queues of the namespace that this process doesn't work on: maybe no process does.

    One queue every twenty ticks, in turn; every process of the namespace takes part.
    """

    def __init__(
        self,
        store: TaskStore,
        reporter: Reporter,
        served: Callable[[], Collection[str]],
        *,
        tick: float,
    ) -> None:
        self._store = store
        self._reporter = reporter
        self._served = served
        self._pause = tick * TICKS_PER_SWEEP
        self._last = ""
        self._steady = Steady()
        self._background = Owned("sweeping", lambda: None)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = spawn(self._run(), name="kew-caretaker", context=clean_context())

    def close(self) -> None:
        """End, at once."""
        for task in (self._task, *self._background):
            if task is not None:
                task.cancel()

    async def _run(self) -> None:
        failures = Failures("sweep of a queue without workers failed")
        while True:
            await asyncio.sleep(self._pause)
            try:
                await self._sweep_one()
                failures.end()
            except StoreError as error:
                self._steady.interrupt()
                failures.add(error)
            except Exception:
                # A bug must not end the sweeping of all queues.
                logger.exception("sweep of a queue without workers failed")

    async def _sweep_one(self) -> None:
        served = self._served()
        others = [queue for queue in await self._store.do(Queues()) if queue not in served]
        if others:
            self._last = next((queue for queue in others if queue > self._last), others[0])
            await self.sweep(self._last)

    async def sweep(self, queue: str) -> None:
        """Clear up a queue now. Raises `StoreError`."""
        losses = Losses(queue, self._store, self._reporter, self._background)
        await sweep(self._store, queue, losses, self._steady)
