"""Outboxes for queues that this process did not create: whatever names are submitted to, they don't add up."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from kew.app.ports import TaskStore
from kew.app.submitting.outbox import Outbox

KEPT = 60.0  # seconds; then an outbox goes once it is idle


class RemoteOutboxes:
    """One outbox per queue, for as long as it is in use."""

    def __init__(self, store: TaskStore) -> None:
        self._store = store
        self._outboxes: dict[str, Outbox] = {}

    def of(self, queue: str) -> Outbox:
        """The queue's outbox."""
        if queue not in self._outboxes:
            self._outboxes[queue] = Outbox(queue, self._store, settler=None, restore=None)
            self._forget_later(queue)
        return self._outboxes[queue]

    def all(self) -> Collection[Outbox]:
        """Those that are in use."""
        return self._outboxes.values()

    def _forget_later(self, queue: str) -> None:
        asyncio.get_running_loop().call_later(KEPT, self._forget, queue)

    def _forget(self, queue: str) -> None:
        if self._outboxes[queue].is_idle:
            del self._outboxes[queue]
        else:
            self._forget_later(queue)
