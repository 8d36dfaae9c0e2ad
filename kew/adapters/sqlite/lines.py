"""The waiting tasks of a queue: how many there are in each line, and the first of them, as a few rows at a time.

A line has the tasks of one priority, one key ("": none) and one reason under which they would be parked.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

import attrs

from kew.domain.task import QueuePriority

Entry = tuple[int, int, str]  # when it is due, ticket, id
Opens = Callable[[str], bool]
AT_ONCE: Final = 32  # rows
EVER: Final = 2**62
START: Final[Entry] = (-EVER, -1, "")

COUNT = """
INSERT INTO lines VALUES (?, ?, ?, ?, 1) ON CONFLICT (queue, priority, key, reason) DO UPDATE SET count = count + 1
"""
UNCOUNT = (
    "UPDATE lines SET count = count - 1 WHERE queue = ? AND priority = ? AND key = ? AND reason = ?"
)
DROP = "DELETE FROM lines WHERE queue = ? AND priority = ? AND key = ? AND reason = ? AND count = 0"
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


def merged(lines: Iterable[Line], now: int) -> Iterator[Entry]:
    """The due entries of several lines, in order."""
    each = [line.due(now) for line in lines]
    return each[0] if len(each) == 1 else heapq.merge(*each)


class Lines:
    """All lines of a queue. The counts are read once, and kept as long as no other process writes to the file."""

    def __init__(self, db: sqlite3.Connection, queue: int) -> None:
        self._db = db
        self._queue = queue
        self._counts: dict[tuple[int, str, str], int] | None = None

    @property
    def _known(self) -> dict[tuple[int, str, str], int]:
        if self._counts is None:
            rows = self._db.execute(
                "SELECT priority, key, reason, count FROM lines WHERE queue = ?", (self._queue,)
            )
            self._counts = {(p, key, reason): count for p, key, reason, count in rows.fetchall()}
        return self._counts

    # --- changing

    def add(self, priority: int, key: str, reason: str) -> None:
        """One more task waits there."""
        place, known = (int(priority), key, reason), self._known
        self._db.execute(COUNT, (self._queue, *place))
        known[place] = known.get(place, 0) + 1

    def remove(self, priority: int, key: str, reason: str) -> None:
        """One task less waits there."""
        place, known = (int(priority), key, reason), self._known
        self._db.execute(UNCOUNT, (self._queue, *place))
        known[place] -= 1
        if not known[place]:
            self._db.execute(DROP, (self._queue, *place))
            del known[place]

    # --- reading

    def all(self) -> list[Line]:
        """Each line in which a task waits."""
        return [Line(self, *place) for place in self._known]

    def keyless(self, opens: Opens) -> dict[int, list[Line]]:
        """The lines of tasks without a key whose reason opens, by priority."""
        found: dict[int, list[Line]] = {}
        for line in self.all():
            if not line.key and opens(line.reason):
                found.setdefault(line.priority, []).append(line)
        return found

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
        return any(key for _, key, _ in self._known)

    def count(self, priorities: Collection[int] = tuple(QueuePriority)) -> int:
        """How many tasks wait, due or not."""
        return sum(count for (p, _, _), count in self._known.items() if p in priorities)

    def count_of(self, key: str, priorities: Collection[int] = tuple(QueuePriority)) -> int:
        """How many tasks of a key wait."""
        known = self._known.items()
        return sum(count for (p, each, _), count in known if each == key and p in priorities)

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

    def first_at(self) -> int | None:
        """When the first task is due, or was."""
        firsts = (
            self._db.execute(FIRST, (self._queue, int(priority))).fetchone()[0]
            for priority in QueuePriority
        )
        return min((first for first in firsts if first is not None), default=None)
