"""What an indexed queue says of tasks with keys."""

from __future__ import annotations

import heapq
from abc import abstractmethod
from collections import Counter

from kew.adapters.memory.keyed import KeyedLines, Opens
from kew.adapters.memory.lines import Line
from kew.compat import override
from kew.domain.gates import functions
from kew.domain.task import QueuePriority, Task
from kew.domain.view import View


class KeyedView(View):
    """A part of `IndexedQueue`."""

    _keyed: KeyedLines
    _records: dict[str, Task]
    functions: dict[str, set[str]]

    @abstractmethod
    def _runnable(self, incarnation: str) -> dict[int, list[Line]]: ...

    def _opener(self, incarnation: str) -> Opens:
        known = self.functions.get(incarnation, ())
        return lambda reason: functions.opens(reason, incarnation, known)

    def _ready_in_turn(self, incarnation: str, now: int, limit: int) -> list[Task]:
        runnable, taken = self._runnable(incarnation), Counter[str]()
        found: list[Task] = []
        for priority in QueuePriority:
            entries = self._keyed.in_turn(
                priority,
                now=now,
                limit=limit - len(found),
                opens=self._opener(incarnation),
                plain=heapq.merge(*(line.due(now) for line in runnable.get(priority, ()))),
                taken=taken,
            )
            found += (self._records[entry[2]] for entry in entries)
        return found

    @property
    @override
    def takes_turns(self) -> bool:
        return not self._keyed.is_empty

    @override
    def waiting_of(self, key: str) -> int:
        return self._keyed.waiting_of(key)

    @override
    def held_of(self, key: str) -> int:
        return self._keyed.held[key]
