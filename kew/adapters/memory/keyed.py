"""The waiting tasks with keys of one queue, by turn: which key may start next, found without looking at all of them.

A key with waiting tasks has an entry in its priority's ring, by turn, or among those that are due later, or among those
that wait for their rate. Entries that mean nothing any more are left in place and dropped when they are met, and so is
that of a key at its limit: the change that frees the key adds another.
"""

from __future__ import annotations

import heapq
from bisect import bisect, insort
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial

from kew.adapters.memory.firsts import FirstDue
from kew.adapters.memory.key_logs import KeyLogs
from kew.adapters.memory.lines import Entry, Line
from kew.domain.config import Settings
from kew.domain.gates import functions
from kew.domain.key_limits import OwnLimits, limits_of, workers_of
from kew.domain.key_rooms import KeyLog, KeyRooms
from kew.domain.keys import KEYLESS, key_of, move
from kew.domain.task import Task

LOOK_AHEAD = 20  # keys
Opens = Callable[
    [str], bool
]  # whether tasks parked under a reason can start in the process that asks


# Wide: what changes a key's place, and what is asked of it, belong together.
class KeyedLines:
    """The lines of all keys, their turns, and how many leases each key has."""

    def __init__(
        self,
        is_current: Callable[..., bool],
        cost_of: Callable[[Entry], int],
        settings: Settings,
    ) -> None:
        self._is_current = is_current
        self._cost_of = cost_of
        self.settings = settings
        self._lines: dict[tuple[int, str], dict[str, Line]] = {}
        self._rings: dict[int, list[tuple[int, str]]] = defaultdict(list)
        self._later: dict[int, list[tuple[int, str]]] = defaultdict(list)
        self._paced: dict[int, list[tuple[int, str]]] = defaultdict(list)  # that wait for a rate
        self._latest = 0
        self._waiting: Counter[tuple[int, str]] = Counter()
        self.turns: dict[tuple[int, str], int] = {}
        self.held: Counter[str] = Counter()
        self.logs = KeyLogs()
        self._firsts = FirstDue(self._first_of)
        self.limits: dict[str, OwnLimits] = {}
        self._limit_ends: list[tuple[int, str]] = []

    @property
    def is_empty(self) -> bool:
        """No task with a key waits."""
        return not self._lines

    def waiting_of(self, key: str) -> int:
        """How many tasks of a key wait."""
        return sum(self._waiting[priority, key] for priority in (1, 2, 3))

    def is_full(self, key: str, now: int) -> bool:
        """Whether as many tasks of the key run as may."""
        limit = self.settings.key_workers
        if self.limits and key in self.limits:
            limit = workers_of(self.settings, limits_of(self.limits, key, now))
        return bool(key) and 0 < limit <= self.held[key]

    def rooms(self, now: int) -> KeyRooms:
        """What the limits of keys leave."""
        return KeyRooms(
            settings=self.settings,
            now=now,
            held_of=self.held.__getitem__,
            logs=self.logs.by_key,
            limits=self.limits,
        )

    def lines(self) -> Iterator[tuple[int, str, str, Line]]:
        """Each line with its priority, its key and the reason under which it would be parked."""
        for (priority, key), by_reason in self._lines.items():
            for reason, line in by_reason.items():
                yield priority, key, reason, line

    # --- changing

    def set_limits(self, settings: Settings) -> None:
        """The limits of each key may have changed: keys that were at them may start."""
        before, self.settings = self.settings, settings
        if settings.key_workers != before.key_workers:
            for key in list(self.held):
                self._reopen(key)
        if settings.key_rate != before.key_rate:
            self._reopen_paced()

    def note_starts(self, logs: Iterable[tuple[str, KeyLog]], now: int) -> None:
        """Tasks of keys that have a rate have started, or have snoozed their keys."""
        self.logs.note(logs, self.rooms(now).rates_of, now)

    def limit_key(self, key: str, own: OwnLimits | None) -> None:
        """The key has these limits of its own from now on; None: none any more."""
        before = self.limits.pop(key, None)
        if before is not None and before.ends_at:
            self._limit_ends.remove((before.ends_at, key))
        if own is not None:
            self.limits[key] = own
            if own.ends_at:
                insort(self._limit_ends, (own.ends_at, key))
        self._reopen(key)

    def end_limits(self, now: int) -> None:
        """Forget the limits of keys that have ended."""
        while self._limit_ends and self._limit_ends[0][0] <= now:
            self.limit_key(self._limit_ends[0][1], None)

    def limits_end(self, now: int) -> int | None:
        """When the first key's own limits end, after now."""
        place = bisect(self._limit_ends, now, key=lambda each: each[0])
        return self._limit_ends[place][0] if place < len(self._limit_ends) else None

    def count_lease(self, task: Task, change: int) -> None:
        """A lease of this task begins (1) or ends (-1)."""
        key = key_of(task.call)
        if not key:
            return
        self.held[key] += change
        if not self.held[key]:
            del self.held[key]
        if change < 0:
            self._reopen(key)

    def left(self, task: Task) -> None:
        """It waits no more."""
        place = (task.call.priority, key_of(task.call))
        self._waiting[place] -= 1
        if not self._waiting[place]:
            del self._waiting[place]
            self._lines.pop(place, None)

    def arrived(self, task: Task, now: int) -> None:
        """It waits from now on; it has a key."""
        place = (task.call.priority, key_of(task.call))
        self._waiting[place] += 1
        by_reason = self._lines.setdefault(place, {})
        reason = functions.reason_of(task.call.function)
        line = by_reason.get(reason)
        if line is None:
            line = by_reason[reason] = Line(partial(self._is_current, key=place[1]))
        line.add((task.ready_at, task.ticket, task.id), now)
        self._firsts.note(place, task.ready_at, len(self._waiting))

    def move(self, before: Task | None, after: Task) -> None:
        """Bring the turns up to date, once the task has left and arrived."""
        place = (after.call.priority, key_of(after.call))
        move(self.turns, before, after, others_wait=self._waiting[place] > after.is_waiting)
        if place[1] and place in self._waiting:
            self._enter(place)

    def busiest(self, limit: int) -> dict[str, int]:
        """The keys that run the most tasks, at most `limit`, and how many."""
        return dict(heapq.nsmallest(limit, self.held.items(), key=lambda each: (-each[1], each[0])))

    def delayed(self, now: int, limit: int) -> dict[str, int]:
        """The keys of which a task has been due for longest, at most `limit`, and since when."""
        return self._firsts.longest(now, limit)

    def _first_of(self, place: tuple[int, str]) -> int | None:
        lines = self._lines.get(place, {}).values()
        return min((at for line in lines if (at := line.first_at()) is not None), default=None)

    def _reopen(self, key: str) -> None:
        for priority in (1, 2, 3):
            if (priority, key) in self._waiting:
                self._enter((priority, key))

    def _reopen_paced(self) -> None:
        for priority, paced in self._paced.items():
            for _, key in paced:
                if (priority, key) in self._waiting:
                    self._enter((priority, key))
            paced.clear()

    def _enter(self, place: tuple[int, str]) -> None:
        heapq.heappush(self._rings[place[0]], (self.turns[place], place[1]))

    # --- reading

    def in_turn(
        self,
        priority: int,
        *,
        limit: int,
        opens: Opens,
        plain: Iterator[Entry],
        rooms: KeyRooms,
    ) -> list[Entry]:
        """The entries of one priority that start next; `plain` are those without a key. `rooms` counts them by key."""
        now = rooms.now
        self._promote(priority, now)
        again: deque[tuple[str, Iterator[Entry]]] = deque()
        found: list[Entry] = []
        kept: dict[str, int] = {}

        def serve(key: str, entries: Iterator[Entry]) -> bool:
            entry = None if rooms.is_full(key) else next(entries, None)
            if entry is None:
                return False
            cost = self._cost_of(entry)
            if not rooms.allows(key, cost):
                if not rooms.has_started(key):
                    self._pace(priority, key, rooms.opens_at(key, cost))
                    kept.pop(key, None)
                return False
            found.append(entry)
            rooms.start(key, cost)
            again.append((key, entries))
            return True

        for turn, key in self._ring(priority, plain_turn=self.turns.get((priority, KEYLESS), 0)):
            if len(found) >= limit:
                if key:
                    kept[key] = turn
                break
            if key == KEYLESS:
                serve(key, plain)
            elif (
                key not in kept
                and not self.is_full(key, now)
                and self._is_due((priority, key), now)
            ):
                kept[key] = turn
                serve(key, self._due((priority, key), now, opens))
        while again and len(found) < limit:
            serve(*again.popleft())
        for key, turn in kept.items():
            heapq.heappush(self._rings[priority], (turn, key))
        return found

    def _ring(self, priority: int, plain_turn: int) -> Iterator[tuple[int, str]]:
        """The entries by turn, taken out of the ring, and that of tasks without a key in its place."""
        ring, is_plain_due = self._rings[priority], True
        while ring or is_plain_due:
            if is_plain_due and (not ring or plain_turn < ring[0][0]):
                is_plain_due = False
                yield plain_turn, KEYLESS
                continue
            turn, key = heapq.heappop(ring)
            if self.turns.get((priority, key)) == turn:
                yield turn, key

    def _due(self, place: tuple[int, str], now: int, opens: Opens) -> Iterator[Entry]:
        lines = [
            line.due(now) for reason, line in self._lines.get(place, {}).items() if opens(reason)
        ]
        return lines[0] if len(lines) == 1 else heapq.merge(*lines)

    def _is_due(self, place: tuple[int, str], now: int) -> bool:
        """A task of it is due; if none is, the key is entered among those that are due later."""
        lines = self._lines.get(place, {}).values()
        if any(next(line.due(now), None) for line in lines):
            return True
        later = [at for line in lines if (at := line.next_later(now)) is not None]
        if later:
            heapq.heappush(self._later[place[0]], (min(later), place[1]))
        return False

    def _pace(self, priority: int, key: str, at: int) -> None:
        heapq.heappush(self._paced[priority], (at, key))

    def _promote(self, priority: int, now: int) -> None:
        """Enter keys that may start by now into the ring: a task has become due, or the rate allows it."""
        if now < self._latest:  # the clock has stepped back
            self._reopen_paced()
        self._latest = now
        for end, key in self._limit_ends:
            if end > now:
                break
            self._reopen(key)
        for waiting in (self._later[priority], self._paced[priority]):
            while waiting and waiting[0][0] <= now:
                _, key = heapq.heappop(waiting)
                if (priority, key) in self._waiting:
                    self._enter((priority, key))

    def next_later(self, rooms: KeyRooms, opens: Opens, taken: Collection[str] = ()) -> int | None:
        """When time alone lets a task start that `opens` lets, of keys that aren't at their limit.

        `taken`: the ids of tasks that start meanwhile; `rooms` has counted them.
        """
        found = [at for priority in (1, 2, 3) for at in self._laters(priority, rooms, opens, taken)]
        return min(found, default=None)

    def _laters(
        self, priority: int, rooms: KeyRooms, opens: Opens, taken: Collection[str]
    ) -> Iterator[int]:
        """Of each key that has something due, and the earliest of the others."""
        now = rooms.now
        for key in self._startable(priority, self.rooms(now)):
            at = self._next_of((priority, key), rooms, opens, taken)
            if at is not None:
                yield at
        earliest = None
        for is_due, waiting in ((False, self._later[priority]), (True, self._paced[priority])):
            kept = dict[str, int]()
            while waiting and (earliest is None or waiting[0][0] < earliest):
                entered, key = heapq.heappop(
                    waiting
                )  # its instant may be that of a task which has left
                place = (priority, key)
                if place not in self._waiting or self.is_full(key, now) or key in kept:
                    continue
                first = None if is_due else self._first_later(place, rooms.now, lambda _: True)
                if is_due or first is not None:
                    kept[key] = entered if first is None else first[0]
                at = self._next_of(place, rooms, opens, taken)
                if at is not None:
                    earliest = at if earliest is None else min(earliest, at)
            for key, entered in kept.items():
                heapq.heappush(waiting, (entered, key))
        if earliest is not None:
            yield earliest

    def _next_of(
        self, place: tuple[int, str], rooms: KeyRooms, opens: Opens, taken: Collection[str]
    ) -> int | None:
        """When the next task of a key may start: the first that is due, if a rate holds it, or will be."""
        key, now = place[1], rooms.now
        if rooms.is_full(key):
            return None
        if rooms.has_logs:
            due = (each for each in self._due(place, now, opens) if each[2] not in taken)
            first = next(due, None)
            if first is not None and (at := rooms.opens_at(key, self._cost_of(first))) > now:
                return at
        first = self._first_later(place, now, opens)
        return None if first is None else max(first[0], rooms.opens_at(key, self._cost_of(first)))

    def _first_later(self, place: tuple[int, str], now: int, opens: Opens) -> Entry | None:
        lines = [line for reason, line in self._lines[place].items() if opens(reason)]
        known = (line.first_later(now) for line in lines)
        return min((entry for entry in known if entry is not None), default=None)

    def _startable(self, priority: int, rooms: KeyRooms, limit: int | None = None) -> list[str]:
        """Keys that have something due and aren't at their limit, at most `limit`; others leave the ring."""
        now = rooms.now
        self._promote(priority, now)
        ring, found = self._rings[priority], dict[str, int]()
        while ring and (limit is None or len(found) < limit):
            turn, key = heapq.heappop(ring)
            is_current = self.turns.get((priority, key)) == turn
            if not is_current or self.is_full(key, now) or not self._is_due((priority, key), now):
                continue
            if rooms.has_logs:
                first = next(self._due((priority, key), now, lambda _: True))
                at = rooms.opens_at(key, self._cost_of(first))
                if at > now:
                    self._pace(priority, key, at)
                    continue
            found[key] = turn
        for key, turn in found.items():
            heapq.heappush(ring, (turn, key))
        return list(found)

    def is_due(self, now: int, opens: Opens) -> bool:
        """Whether a task is due that `opens` lets start, of a key that isn't at its limit."""
        rooms = self.rooms(now)
        return any(
            next(self._due((priority, key), now, opens), None) is not None
            for priority in (1, 2, 3)
            for key in self._startable(priority, rooms)
        )

    def due_reasons(self, now: int) -> set[str]:
        """The reasons under which tasks would be parked that may start, of the keys that come first."""
        rooms = self.rooms(now)
        return {
            reason
            for priority in (1, 2, 3)
            for key in self._startable(priority, rooms, LOOK_AHEAD)
            for reason, line in self._lines[priority, key].items()
            if next(line.due(now), None) is not None
        }
