"""The unique keys of a queue of the memory store: which task took each of them last."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Final

from kew.domain.task import Task
from kew.domain.unique import holds, takes, unique_key

MENDED_AT_ONCE: Final = 100


class UniqueKeys:
    """An entry means what the record of its task says. `records` is the namespace's."""

    def __init__(self, queue: str, records: Mapping[str, Task]) -> None:
        self._queue = queue
        self._records = records
        self._taken: dict[str, tuple[str, int]] = {}

    def note(self, old: Task | None, task: Task, now: int) -> None:
        """A task that has a unique key has changed."""
        if takes(old, task, now):
            self._taken[unique_key(task.call.unique).key] = (task.id, task.ticket)

    def holder(self, key: str, now: int) -> Task | None:
        """The task that holds the key."""
        task_id, ticket = self._taken.get(key, ("", 0))
        task = self._records.get(task_id)
        is_it = task is not None and task.ticket == ticket and task.queue == self._queue
        return task if task is not None and is_it and holds(task, now) else None

    def mend(self, now: int) -> None:
        """Forget some of the keys that no task holds."""
        for key in list(islice(self._taken, MENDED_AT_ONCE)):
            taken = self._taken.pop(key)
            self._taken[key] = taken  # the next call looks at others
            if self.holder(key, now) is None:
                del self._taken[key]
