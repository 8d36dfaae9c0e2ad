"""Keeping the leases of a process whose event loop is blocked, so that its tasks don't begin elsewhere meanwhile.

A coroutine that blocks the loop for longer than its lease would otherwise be taken over by another process, block that
one too, and so on, until it counts as lost for good. The leases are kept for a while only: a loop that is blocked for
ever is as good as dead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, Protocol

from kew.app.ports import StoreError, TaskStore
from kew.app.working.keeper import EXTENSIONS_PER_LEASE
from kew.domain.config import QueueConfig
from kew.log import logger

MOST_LEASES: Final = 10
"""A blocked event loop keeps its leases for so many times their length."""


class HoldsLeases(Protocol):
    """A worker, as far as its leases go."""

    @property
    def config(self) -> QueueConfig: ...

    async def hold_leases(self, store: TaskStore) -> None: ...


class BlockedLeases:
    """Extends the leases of a process from the watchdog's thread."""

    def __init__(self, store: TaskStore, workers: Mapping[str, HoldsLeases]) -> None:
        self._store = store
        self._workers = workers
        self._held_at: dict[
            str, float
        ] = {}  # how late the loop was when a queue's leases were extended last
        self._late = 0.0  # how late it was when it was looked at last

    def hold(self, late: float) -> None:
        """Extend what is due; the loop has been blocked for `late` seconds. It never raises."""
        if late < self._late:  # it has turned since
            self._held_at.clear()
        self._late = late
        try:
            due = [
                name for name, worker in self._workers.items() if self._is_due(name, worker, late)
            ]
            if due and (store := self._store.apart()) is not None:
                asyncio.run(self._extend(store, due))
                self._held_at.update(dict.fromkeys(due, late))
        except (StoreError, OSError, TimeoutError) as error:
            logger.warning("leases not extended while the event loop is blocked: %s", error)
        except Exception:
            # A bug must not end the watchdog; nor must a worker that is created at this moment.
            logger.exception("leases not extended while the event loop is blocked")

    def _is_due(self, name: str, worker: HoldsLeases, late: float) -> bool:
        every = worker.config.lease / EXTENSIONS_PER_LEASE
        since = late - self._held_at.get(name, 0.0)
        return every <= since and late <= MOST_LEASES * worker.config.lease

    async def _extend(self, store: TaskStore, names: list[str]) -> None:
        await store.open()
        try:
            for name in names:
                await self._workers[name].hold_leases(store)
        finally:
            await store.close()
