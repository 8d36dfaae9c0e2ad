"""Which waiting tasks with keys start next, key by key in turn, and when time alone lets one start."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Iterator

from kew.adapters.memory.keyed import KeyedLines, Opens
from kew.adapters.memory.lines import Entry
from kew.domain.key_rooms import KeyRooms
from kew.domain.keys import KEYLESS

LOOK_AHEAD = 20  # keys


class KeysInTurn(KeyedLines):
    """The keys of one queue, served by turn. Asking changes nothing but where a key is entered."""

    # Long: the round by turn and the rounds after it share what was found, and which keys keep their turns.
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
