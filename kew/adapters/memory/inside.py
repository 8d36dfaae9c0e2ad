"""What carrying out an operation needs of the memory store."""

from __future__ import annotations

from typing import Protocol

from kew.adapters.memory.namespace import MemoryQueue, Namespace
from kew.app.ports import TaskStore
from kew.domain.queue import Change


class Inside(TaskStore, Protocol):
    """The store from inside: its namespace, its clock, and how a change is written and reported."""

    namespace: Namespace

    def _now(self) -> int: ...
    def _apply(self, known: MemoryQueue, change: Change, now: int, *, sender: str = "") -> None: ...
    def _offer_waiting(self, known: MemoryQueue, limit: int, *, claimer: str = "") -> bool: ...
    def _offer_all(self, known: MemoryQueue) -> None: ...
