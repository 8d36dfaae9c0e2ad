"""What a memory store holds: the queues of one namespace, their tasks and the processes that serve them."""

from __future__ import annotations

import attrs

from kew.adapters.memory.book import Book
from kew.adapters.memory.hub import Hub
from kew.app.ports import Bookmark, DeadLetters
from kew.domain.task import Task, is_absent
from kew.log import logger

CLAMPED_STEP_MS = 1000
LANES_KEPT_MS = 3_600_000  # a late repeat of a claim must not meet a lane that was forgotten


class MemoryQueue:
    """A book with the processes that serve it."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.presence: dict[str, int] = {}
        self.idle: dict[str, None] = {}

    def present(self, now: int) -> list[str]:
        """The incarnations whose presence lasts."""
        return [who for who, end in self.presence.items() if end > now]

    def failed(self, after: Bookmark | None, limit: int, now: int) -> DeadLetters:
        """A page of dead letters."""
        before = None if after is None else (after.expires_at, after.task_id)
        entries = self.book.dead_letters(before, limit)
        is_last = len(entries) < limit or entries[-1][0] <= now
        return DeadLetters(
            tasks=[task for entry in entries if (task := self._dead_letter(*entry, now))],
            after=None if is_last else Bookmark(*entries[-1]),
        )

    def _dead_letter(self, expires_at: int, task_id: str, now: int) -> Task | None:
        """The record of an entry, without its payload; None: it is absent, or another's by now."""
        task = self.book.find(task_id)
        if (
            task is None
            or task.queue != self.book.name
            or expires_at != task.expires_at
            or is_absent(task, now)
        ):
            return None
        return task.moved(call=attrs.evolve(task.call, payload=b""))

    def forget(self, incarnation: str) -> None:
        """Drop the lanes and the functions of a process that has gone."""
        del self.presence[incarnation]
        self.book.functions.pop(incarnation, None)
        self.book.forget_hungry(incarnation)
        prefix = f"{incarnation}."
        for key in [key for key in self.book.lanes if key.startswith(prefix)]:
            del self.book.lanes[key]


class Namespace:
    """One independent set of queues: what `memory://name` names."""

    def __init__(self) -> None:
        self.records: dict[str, Task] = {}
        self.queues: dict[str, MemoryQueue] = {}
        self.hub = Hub()
        self.last_ms = 0
        self.steps_back = 0

    def instant(self, now: int) -> int:
        """The store's clock: a step back under a second is clamped, a larger one is followed and counted."""
        if now < self.last_ms:
            if self.last_ms - now < CLAMPED_STEP_MS:
                return self.last_ms
            self.steps_back += 1
            logger.warning("the clock stepped back by %s ms", self.last_ms - now)
        self.last_ms = now
        return now
