"""The unique keys of a queue: which task took each of them last."""

from __future__ import annotations

import sqlite3
from typing import Final

from kew.adapters.sqlite.records import Records
from kew.adapters.sqlite.rows import Rows
from kew.adapters.sqlite.values import Codec
from kew.domain.task import Task
from kew.domain.unique import holds, takes, unique_key

MENDED_AT_ONCE: Final = 100


class StoredUniqueKeys:
    """An entry means what the record of its task says."""

    def __init__(self, db: sqlite3.Connection, queue: int, name: str, records: Records) -> None:
        self._name = name
        self._records = records
        self._taken: Rows[str, tuple[str, int]] = Rows(db, queue, "unique", Codec(tuple[str, int]))

    def note(self, old: Task | None, task: Task, now: int) -> None:
        """A task that has a unique key has changed."""
        if takes(old, task, now):
            self._taken[unique_key(task.call.unique).key] = (task.id, task.ticket)

    def holder(self, key: str, now: int) -> Task | None:
        """The task that holds the key."""
        taken = self._taken.get(key)
        task = self._records.get(taken[0]) if taken else None
        is_it = task is not None and taken is not None and task.ticket == taken[1]
        if task is None or not is_it or task.queue != self._name or not holds(task, now):
            return None
        return task

    def mend(self, now: int) -> None:
        """Forget some of the keys that no task holds."""
        for key, taken in self._taken.first(MENDED_AT_ONCE).items():
            is_held = self.holder(key, now) is not None
            del self._taken[key]
            if is_held:
                self._taken[key] = taken  # the next call looks at others
