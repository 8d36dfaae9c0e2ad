"""One namespace of the file, as the handlers of the memory store see one: its queues, tasks and processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, MutableMapping
from typing import Any

from kew.adapters.memory.hub import Hub
from kew.adapters.memory.namespace import MemoryQueue, Namespace
from kew.adapters.sqlite.queue import StoredQueue
from kew.adapters.sqlite.records import Records
from kew.adapters.sqlite.rows import Rows, SmallRows
from kew.adapters.sqlite.slices import Slices
from kew.adapters.sqlite.values import Codec
from kew.compat import override
from kew.domain.explaining import SlotLimit
from kew.domain.schedule import StoredSchedule
from kew.domain.view import QueueState

_state: Codec[QueueState] = Codec(QueueState)
OF_QUEUE = (
    "DELETE FROM payloads WHERE (namespace, id) IN (SELECT namespace, id FROM tasks WHERE queue = ?)",
    "DELETE FROM tasks WHERE queue = ?",
    "DELETE FROM lines WHERE queue = ?",
    "DELETE FROM entries WHERE scope = ?",
    "DELETE FROM queues WHERE number = ?",
)


class ServedQueue(MemoryQueue):
    """A queue in the file, with the processes that serve it."""

    def __init__(self, db: sqlite3.Connection, stored: StoredQueue) -> None:
        number = stored.number
        # `Any`: it answers what the handlers ask of an indexed queue, which the contract suite shows.
        indexed: Any = stored
        presence: Any = SmallRows[str, int](db, number, "presence", Codec(int))
        idle: Any = SmallRows[str, None](db, number, "idle", Codec(None))
        slots: Any = SmallRows[str, SlotLimit](db, number, "slots", Codec(SlotLimit))
        super().__init__(indexed)
        self.stored = stored
        self.presence, self.idle, self.slots = presence, idle, slots


class Queues(MutableMapping[str, MemoryQueue]):
    """The queues of a namespace by name; each is read when it is first asked for."""

    def __init__(self, db: sqlite3.Connection, namespace: int, records: Records) -> None:
        self._db = db
        self._namespace = namespace
        self._records = records
        self._known: dict[str, ServedQueue] = {}

    def flush(self) -> None:
        """Write what is kept in memory while operations are carried out."""
        for known in self._known.values():
            known.stored.flush()

    def forget_cached(self) -> None:
        """Read everything from the file again."""
        self._known.clear()

    @override
    def __getitem__(self, name: str) -> ServedQueue:
        known = self._known.get(name)
        if known is None:
            row = self._db.execute(
                "SELECT number FROM queues WHERE namespace = ? AND name = ?",
                (self._namespace, name),
            ).fetchone()
            if row is None:
                raise KeyError(name)
            stored = StoredQueue(self._db, row[0], name, self._records)
            known = self._known[name] = ServedQueue(self._db, stored)
        return known

    @override
    def __setitem__(self, name: str, queue: MemoryQueue) -> None:
        """Create a queue with the state of this one."""
        state = _state.encode(queue.indexed.state)
        self._db.execute(
            "INSERT INTO queues (namespace, name, state) VALUES (?, ?, ?)",
            (self._namespace, name, state),
        )

    @override
    def __delitem__(self, name: str) -> None:
        known = self[name]
        list(known.presence)  # they are asked for afterwards
        for statement in OF_QUEUE:
            self._db.execute(statement, (known.stored.number,))
        del self._known[name]
        self._records.forget_cached()

    @override
    def __iter__(self) -> Iterator[str]:
        rows = self._db.execute(
            "SELECT name FROM queues WHERE namespace = ? ORDER BY number", (self._namespace,)
        )
        return (name for (name,) in rows.fetchall())

    @override
    def __len__(self) -> int:
        return sum(1 for _ in self)


class StoredNamespace(Namespace):
    """One namespace of a file, as long as one connection is open. Another process may write to it between transactions.

    Everything is read lazily. What was read is kept until another process has written (`data_version`), or until a
    transaction is undone.
    """

    def __init__(self, db: sqlite3.Connection, name: str, hub: Hub, slices: Slices) -> None:
        super().__init__()
        self._db = db
        self._number, self.last_ms = _row(db, name)
        self._written_ms = self.last_ms
        self._version = -1
        scope = -self._number
        records, reports = (
            Records(db, self._number, slices),
            Rows[str, tuple[int, str]](db, scope, "reports", Codec(tuple[int, str])),
        )
        schedules = Rows[str, StoredSchedule](db, scope, "schedules", Codec(StoredSchedule))
        self.records, self.reports, self.schedules = records, reports, schedules
        self._stored_records, self._stored_queues = records, Queues(db, self._number, records)
        self.queues = self._stored_queues
        self.hub = hub

    def refresh(self) -> None:
        """A transaction begins: forget what another process has changed meanwhile, or what was undone."""
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._version = version
            self._stored_records.forget_cached()
            self._stored_queues.forget_cached()
            sql = "SELECT last_ms FROM namespaces WHERE number = ?"
            self.last_ms = self._written_ms = self._db.execute(sql, (self._number,)).fetchone()[0]

    def undone(self) -> None:
        """What is kept may never have been written: the next transaction reads everything again."""
        self._version = -1

    def flush(self) -> None:
        """Write what is kept in memory while operations are carried out."""
        self._stored_queues.flush()
        if self.last_ms != self._written_ms:
            sql = "UPDATE namespaces SET last_ms = ? WHERE number = ?"
            self._db.execute(sql, (self.last_ms, self._number))
            self._written_ms = self.last_ms


def _row(db: sqlite3.Connection, name: str) -> tuple[int, int]:
    db.execute("INSERT OR IGNORE INTO namespaces (name) VALUES (?)", (name,))
    number, last_ms = db.execute(
        "SELECT number, last_ms FROM namespaces WHERE name = ?", (name,)
    ).fetchone()
    return number, last_ms
