"""Maps that are kept in the table `entries`, one row for each name."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, TypeVar

from kew.adapters.sqlite.values import Codec
from kew.compat import override

K = TypeVar("K")
V = TypeVar("V")

READ = "SELECT value FROM entries WHERE scope = ? AND kind = ? AND name = ?"
NAMES = "SELECT name FROM entries WHERE scope = ? AND kind = ? ORDER BY place"
ALL = "SELECT name, value FROM entries WHERE scope = ? AND kind = ? ORDER BY place"
COUNT = "SELECT count(*) FROM entries WHERE scope = ? AND kind = ?"
ANY = "SELECT 1 FROM entries WHERE scope = ? AND kind = ? LIMIT 1"
WRITE = """
INSERT INTO entries (scope, kind, name, value, at, place) VALUES (?1, ?2, ?3, ?4, ?5,
  (SELECT coalesce(max(place), 0) + 1 FROM entries WHERE scope = ?1 AND kind = ?2))
ON CONFLICT (scope, kind, name) DO UPDATE SET value = excluded.value, at = excluded.at
"""
DELETE = "DELETE FROM entries WHERE scope = ? AND kind = ? AND name = ?"
DUE = """
SELECT name FROM entries WHERE scope = ? AND kind = ? AND at IS NOT NULL AND at <= ? ORDER BY at, name LIMIT ?
"""
FIRST = "SELECT name, value FROM entries WHERE scope = ? AND kind = ? ORDER BY place LIMIT ?"
BETWEEN = "SELECT name, value FROM entries WHERE scope = ? AND kind = ? AND name >= ? AND name < ?"


class Rows(MutableMapping[K, V]):
    """A map in the file. As in a dict, a name keeps its place if it gets another value.

    `to_name`, `from_name`: how a key is written, as text or as a number.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        scope: int,
        kind: str,
        codec: Codec[V],
        *,
        to_name: Callable[[K], Any] = lambda key: key,
        from_name: Callable[[Any], K] = lambda name: name,
    ) -> None:
        self._db = db
        self._where = (scope, kind)
        self._codec = codec
        self._to_name = to_name
        self._from_name = from_name

    @override
    def __getitem__(self, key: K) -> V:
        row = self._db.execute(READ, (*self._where, self._to_name(key))).fetchone()
        if row is None:
            raise KeyError(key)
        return self._codec.decode(row[0])

    @override
    def __setitem__(self, key: K, value: V) -> None:
        self.put(key, value)

    def put(self, key: K, value: V, at: int | None = None) -> None:
        """Write an entry; `at`: the instant by which `due` finds it."""
        name, encoded = self._to_name(key), self._codec.encode(value)
        self._db.execute(WRITE, (*self._where, name, encoded, at))

    @override
    def __delitem__(self, key: K) -> None:
        if not self.discard(key):
            raise KeyError(key)

    def discard(self, key: K) -> bool:
        """Delete an entry if there is one. Whether there was."""
        return self._db.execute(DELETE, (*self._where, self._to_name(key))).rowcount > 0

    @override
    def __iter__(self) -> Iterator[K]:
        rows = self._db.execute(NAMES, self._where).fetchall()
        return (self._from_name(name) for (name,) in rows)

    @override
    def __len__(self) -> int:
        count: int = self._db.execute(COUNT, self._where).fetchone()[0]
        return count

    def __bool__(self) -> bool:
        return self._db.execute(ANY, self._where).fetchone() is not None

    def all(self) -> dict[K, V]:
        """All entries, in one request."""
        return self._read(self._db.execute(ALL, self._where))

    def first(self, limit: int) -> dict[K, V]:
        """The first entries."""
        return self._read(self._db.execute(FIRST, (*self._where, limit)))

    def between(self, low: Any, high: Any) -> dict[K, V]:
        """The entries whose names are written as `low` or more, and less than `high`."""
        return self._read(self._db.execute(BETWEEN, (*self._where, low, high)))

    def due(self, now: int, limit: int) -> list[K]:
        """The keys whose instant has come, the earliest first."""
        rows = self._db.execute(DUE, (*self._where, now, limit)).fetchall()
        return [self._from_name(name) for (name,) in rows]

    def _read(self, rows: sqlite3.Cursor) -> dict[K, V]:
        return {self._from_name(name): self._codec.decode(value) for name, value in rows.fetchall()}


class SmallRows(Rows[K, V]):
    """A map that is read whole when it is first asked, since it has few entries: one for each process, say."""

    _known: dict[K, V] | None = None

    def _entries(self) -> dict[K, V]:
        if self._known is None:
            self._known = self.all()
        return self._known

    @override
    def __getitem__(self, key: K) -> V:
        return self._entries()[key]

    @override
    def put(self, key: K, value: V, at: int | None = None) -> None:
        known = self._entries()
        if key in known and known[key] == value:
            return
        super().put(key, value, at)
        known[key] = value

    @override
    def discard(self, key: K) -> bool:
        self._entries().pop(key, None)
        return super().discard(key)

    @override
    def __iter__(self) -> Iterator[K]:
        return iter(self._entries())

    @override
    def __len__(self) -> int:
        return len(self._entries())

    @override
    def __bool__(self) -> bool:
        return bool(self._entries())
