"""One queue in the file: a `View`, and the one place where it changes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from kew.adapters.memory.attempts import KeptAttempts
from kew.adapters.memory.queue_base import QueueBase
from kew.adapters.sqlite.dead import StoredDeadLetters
from kew.adapters.sqlite.history import StoredHistory
from kew.adapters.sqlite.keyed import StoredKeys
from kew.adapters.sqlite.lines import Lines
from kew.adapters.sqlite.records import Records
from kew.adapters.sqlite.rows import Rows, SmallRows
from kew.adapters.sqlite.unique import StoredUniqueKeys
from kew.adapters.sqlite.values import Codec
from kew.adapters.sqlite.waiting import WaitingView
from kew.compat import override
from kew.domain.gates.functions import reason_of
from kew.domain.history import MINUTE_MS
from kew.domain.key_limits import OwnLimits
from kew.domain.key_rooms import KeyLog
from kew.domain.keys import key_of
from kew.domain.queue import Change
from kew.domain.sharing import Starved
from kew.domain.snapshot import Snapshot
from kew.domain.task import Task, TaskStatus
from kew.domain.view import QueueState

_state: Codec[QueueState] = Codec(QueueState)

READ_STATE = "SELECT state FROM queues WHERE number = ?"
WRITE_STATE = "UPDATE queues SET state = ? WHERE number = ?"
UNSTARTED = """
SELECT id FROM tasks WHERE queue = ? AND start_by IS NOT NULL AND start_by <= ? ORDER BY start_by, ticket, id LIMIT ?
"""
OVERDUE = """
SELECT id FROM tasks WHERE queue = ? AND phase = 1 AND lease_until <= ? ORDER BY lease_until, ticket, id LIMIT ?
"""
BEYOND = """
SELECT id FROM tasks WHERE queue = ? AND phase = 1 AND lease_until > ? ORDER BY lease_until, ticket, id LIMIT ?
"""
LEASED = "SELECT id FROM tasks WHERE queue = ? AND phase = 1 ORDER BY lease_until, ticket, id"
HELD = "SELECT count(*) FROM tasks WHERE queue = ? AND phase = 1"
NEXT_END = "SELECT min(lease_until) FROM tasks WHERE queue = ? AND phase = 1"
EXPIRED = """
SELECT id FROM tasks WHERE queue = ? AND phase >= 2 AND expires_at <= ? ORDER BY expires_at, ticket, id LIMIT ?
"""
ALL = "SELECT id FROM tasks WHERE queue = ?"


# Wide: one method for each question that the rules ask of a view, and what changes a queue.
# Long: for the same reason.
class StoredQueue(WaitingView, QueueBase):
    """A queue, which has `number` in the file. `records` is the namespace's."""

    def __init__(self, db: sqlite3.Connection, number: int, name: str, records: Records) -> None:
        self._db = db
        self.number = number
        self._name = name
        self._records = records
        self._state: QueueState = _state.decode(db.execute(READ_STATE, (number,)).fetchone()[0])
        self._written = self._state
        self._held: int | None = None
        self._lines = Lines(db, number)
        self._keys = StoredKeys(db, number)
        self.dead = StoredDeadLetters(db, number)
        self.history = StoredHistory(db, number)
        self.unique = StoredUniqueKeys(db, number, name, records)
        self.lanes = self._lanes = Rows[str, int](db, number, "lanes", Codec(int))
        self.functions: SmallRows[str, set[str]] = SmallRows(
            db, number, "functions", Codec(set[str])
        )
        self._starved = SmallRows(db, number, "starved", Codec(Starved))

    # --- reading

    @override
    def find(self, task_id: str) -> Task | None:
        return self._records.find(task_id)

    @override
    def holder(self, key: str, now: int) -> Task | None:
        return self.unique.holder(key, now)

    @override
    def held(self) -> int:
        if self._held is None:
            self._held = self._db.execute(HELD, (self.number,)).fetchone()[0]
        held: int = self._held or 0
        return held

    def leased(self) -> list[Task]:
        """The tasks under a current lease."""
        return self._found(LEASED)

    @override
    def unstarted(self, now: int, limit: int) -> Sequence[Task]:
        return self._found(UNSTARTED, now, limit)

    @override
    def overdue(self, now: int, limit: int) -> Sequence[Task]:
        return self._found(OVERDUE, now, limit)

    @override
    def leased_beyond(self, instant: int, limit: int) -> Sequence[Task]:
        return self._found(BEYOND, instant, limit)

    @override
    def leases_of(self, prefix: str) -> Sequence[Task]:
        return [task for task in self.leased() if task.lease.startswith(prefix)]

    @override
    def next_lease_end(self) -> int | None:
        end: int | None = self._db.execute(NEXT_END, (self.number,)).fetchone()[0]
        return end

    def expired(self, now: int, limit: int) -> list[Task]:
        """Ended tasks whose records are absent by now, at most `limit`."""
        return self._found(EXPIRED, now, limit)

    def _found(self, sql: str, *values: int) -> list[Task]:
        rows = self._db.execute(sql, (self.number, *values)).fetchall()
        return self._records.of(task_id for (task_id,) in rows)

    def snapshot(self) -> Snapshot:
        """All of it as a value."""
        return Snapshot(
            name=self._name,
            state=self._state,
            tasks={task.id: task for task in self._found(ALL)},
            lanes=self._lanes.all(),
            known={who: frozenset(names) for who, names in self.functions.items()},
            starved=dict(self._starved),
            turns=self._keys.turns.all(),
            key_logs=self._keys.logs.all(),
            key_limits=dict(self._keys.limits),
        )

    # --- changing

    def flush(self) -> None:
        """Write what is kept in memory while an operation is carried out."""
        if self._state is not self._written:
            self._db.execute(WRITE_STATE, (_state.encode(self._state), self.number))
            self._written = self._state
        self._lines.flush()
        self.history.flush()

    def apply(self, change: Change, now: int) -> None:
        """Write a change."""
        if now // MINUTE_MS != self.history.minute:
            self.history.roll(now // MINUTE_MS, self._state, self.waiting())
        if change.state is not None:
            self._state = change.state
        if change.lane is not None:
            self.lanes[change.lane[0]] = change.lane[1]
        if change.counted or change.starved or change.key_limits or change.key_logs:
            self._note(change, now)
        for task in change.tasks:
            old = self._records.find(task.id)
            is_rewritten = old is not None and old.status is task.status
            if not is_rewritten and old is not None and old.ticket == task.ticket:
                self.history.note(old, task, now)
            if task.call.unique:
                self.unique.note(old, task, now)
            self._note_attempts(old, task, change)
            self._write(old, task)

    @property
    @override
    def _attempts(self) -> KeptAttempts:
        return self.dead

    @override
    def _limit_key(self, key: str, own: OwnLimits | None) -> None:
        self._keys.limit_key(key, own)

    @override
    def _note_starts(self, logs: Sequence[tuple[str, KeyLog]], now: int) -> None:
        self._keys.note_starts(logs, self._rooms(now))

    def _write(self, old: Task | None, task: Task) -> None:
        failure = self.dead.group_of(task) if task.status is TaskStatus.FAILED else ""
        before, after = self._line(old), self._line(task)
        self._records.write(old, task, self.number, failure)
        if before != after:
            if before is not None:
                self._lines.remove(*before)
            if after is not None:
                self._lines.add(*after)
        if bool(task.lease) != bool(old and old.lease):
            self._keys.leases_changed()
            if self._held is not None:
                self._held += 1 if task.lease else -1
        if task.call.key or self._keys.takes_turns:
            priority, key = task.call.priority, key_of(task.call)
            others = self._lines.count_of(key, (priority,)) > task.is_waiting
            self._keys.move(old, task, others_wait=others)

    def _line(self, task: Task | None) -> tuple[int, str, str] | None:
        if task is None or task.queue != self._name or not task.is_waiting:
            return None
        return int(task.call.priority), key_of(task.call), reason_of(task.call.function)

    def remove(self, task: Task) -> None:
        """Forget an ended task."""
        self.dead.forget(task.ticket, task.id)
        del self._records[task.id]

    def learn(self, incarnation: str, functions: Iterable[str]) -> int:
        """This process can run these functions too; how many that makes."""
        known = self.functions.get(incarnation, set()) | set(functions)
        self.functions[incarnation] = known
        return len(known)

    def end_limits(self, now: int) -> None:
        """Forget the limits of keys that have ended."""
        self._keys.end_limits(now)

    def forget_key_logs(self, now: int) -> None:
        """Forget what the rates and snoozes of keys remember for nothing."""
        self._keys.forget_logs(now)
