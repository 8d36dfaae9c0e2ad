"""What an indexed queue says of tasks with keys."""

from __future__ import annotations

import heapq
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, MutableMapping, Sequence

from kew.adapters.memory.keyed import Opens
from kew.adapters.memory.keys_in_turn import KeysInTurn
from kew.adapters.memory.lines import Line
from kew.adapters.memory.unique import UniqueKeys
from kew.compat import override
from kew.domain.gates import functions
from kew.domain.key_limits import OwnLimits
from kew.domain.keys import key_of
from kew.domain.listing import Part
from kew.domain.task import QueuePriority, Task
from kew.domain.view import View


# Wide: one method for each question that is about keys or functions.
class KeyedView(View):
    """A part of `IndexedQueue`."""

    _keyed: KeysInTurn
    _records: MutableMapping[str, Task]
    _lines: dict[tuple[int, str], Line]
    functions: dict[str, set[str]]
    unique: UniqueKeys

    @abstractmethod
    def _runnable(self, incarnation: str) -> dict[int, list[Line]]: ...

    @abstractmethod
    def _all_lines(self) -> Iterator[tuple[int, str, Line]]: ...

    @override
    def holder(self, key: str, now: int) -> Task | None:
        return self.unique.holder(key, now)

    @override
    def announced_by(self, incarnation: str) -> int:
        return len(self.functions.get(incarnation, ()))

    @override
    def functions_of(self, incarnation: str) -> Collection[str]:
        return self.functions.get(incarnation, ())

    def _opener(self, incarnation: str) -> Opens:
        known = self.functions.get(incarnation, ())
        return lambda reason: functions.opens(reason, incarnation, known)

    def _ready_in_turn(self, incarnation: str, now: int, limit: int) -> list[Task]:
        runnable, rooms = self._runnable(incarnation), self._keyed.rooms(now)
        found: list[Task] = []
        for priority in QueuePriority:
            entries = self._keyed.in_turn(
                priority,
                limit=limit - len(found),
                opens=self._opener(incarnation),
                plain=heapq.merge(*(line.due(now) for line in runnable.get(priority, ()))),
                rooms=rooms,
            )
            found += (self._records[entry[2]] for entry in entries)
        return found

    def parts(self) -> dict[tuple[int, Part, int, str], list[Line]]:
        """The lines, by the part of a list that has them: one for each function, and one for each key."""
        found: dict[tuple[int, Part, int, str], list[Line]] = {}
        for (priority, reason), line in self._lines.items():
            found.setdefault((priority, Part.SHELF, 0, reason), []).append(line)
        for priority, key, _, line in self._keyed.lines():
            found.setdefault((priority, Part.KEY, 0, key), []).append(line)
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

    @property
    @override
    def key_logs(self) -> Mapping[str, tuple[int, ...]]:
        return self._keyed.logs.by_key

    @property
    @override
    def key_limits(self) -> Mapping[str, OwnLimits]:
        return self._keyed.limits

    def busiest_keys(self, limit: int) -> dict[str, int]:
        """The keys that run the most tasks, at most `limit`, and how many."""
        return self._keyed.busiest(limit)

    def delayed_keys(self, now: int, limit: int) -> dict[str, int]:
        """The keys of which a task has been due for longest, at most `limit`, and since when."""
        return self._keyed.delayed(now, limit)

    def end_limits(self, now: int) -> None:
        """Forget the limits of keys that have ended."""
        self._keyed.end_limits(now)

    def forget_key_logs(self, now: int) -> None:
        """Forget what the rates and snoozes of keys remember for nothing."""
        self._keyed.forget_logs(now)

    def _next_due_of_keys(self, incarnation: str, now: int, taken: Sequence[Task]) -> int | None:
        rooms = self._keyed.rooms(now)
        for task in taken:
            rooms.start(key_of(task.call), task.call.cost)
        return self._keyed.next_later(rooms, self._opener(incarnation), {task.id for task in taken})

    def due_longest(self, now: int) -> int | None:
        """Since when the task has been due that has been due for longest; None: none is."""
        firsts = (next(line.due(now), None) for _, _, line in self._all_lines())
        return min((entry[0] for entry in firsts if entry is not None), default=None)

    def parked_under(self, reason: str) -> list[Task]:
        """The tasks that wait for a process that this reason doesn't hold for, by priority."""
        lines = sorted(
            ((priority, line) for priority, each, line in self._all_lines() if each == reason),
            key=lambda each: each[0],
        )
        return [self._records[entry[2]] for _, line in lines for entry in line.entries()]

    def reasons(self) -> set[str]:
        """The reasons under which tasks have waited: functions, and processes that run their own closures."""
        return {reason for _, reason, _ in self._all_lines()}
