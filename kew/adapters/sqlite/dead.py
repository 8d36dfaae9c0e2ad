"""One queue's failed attempts, and its dead letters."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from kew.adapters.memory.attempts import KeptAttempts, LifeKey
from kew.adapters.sqlite.rows import Rows, SmallRows
from kew.adapters.sqlite.values import Codec
from kew.compat import override
from kew.domain.attempts import FailedAttempt
from kew.domain.failures import CountedFailure

Entry = tuple[int, int, str]  # when the record ends, ticket, id
PAGE = """
SELECT expires_at, ticket, id FROM tasks WHERE queue = ? AND phase = 3
  AND (expires_at, ticket, id) < (?, ?, ?) {} ORDER BY expires_at DESC, ticket DESC, id DESC LIMIT ?
"""
ALL = PAGE.format("")
OF_GROUP = PAGE.format("AND failure = ?")
LAST: Entry = (2**62, 0, "")


class StoredDeadLetters(KeptAttempts):
    """The dead letters, in order, all of them and by group. `tasks` has the group as `failure`."""

    def __init__(self, db: sqlite3.Connection, queue: int) -> None:
        self._db = db
        self._queue = queue
        self.attempts = self._attempts = Rows[LifeKey, tuple[FailedAttempt, ...]](
            db,
            queue,
            "attempts",
            Codec(tuple[FailedAttempt, ...]),
            to_name=lambda key: f"{key[0]} {key[1]}",
            from_name=_life,
        )
        self.counted = SmallRows(db, queue, "counted", Codec(CountedFailure))

    @override
    def forget(self, ticket: int, task_id: str) -> None:
        self._attempts.discard((ticket, task_id))  # without reading them

    def page(self, group: str | None, before: Entry | None, limit: int) -> list[Entry]:
        """The last entries before this one, backwards."""
        first = before or LAST
        if group is None:
            return self._db.execute(ALL, (self._queue, *first, limit)).fetchall()
        return self._db.execute(OF_GROUP, (self._queue, *first, group, limit)).fetchall()

    def surplus(self, most: int, limit: int) -> list[Entry]:
        """Those that end first of all beyond `most`, at most `limit`."""
        beyond = min(limit, max(0, self._count("") - most))
        return self._in_order("", (), beyond)

    def groups(self, after: str, limit: int) -> list[str]:
        """The names of groups that have entries, after this one, in the order of their bytes."""
        sql = """
        SELECT DISTINCT failure FROM tasks WHERE queue = ? AND phase = 3 AND failure > ?
        ORDER BY failure LIMIT ?
        """
        return [name for (name,) in self._db.execute(sql, (self._queue, after, limit)).fetchall()]

    def count(self, now: int) -> int:
        """How many there are whose records are not absent."""
        return self._count("AND expires_at > ?", now)

    def present(self, group: str, now: int) -> list[Entry]:
        """The entries of a group whose records are not absent."""
        return self._in_order("AND failure = ? AND expires_at > ?", (group, now), -1)

    @property
    def by_group(self) -> Mapping[str, Sequence[Entry]]:
        """All entries, by group."""
        return {name: self.present(name, -1) for name in self.groups("", -1)}

    def _count(self, condition: str, *values: object) -> int:
        sql = f"SELECT count(*) FROM tasks WHERE queue = ? AND phase = 3 {condition}"
        count: int = self._db.execute(sql, (self._queue, *values)).fetchone()[0]
        return count

    def _in_order(self, condition: str, values: tuple[object, ...], limit: int) -> list[Entry]:
        sql = f"""
        SELECT expires_at, ticket, id FROM tasks WHERE queue = ? AND phase = 3 {condition}
        ORDER BY expires_at, ticket, id LIMIT ?
        """
        return self._db.execute(sql, (self._queue, *values, limit)).fetchall()


def _life(name: str) -> LifeKey:
    ticket, _, task_id = name.partition(" ")
    return int(ticket), task_id
