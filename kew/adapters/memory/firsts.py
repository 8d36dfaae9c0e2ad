"""Which keys of a queue have waited for longest, found without looking at all of them.

Each place (priority and key) in which tasks wait has an entry no later than its first task. Entries that are too early
are corrected when they are met.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

Place = tuple[int, str]
FEW = 1_000  # entries that are left as they are


class FirstDue:
    """Places by when their first task is due. `first_of` says that of one; None: none waits there."""

    def __init__(self, first_of: Callable[[Place], int | None]) -> None:
        self._first_of = first_of
        self._entries: list[tuple[int, int, str]] = []
        self._noted: dict[Place, int] = {}

    def note(self, place: Place, at: int, places: int) -> None:
        """A task waits there that is due then, in one of so many places."""
        if at < self._noted.get(place, at + 1):
            self._noted[place] = at
            heapq.heappush(self._entries, (at, *place))
        if len(self._entries) > 2 * places + FEW:
            self._renew()

    def longest(self, now: int, limit: int) -> dict[str, int]:
        """The keys of which a task has been due for longest, at most `limit`, and since when."""
        found: dict[str, int] = {}
        kept = []
        while self._entries and self._entries[0][0] <= now and len(found) < limit:
            at, priority, key = heapq.heappop(self._entries)
            entry = self._current((priority, key), at)
            if entry is not None and entry[0] == at:
                kept.append(entry)
                found.setdefault(entry[2], at)
            elif entry is not None:
                heapq.heappush(self._entries, entry)
        for entry in kept:
            heapq.heappush(self._entries, entry)
        return found

    def _current(self, place: Place, at: int) -> tuple[int, int, str] | None:
        """The entry as it should be; None: there is to be none, or another one."""
        if self._noted.get(place) != at:
            return None
        first = self._first_of(place)
        if first is None:
            del self._noted[place]
            return None
        self._noted[place] = first
        return first, *place

    def _renew(self) -> None:
        found = [(place, self._first_of(place)) for place in self._noted]
        self._noted = {place: at for place, at in found if at is not None}
        self._entries = [(at, *place) for place, at in self._noted.items()]
        heapq.heapify(self._entries)
