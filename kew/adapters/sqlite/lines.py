"""The waiting tasks of a queue: how many there are in each line, and the first of them, as a few rows at a time.

A line has the tasks of one priority, one key ("": none) and one reason under which they would be parked.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, MutableMapping
from typing import Final, TypeVar

import attrs

from kew.domain.task import QueuePriority

Entry = tuple[int, int, str]  # when it is due, ticket, id
N = TypeVar("N")
Opens = Callable[[str], bool]
AT_ONCE: Final = 32  # rows
EVER: Final = 2**62
START: Final[Entry] = (-EVER, -1, "")

COUNT = "INSERT OR REPLACE INTO lines VALUES (?, ?, ?, ?, ?)"
DROP = "DELETE FROM lines WHERE queue = ? AND priority = ? AND key = ? AND reason = ?"
IN_LINE = """
SELECT ready_at, ticket, id FROM tasks
WHERE queue = ? AND phase = 0 AND priority = ? AND key = ? AND reason = ?
  AND (ready_at, ticket) > (?, ?) AND ready_at <= ?
ORDER BY ready_at, ticket LIMIT ?
"""
IN_ORDER = """
SELECT id FROM tasks WHERE queue = ? AND phase = 0 AND priority = ? AND ready_at <= ?
ORDER BY ready_at, ticket LIMIT ?
"""
LATER = """
SELECT ready_at, key, reason FROM tasks WHERE queue = ? AND phase = 0 AND priority = ? AND ready_at > ?
ORDER BY ready_at, ticket
"""
FIRST = "SELECT min(ready_at) FROM tasks WHERE queue = ? AND phase = 0 AND priority = ?"


@attrs.frozen
class Line:
    """One line of waiting tasks."""

    lines: Lines
    priority: int
    key: str
    reason: str

    def after(self, entry: Entry, limit: int, upto: int = EVER) -> list[Entry]:
        """The first entries after this one that are due by `upto`, at most `limit`."""
        return self.lines.entries(self, entry, limit, upto)

    def due(self, now: int, after: Entry = START) -> Iterator[Entry]:
        """The due entries in order, read a few at a time."""
        return self._from(after, now)

    def later(self, now: int) -> Entry | None:
        """The first entry that is due after `now`."""
        return next(iter(self.after((now, EVER, ""), 1)), None)

    def is_current(self, entry: Entry) -> bool:
        """Every entry of a table means what it says."""
        return True

    def _from(self, after: Entry, upto: int) -> Iterator[Entry]:
        limit = 1
        while found := self.after(after, limit, upto):
            yield from found
            if len(found) < limit:
                return
            after, limit = found[-1], AT_ONCE


def _add(counts: MutableMapping[N, int], name: N, by: int) -> None:
    """Change a count; none is kept that is 0."""
    counts[name] = counts.get(name, 0) + by
    if not counts[name]:
        del counts[name]


def merged(lines: Iterable[Line], now: int) -> Iterator[Entry]:
    """The due entries of several lines, in order."""
    each = [line.due(now) for line in lines]
    return each[0] if len(each) == 1 else heapq.merge(*each)


class Lines:
    """All lines of a queue.

    The counts are read once, and kept as long as no other process writes to the file. `flush` writes those that have
    changed, since most transactions change one many times.
    """

    def __init__(self, db: sqlite3.Connection, queue: int) -> None:
        self._db = db
        self._queue = queue
        self._counts: dict[tuple[int, str, str], int] | None = None
        self._by_key: Counter[tuple[int, str]] = Counter()
        self._by_priority: Counter[int] = Counter()
        self._changed: set[tuple[int, str, str]] = set()

    @property
    def _known(self) -> dict[tuple[int, str, str], int]:
        if self._counts is None:
            self._counts = {}
            rows = self._db.execute(
                "SELECT priority, key, reason, count FROM lines WHERE queue = ?", (self._queue,)
            )
            for priority, key, reason, count in rows.fetchall():
                self._change((priority, key, reason), count)
        return self._counts

    def _change(self, place: tuple[int, str, str], by: int) -> None:
        """So many tasks more wait there."""
        counts = self._counts if self._counts is not None else self._known
        priority, key, _ = place
        _add(counts, place, by)
        _add(self._by_key, (priority, key), by)
        self._by_priority[priority] += by

    # --- changing

    def add(self, priority: int, key: str, reason: str) -> None:
        """One more task waits there."""
        place = (int(priority), key, reason)
        self._change(place, 1)
        self._changed.add(place)

    def remove(self, priority: int, key: str, reason: str) -> None:
        """One task less waits there."""
        place = (int(priority), key, reason)
        self._change(place, -1)
        self._changed.add(place)

    def flush(self) -> None:
        """Write the counts that have changed."""
        for place in self._changed:
            if count := self._known.get(place):
                self._db.execute(COUNT, (self._queue, *place, count))
            else:
                self._db.execute(DROP, (self._queue, *place))
        self._changed.clear()

    # --- reading

    def all(self) -> list[Line]:
        """Each line in which a task waits."""
        return [Line(self, *place) for place in self._known]

    def by_key(self, priority: int, opens: Opens) -> dict[str, list[Line]]:
        """The lines of one priority whose reason opens, by key."""
        found: dict[str, list[Line]] = {}
        for line in self.all():
            if line.priority == priority and opens(line.reason):
                found.setdefault(line.key, []).append(line)
        return found

    @property
    def has_keys(self) -> bool:
        """A task with a key waits."""
        plain = sum((priority, "") in self._by_key for priority in QueuePriority)
        return len(self._known) > 0 and len(self._by_key) > plain

    def total(self) -> int:
        """How many tasks wait, due or not."""
        return self._by_priority.total() if self._known else 0

    def count(self, priority: int) -> int:
        """How many tasks of a priority wait, due or not."""
        return self._by_priority[priority] if self._known else 0

    def count_of(self, key: str, priorities: Collection[int] = tuple(QueuePriority)) -> int:
        """How many tasks of a key wait."""
        return sum(self._by_key[p, key] for p in priorities) if self._known else 0

    def entries(self, line: Line, after: Entry, limit: int, upto: int) -> list[Entry]:
        """See `Line.after`."""
        where = (self._queue, line.priority, line.key, line.reason, after[0], after[1], upto, limit)
        return self._db.execute(IN_LINE, where).fetchall()

    def in_order(self, upto: int, limit: int) -> list[str]:
        """The ids of tasks of any function and key that are due by then, in order."""
        found: list[str] = []
        for priority in QueuePriority:
            where = (self._queue, int(priority), upto, limit - len(found))
            found += (task_id for (task_id,) in self._db.execute(IN_ORDER, where).fetchall())
        return found

    def first_later(self, now: int, is_meant: Callable[[str, str], bool]) -> int | None:
        """When the first task is due after `now` whose key and reason are meant; None: there is none."""
        firsts = (self._first_later(priority, now, is_meant) for priority in QueuePriority)
        return min((first for first in firsts if first is not None), default=None)

    def _first_later(
        self, priority: int, now: int, is_meant: Callable[[str, str], bool]
    ) -> int | None:
        rows = self._db.execute(LATER, (self._queue, int(priority), now))
        return next((at for at, key, reason in rows if is_meant(key, reason)), None)

    def first_at(self) -> int | None:
        """When the first task is due, or was."""
        firsts = (self._first_at(priority) for priority in QueuePriority)
        return min((first for first in firsts if first is not None), default=None)

    def is_due(self, priority: int, now: int) -> bool:
        """Whether any task of the priority is due."""
        first = self._first_at(priority)
        return first is not None and first <= now

    def _first_at(self, priority: int) -> int | None:
        first: int | None = self._db.execute(FIRST, (self._queue, int(priority))).fetchone()[0]
        return first
