"""One queue's failed attempts, and its dead letters."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from kew.adapters.sqlite.rows import Rows, SmallRows
from kew.adapters.sqlite.values import Codec
from kew.domain.attempts import FailedAttempt, HowFailed, with_attempt
from kew.domain.failures import CountedFailure
from kew.domain.task import Task

Entry = tuple[int, int, str]  # when the record ends, ticket, id
PAGE = """
SELECT expires_at, ticket, id FROM tasks WHERE queue = ? AND phase = 3
  AND (expires_at, ticket, id) < (?, ?, ?) {} ORDER BY expires_at DESC, ticket DESC, id DESC LIMIT ?
"""
ALL = PAGE.format("")
OF_GROUP = PAGE.format("AND failure = ?")
LAST: Entry = (2**62, 0, "")


class StoredDeadLetters:
    """The dead letters, in order, all of them and by group. `tasks` has the group as `failure`."""

    def __init__(self, db: sqlite3.Connection, queue: int) -> None:
        self._db = db
        self._queue = queue
        self.attempts: Rows[tuple[int, str], tuple[FailedAttempt, ...]] = Rows(
            db,
            queue,
            "attempts",
            Codec(tuple[FailedAttempt, ...]),
            to_name=lambda key: f"{key[0]} {key[1]}",
            from_name=_life,
        )
        self.counted: SmallRows[int, CountedFailure] = SmallRows(
            db, queue, "counted", Codec(CountedFailure)
        )

    # --- attempts

    def note(self, task: Task, attempt: FailedAttempt) -> None:
        """An attempt of the task failed."""
        key = (task.ticket, task.id)
        self.attempts[key] = with_attempt(self.attempts.get(key, ()), attempt)

    def attempts_of(self, ticket: int, task_id: str) -> Sequence[FailedAttempt]:
        """The attempts that are kept, oldest first."""
        return self.attempts.get((ticket, task_id), ())

    def last_attempt(self, ticket: int, task_id: str) -> FailedAttempt | None:
        """The last of them; None: there is none."""
        attempts = self.attempts_of(ticket, task_id)
        return attempts[-1] if attempts else None

    def group_of(self, task: Task) -> str:
        """The group of a task that fails for good now."""
        last = self.last_attempt(task.ticket, task.id)
        return last.group if last else HowFailed.UNKNOWN.value

    def forget(self, ticket: int, task_id: str) -> None:
        """Keep none of its attempts."""
        self.attempts.discard((ticket, task_id))

    # --- dead letters

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


def _life(name: str) -> tuple[int, str]:
    ticket, _, task_id = name.partition(" ")
    return int(ticket), task_id
