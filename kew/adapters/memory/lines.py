"""Waiting tasks of one priority and one function, in order: those that are due, and those that will be.

An entry is (ready_at, ticket, id). Entries of tasks that no longer wait are left in place and skipped when met, so that
cancelling costs nothing; `is_current` tells them apart.
"""

from __future__ import annotations

import heapq
from bisect import bisect
from collections import deque
from collections.abc import Callable, Iterator
from itertools import groupby, islice, takewhile

from kew.domain.task import Task

Entry = tuple[int, int, str]


class Line:
    """A sorted queue: appending in order, taking the first and adding a later one cost next to nothing."""

    def __init__(self, is_current: Callable[[Entry], bool]) -> None:
        self._is_current = is_current
        self._due: deque[Entry] = deque()
        self._later: list[Entry] = []

    @property
    def is_empty(self) -> bool:
        """There is no entry, not even one that is to be skipped."""
        return not self._due and not self._later

    @property
    def size(self) -> int:
        """How many entries there are, with those that are to be skipped."""
        return len(self._due) + len(self._later)

    def compact(self) -> None:
        """Drop the entries that are to be skipped."""
        self._due = deque(entry for entry in self._due if self._is_current(entry))
        self._later = [entry for entry in self._later if self._is_current(entry)]
        heapq.heapify(self._later)

    def add(self, entry: Entry, now: int) -> None:
        """Put a waiting task in its place."""
        if entry[0] > now:
            heapq.heappush(self._later, entry)
        else:
            self._insert(entry)

    def _insert(self, entry: Entry) -> None:
        """Insert in order, once: a released task may still have its old entry."""
        due = self._due
        if not due or entry > due[-1]:
            due.append(entry)
        elif entry < due[0]:
            due.appendleft(entry)
        else:
            place = bisect(due, entry)
            if due[place - 1] != entry:
                due.insert(place, entry)

    def due(self, now: int) -> Iterator[Entry]:
        """The due entries in order. Don't change the line while iterating."""
        self._put_off(now)
        while self._later and self._later[0][0] <= now:
            self._insert(heapq.heappop(self._later))
        while self._due and not self._is_current(self._due[0]):
            self._due.popleft()
        return (entry for entry in self._due if self._is_current(entry))

    def first_at(self) -> int | None:
        """When the first task is due, or was."""
        while self._due and not self._is_current(self._due[0]):
            self._due.popleft()
        while self._later and not self._is_current(self._later[0]):
            heapq.heappop(self._later)
        firsts = [*(entry[0] for entry in (*islice(self._due, 1), *self._later[:1]))]
        return min(firsts, default=None)

    def due_by(self, instant: int) -> Iterator[Entry]:
        """The entries that are due by then, in order. Don't change the line while iterating."""
        entries = heapq.merge(self._due, self._later_in_order())
        until = takewhile(lambda entry: entry[0] <= instant, entries)
        return (entry for entry, _ in groupby(until) if self._is_current(entry))

    def after(self, entry: Entry, limit: int) -> list[Entry]:
        """The first entries after this one, at most `limit`, with those that are to be skipped."""
        due = self._due
        start = bisect(due, entry)
        first = [due[n] for n in range(start, min(start + limit, len(due)))]
        later = heapq.nsmallest(limit, (each for each in self._later if each > entry))
        return [each for each, _ in groupby(islice(heapq.merge(first, later), limit))]

    def is_current(self, entry: Entry) -> bool:
        """Whether it means anything."""
        return self._is_current(entry)

    def _later_in_order(self) -> Iterator[Entry]:
        """What is due later, sorted only as far as it is read."""
        heap, places = self._later, [(self._later[0], 0)] if self._later else []
        while places:
            entry, place = heapq.heappop(places)
            yield entry
            for below in (2 * place + 1, 2 * place + 2):
                if below < len(heap):
                    heapq.heappush(places, (heap[below], below))

    def next_later(self, now: int) -> int | None:
        """The earliest due time after `now`."""
        first = self.first_later(now)
        return None if first is None else first[0]

    def first_later(self, now: int) -> Entry | None:
        """The first entry that is due after `now`."""
        self._put_off(now)
        while self._later and not (self._later[0][0] > now and self._is_current(self._later[0])):
            entry = heapq.heappop(self._later)
            if self._is_current(entry):
                self._insert(entry)
        return self._later[0] if self._later else None

    def entries(self) -> Iterator[Entry]:
        """All entries, in no order."""
        yield from (entry for entry in {*self._due, *self._later} if self._is_current(entry))

    def _put_off(self, now: int) -> None:
        """Move entries that are due later, since the clock has stepped back."""
        while self._due and self._due[-1][0] > now:
            heapq.heappush(self._later, self._due.pop())


def place_of(task: Task) -> tuple[object, ...]:
    """Where the indexes have a task: a change that leaves it there touches none of them."""
    return (task.status, task.queue, task.ticket, task.ready_at, task.lease_until, task.expires_at)
