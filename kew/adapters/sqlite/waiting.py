"""What a queue's view says of waiting tasks: which start next, and when time alone lets one start."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from itertools import islice
from typing import Final

from kew.adapters.sqlite.keyed import StoredKeys
from kew.adapters.sqlite.lines import Entry, Line, Lines, Opens, merged
from kew.adapters.sqlite.records import Records
from kew.compat import override
from kew.domain.gates import fold as gates
from kew.domain.gates import functions
from kew.domain.key_limits import OwnLimits, next_end
from kew.domain.key_rooms import KeyRooms
from kew.domain.keys import in_turn, key_of
from kew.domain.listing import Part
from kew.domain.task import QueuePriority, Task
from kew.domain.view import View

LOOK_AHEAD: Final = 20  # keys
Place = tuple[int, str]  # priority and key


# Wide: one method for each question that is about waiting tasks, keys or functions.
class WaitingView(View):
    """A part of `StoredQueue`."""

    _records: Records
    _lines: Lines
    _keys: StoredKeys
    functions: Mapping[str, set[str]]

    # --- functions

    @override
    def announced_by(self, incarnation: str) -> int:
        return len(self.functions_of(incarnation))

    @override
    def functions_of(self, incarnation: str) -> Collection[str]:
        return self.functions.get(incarnation, ())

    @override
    def can_run(self, incarnation: str, function: str) -> bool:
        known = self.functions_of(incarnation)
        return gates.parks(self.state, incarnation, known, function) is None

    def _opener(self, incarnations: Iterable[str]) -> Opens:
        knowing = [(who, self.functions_of(who)) for who in incarnations]
        return lambda reason: any(functions.opens(reason, who, known) for who, known in knowing)

    # --- how many

    @override
    def waiting(self) -> int:
        return self._lines.total()

    def waiting_by_priority(self) -> dict[int, int]:
        """How many tasks wait, due or not."""
        return {int(priority): self._lines.count(priority) for priority in QueuePriority}

    @property
    @override
    def takes_turns(self) -> bool:
        return self._lines.has_keys

    @override
    def waiting_of(self, key: str) -> int:
        return self._lines.count_of(key)

    @override
    def held_of(self, key: str) -> int:
        return self._keys.held_of(key)

    @property
    @override
    def key_logs(self) -> Mapping[str, tuple[int, ...]]:
        return self._keys.logs

    @property
    @override
    def key_limits(self) -> Mapping[str, OwnLimits]:
        return self._keys.limits

    @property
    def own_limits(self) -> Mapping[str, OwnLimits]:
        """The limits that keys have of their own."""
        return self._keys.limits

    # --- which start next

    @override
    def ready(self, incarnation: str, now: int, limit: int) -> Sequence[Task]:
        opens, rooms, found = self._opener((incarnation,)), self._rooms(now), list[Task]()
        for priority in QueuePriority:
            if len(found) >= limit:
                break
            found += self._ready(priority, opens, rooms, limit - len(found))
        return found

    def _ready(self, priority: int, opens: Opens, rooms: KeyRooms, limit: int) -> list[Task]:
        now = rooms.now
        by_key = self._lines.by_key(priority, opens)
        if not self._keys.takes_turns:
            entries = merged(by_key.get("", ()), now)
            return self._records.of(entry[2] for entry in islice(entries, limit))
        if not self._lines.is_due(priority, now):
            return []  # else each key would be asked
        tasks = {
            key: self._tasks(merged(lines, now))
            for key, lines in by_key.items()
            if not rooms.is_full(key)
        }
        return in_turn(tasks, self._keys.turns_of(priority), rooms.takes, limit)

    def _tasks(self, entries: Iterator[Entry]) -> Iterator[Task]:
        return (self._records[task_id] for _, _, task_id in entries)

    def _rooms(self, now: int) -> KeyRooms:
        return self._keys.rooms(self.state.settings, now)

    @override
    def waiting_by(self, instant: int, limit: int) -> Sequence[Task]:
        return self._records.of(self._lines.in_order(instant, limit))

    # --- when one can start

    @override
    def next_due(self, incarnation: str, now: int, taken: Sequence[Task] = ()) -> int | None:
        rooms, starting = self._rooms(now), {task.id for task in taken}
        for task in taken:
            rooms.start(key_of(task.call), task.call.cost)
        instants = [*self._nexts(self._opener((incarnation,)), rooms, starting)]
        instants.append(next_end(self.key_limits, now))
        return min((at for at in instants if at is not None), default=None)

    def due_for(self, incarnations: Iterable[str], now: int) -> int | None:
        """When the first task is due that one of these can run: `now` if one is; None if there is none."""
        opens, rooms = self._opener(incarnations), self._rooms(now)
        for (_, key), lines in self._places(opens).items():
            first = next(merged(lines, now), None)
            if first is not None and rooms.allows(key, self._cost_of(first)):
                return now
        nexts = self._nexts(opens, rooms, ())
        return min((at for at in nexts if at is not None), default=None)

    def _places(self, opens: Opens) -> dict[Place, list[Line]]:
        found: dict[Place, list[Line]] = {}
        for line in self._lines.all():
            if opens(line.reason):
                found.setdefault((line.priority, line.key), []).append(line)
        return found

    def _nexts(self, opens: Opens, rooms: KeyRooms, taken: Collection[str]) -> Iterator[int | None]:
        """When time alone lets tasks start: the earliest of all or, if rates hold keys back, of each key."""
        if not rooms.has_logs:
            yield self._lines.first_later(
                rooms.now, lambda key, reason: opens(reason) and not rooms.is_full(key)
            )
            return
        for (_, key), lines in self._places(opens).items():
            if not rooms.is_full(key):
                yield self._next_of(key, lines, rooms, taken)

    def _next_of(
        self, key: str, lines: list[Line], rooms: KeyRooms, taken: Collection[str]
    ) -> int | None:
        """When the next task of a key may start: the first that is due, if a rate holds it, or will be."""
        now = rooms.now
        if key and rooms.has_logs:
            due = (each for each in merged(lines, now) if each[2] not in taken)
            first = next(due, None)
            if first is not None and (at := rooms.opens_at(key, self._cost_of(first))) > now:
                return at
        later = [entry for line in lines if (entry := line.later(now)) is not None]
        if not later:
            return None
        first = min(later)
        return max(first[0], rooms.opens_at(key, self._cost_of(first)))

    def _cost_of(self, entry: Entry) -> int:
        return self._records[entry[2]].call.cost

    @override
    def due_reasons(self, now: int) -> Set[str]:
        rooms, looked_at, found = self._rooms(now), 0, set[str]()
        for (_, key), lines in sorted(
            self._places(lambda _: True).items(), key=lambda each: each[0]
        ):
            if key and looked_at >= LOOK_AHEAD:
                continue
            firsts = [(line, next(line.due(now), None)) for line in lines]
            due = [(entry, line.reason) for line, entry in firsts if entry is not None]
            if not due or not rooms.allows(key, self._cost_of(min(due)[0])):
                continue
            looked_at += bool(key)
            found |= {reason for _, reason in due}
        return found

    # --- for people

    def due_longest(self, now: int) -> int | None:
        """Since when the task has been due that has been due for longest; None: none is."""
        first = self._lines.first_at()
        return first if first is not None and first <= now else None

    def delayed_keys(self, now: int, limit: int) -> dict[str, int]:
        """The keys of which a task has been due for longest, at most `limit`, and since when."""
        firsts = ((next(line.due(now), None), line) for line in self._lines.all() if line.key)
        due = sorted((entry[0], line.priority, line.key) for entry, line in firsts if entry)
        found: dict[str, int] = {}
        for at, _, key in due:
            if key in found or len(found) < limit:
                found.setdefault(key, at)
        return found

    def busiest_keys(self, limit: int) -> dict[str, int]:
        """The keys that run the most tasks, at most `limit`, and how many."""
        return self._keys.busiest(limit)

    def reasons(self) -> set[str]:
        """The reasons under which tasks wait: functions, and processes that run their own closures."""
        return {line.reason for line in self._lines.all()}

    def parked_under(self, reason: str) -> list[Task]:
        """The tasks that wait for a process that this reason doesn't hold for, by priority."""
        lines = [line for line in self._lines.all() if line.reason == reason]
        lines.sort(key=lambda line: line.priority)
        return [self._records[each[2]] for line in lines for each in line.after((-1, 0, ""), -1)]

    def parts(self) -> dict[tuple[int, Part, int, str], list[Line]]:
        """The lines, by the part of a list that has them: one for each function, and one for each key."""
        found: dict[tuple[int, Part, int, str], list[Line]] = {}
        for line in self._lines.all():
            part, name = (Part.KEY, line.key) if line.key else (Part.SHELF, line.reason)
            found.setdefault((line.priority, part, 0, name), []).append(line)
        return found
