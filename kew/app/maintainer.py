"""What a queue's worker does besides tasks: its presence, the slow poll behind the notifications, and clearing up.

One plain command a tick while the queue is idle; every fifth tick renews the presence, every twentieth sweeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import attrs

from kew.app.ports import StoreError, TaskStore
from kew.app.registry import Registry
from kew.app.repeat import until_answered
from kew.app.single_flight import SingleFlight
from kew.app.worker import Worker
from kew.domain.config import TICK, Settings
from kew.domain.requests import Word
from kew.domain.task import PINNED
from kew.log import logger

TICKS_PER_PRESENCE = 5
TICKS_PER_SWEEP = 20
PRESENCE_MS = 60_000
SWEEP_LIMIT = 200


class Maintainer:
    """The background duties of one queue in one process.

    `priority`: of its tasks, where neither the submit nor the function gives one, as the settings in force have it.
    """

    def __init__(
        self,
        queue: str,
        *,
        incarnation: str,
        settings: Settings,
        store: TaskStore,
        registry: Registry,
        works: bool = True,
        tick: float = TICK,
    ) -> None:
        self._queue = queue
        self._incarnation = incarnation
        self._declared = settings
        self._store = store
        self._registry = registry
        self._works = works
        self.priority = settings.priority
        self._version = 0
        self._use: Callable[[Settings], None] = lambda settings: None
        self._tick = tick
        self._announced = -1
        self._pins: set[str] = set()  # closures that the store was told of
        self._is_over = False
        self.announce_once = SingleFlight(self.announce)
        self._task: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None

    # --- introducing

    async def declare(self) -> None:
        """Make this process's configuration the queue's. Raises StoreError."""
        declared = await self._store.declare(self._queue, self._declared)
        self._version = declared.version
        if declared.replaced is not None:
            logger.warning(
                "queue %s: settings changed by this declaration, for all processes: %s",
                self._queue,
                difference(declared.replaced, self._declared),
            )
        self._follow(self._declared)

    async def announce(self) -> None:
        """Tell the store that this process serves the queue, and what it can run. Raises StoreError."""
        if self._is_over:
            return  # nobody is to count on this process any more
        version, names = self._registry.version, self._registry.names()
        pins = {name for name in names if name.startswith(PINNED)}
        gone = self._pins - pins
        word = await self._tell(names, gone)
        if word is Word.NO_QUEUE:
            await self.declare()
            await self._tell(names, ())
        self._pins = self._pins - gone | pins
        self._announced = version

    async def _tell(self, names: Sequence[str], gone: Iterable[str]) -> Word:
        who = self._incarnation
        return await self._store.announce(self._queue, who, names, PRESENCE_MS, tuple(gone))

    async def introduce(self) -> None:
        """Declare the queue and, where this process works on it, announce. Raises StoreError."""
        await self.declare()
        if self._works:
            await self.announce()

    async def restore(self) -> None:
        """The store has lost the queue, or this process's presence there: bring back what it lacks. Raises StoreError.

        What another process declared meanwhile stays.
        """
        if await self._store.settings(self._queue) is None:
            await self.declare()
        if self._works:
            await self.announce()

    @property
    def is_announced(self) -> bool:
        """The store knows every function that this process knows, or needs to know none any more."""
        return self._is_over or self._announced == self._registry.version

    def refresh(self, version: int) -> None:
        """The settings in force have this version: fetch them soon if it is news."""
        if version == self._version:
            return
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())

    async def _refresh(self) -> None:
        found = await until_answered(
            f"queue {self._queue}: settings", lambda: self._store.settings(self._queue)
        )
        if found is None:
            return
        settings, self._version = found
        if settings != self._declared:
            logger.warning(
                "queue %s: another process declared other settings (version %s), which hold: %s",
                self._queue,
                self._version,
                difference(self._declared, settings),
            )
        self._follow(settings)

    def _follow(self, settings: Settings) -> None:
        self.priority = settings.priority
        self._use(settings)

    # --- the tick

    def start(self, worker: Worker) -> None:
        """Begin the duties."""
        self._use = worker.use
        self._task = asyncio.create_task(self._run(worker), name=f"kew-upkeep-{self._queue}")

    async def stop(self) -> None:
        """End them, and this process's presence."""
        await asyncio.gather(*self.close(), return_exceptions=True)
        try:
            await self._store.depart(self._queue, self._incarnation)
        except StoreError as error:
            logger.warning("queue %s: presence left to lapse: %s", self._queue, error)

    def close(self) -> list[asyncio.Task[None]]:
        """End the duties alone, at once: these tasks are about to end."""
        self._is_over = True
        tasks = [task for task in (self._task, self._refreshing) if task is not None]
        for task in tasks:
            task.cancel()
        return tasks

    async def _run(self, worker: Worker) -> None:
        count = 0
        while True:
            await asyncio.sleep(self._tick)
            count += 1
            try:
                await self._duties(worker, count)
            except StoreError as error:
                logger.warning("queue %s: upkeep: %s", self._queue, error)
            except Exception:
                # A bug must not end the duties: without its presence this process is granted nothing.
                logger.exception("queue %s: upkeep", self._queue)

    async def _duties(self, worker: Worker, count: int) -> None:
        if count % TICKS_PER_PRESENCE == 0:
            await self._renew(worker)
        if count % TICKS_PER_SWEEP == 0:
            await self._sweep()
        if worker.is_idle:
            wait_ms = await self._store.peek(self._queue)
            if wait_ms is not None and wait_ms < self._tick * 1000:
                worker.alarm.set(wait_ms / 1000)

    async def _renew(self, worker: Worker) -> None:
        await self.announce()
        if self._registry.has_trust:
            await self._learn(worker)

    async def _learn(self, worker: Worker) -> None:
        """Tasks wait for functions nobody announced: those below a trusted package can be run here."""
        status = await self._store.status(self._queue)
        known = [name for name in status.stuck if self._registry.can_run(name)] if status else []
        if known:
            await self._store.announce(self._queue, self._incarnation, known, PRESENCE_MS)
            worker.wake()

    async def _sweep(self) -> None:
        while (await self._store.sweep(self._queue, SWEEP_LIMIT)).more:  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0)  # others first: clearing up is never urgent


def difference(before: Settings, after: Settings) -> str:
    """ "max_workers 4 -> 8, ..." for what changed."""
    old, new = attrs.asdict(before), attrs.asdict(after)
    return ", ".join(f"{name} {old[name]} -> {new[name]}" for name in old if old[name] != new[name])
