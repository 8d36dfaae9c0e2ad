"""The records of a namespace's tasks, by id, whichever queue they are in."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Final

from kew.adapters.sqlite.schema import DEAD, ENDED, LEASED, WAITING
from kew.adapters.sqlite.slices import Slices
from kew.adapters.sqlite.values import Codec
from kew.compat import override
from kew.domain.gates.functions import reason_of
from kew.domain.keys import key_of
from kew.domain.task import Task, TaskStatus, unstarted_until, with_payload

MOST_CACHED: Final = 4_096  # tasks
LARGEST_CACHED: Final = 16_384  # bytes of content: what is larger is read from the file each time
READ = """
SELECT record, payload FROM tasks LEFT JOIN payloads USING (namespace, id) WHERE namespace = ? AND id = ?
"""
WRITE = """
INSERT INTO tasks (queue, phase, priority, key, reason, ready_at, ticket, lease_until, expires_at, start_by, failure,
  record, namespace, id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
REWRITE = """
UPDATE tasks SET queue = ?, phase = ?, priority = ?, key = ?, reason = ?, ready_at = ?, ticket = ?, lease_until = ?,
  expires_at = ?, start_by = ?, failure = ?, record = ?
WHERE namespace = ? AND id = ?
"""
_codec: Codec[Task] = Codec(Task)


def phase_of(task: Task) -> int:
    """Which of the indexes have it."""
    if task.is_waiting:
        return WAITING
    if task.lease:
        return LEASED
    return DEAD if task.status is TaskStatus.FAILED else ENDED


def size_of(task: Task) -> int:
    """The bytes of what its callers and its runs gave it."""
    checkpoint = task.checkpoint.size if task.checkpoint else 0
    return len(task.call.payload) + len(task.result) + checkpoint


class Records(MutableMapping[str, Task]):
    """The tasks by id, which are kept in memory as well until another process writes to the file.

    So is that an id is not there: a submit asks that twice.
    """

    def __init__(self, db: sqlite3.Connection, namespace: int, slices: Slices) -> None:
        self._db = db
        self._namespace = namespace
        self._check = slices.check
        self._known: dict[str, Task | None] = {}

    def forget_cached(self) -> None:
        """Read everything from the file again: another process has changed it, or a transaction was undone."""
        self._known.clear()

    def find(self, task_id: str) -> Task | None:
        """The task of an id, if there is one."""
        known = self._known
        return known[task_id] if task_id in known else self._read(task_id)

    def _read(self, task_id: str) -> Task | None:
        self._check()
        row = self._db.execute(READ, (self._namespace, task_id)).fetchone()
        if row is None:
            self._remember(task_id, None)
            return None
        task = _codec.decode(row[0])
        return self._keep(task if row[1] is None else with_payload(task, row[1]))

    @override
    def __getitem__(self, task_id: str) -> Task:
        task = self.find(task_id)
        if task is None:
            raise KeyError(task_id)
        return task

    def of(self, task_ids: Iterable[str]) -> list[Task]:
        """The tasks of ids that are there."""
        return [self[task_id] for task_id in task_ids]

    @override
    def __setitem__(self, task_id: str, task: Task) -> None:
        raise TypeError("a record is written by its queue")

    def write(self, old: Task | None, task: Task, queue: int, failure: str) -> None:
        """Write a record in place of an old one. `failure`: its group, if it is a dead letter.

        A completed task no longer needs its payload.
        """
        self._check()
        bare, call = task, task.call
        if call.payload:
            bare = with_payload(task, b"")
        if task.status is TaskStatus.COMPLETED:
            task, call = bare, bare.call
        values = (
            *(queue, phase_of(task), int(call.priority), key_of(call), reason_of(call.function)),
            *(task.ready_at, task.ticket, task.lease_until, task.expires_at),
            *(unstarted_until(task), failure, _codec.encode(bare), self._namespace, task.id),
        )
        self._db.execute(WRITE if old is None else REWRITE, values)
        self._write_payload(old.call.payload if old else b"", call.payload, task.id)
        self._keep(task)

    def _write_payload(self, old: bytes, payload: bytes, task_id: str) -> None:
        if payload == old:
            return
        where = (self._namespace, task_id)
        if payload:
            self._db.execute("INSERT OR REPLACE INTO payloads VALUES (?, ?, ?)", (*where, payload))
        else:
            self._db.execute("DELETE FROM payloads WHERE namespace = ? AND id = ?", where)

    @override
    def __delitem__(self, task_id: str) -> None:
        where = (self._namespace, task_id)
        self._known.pop(task_id, None)
        self._db.execute("DELETE FROM tasks WHERE namespace = ? AND id = ?", where)
        self._db.execute("DELETE FROM payloads WHERE namespace = ? AND id = ?", where)

    @override
    def __iter__(self) -> Iterator[str]:
        rows = self._db.execute("SELECT id FROM tasks WHERE namespace = ?", (self._namespace,))
        return (task_id for (task_id,) in rows.fetchall())

    @override
    def __len__(self) -> int:
        rows = self._db.execute(
            "SELECT count(*) FROM tasks WHERE namespace = ?", (self._namespace,)
        )
        count: int = rows.fetchone()[0]
        return count

    def _keep(self, task: Task) -> Task:
        if size_of(task) > LARGEST_CACHED:
            self._known.pop(task.id, None)
            return task
        self._remember(task.id, task)
        return task

    def _remember(self, task_id: str, task: Task | None) -> None:
        if len(self._known) >= MOST_CACHED:
            self._known.clear()
        self._known[task_id] = task
