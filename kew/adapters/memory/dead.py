"""One queue's failed attempts, and the indexes of its dead letters."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence

from kew.adapters.memory.attempts import KeptAttempts, LifeKey
from kew.domain.task import Task

Entry = tuple[int, int, str]  # when the record ends, ticket, id


class DeadIndex(KeptAttempts):
    """The dead letters, in order, all of them and by group."""

    def __init__(self) -> None:
        self.attempts = {}
        self.counted = {}
        self._all: list[Entry] = []
        self._by_group: dict[str, list[Entry]] = {}
        self._group_of: dict[LifeKey, str] = {}

    def add(self, task: Task) -> None:
        """It failed for good."""
        key, entry = (task.ticket, task.id), _entry(task)
        group = self._group_of[key] = self.group_of(task)
        insort(self._all, entry)
        insort(self._by_group.setdefault(group, []), entry)

    def remove(self, entry: Entry) -> None:
        """It is no dead letter any more, if it was one."""
        if not _remove(self._all, entry):
            return
        group = self._group_of.pop(entry[1:])
        members = self._by_group[group]
        _remove(members, entry)
        if not members:
            del self._by_group[group]

    def page(self, group: str | None, before: Entry | None, limit: int) -> list[Entry]:
        """The last entries before this one, backwards."""
        entries = self._all if group is None else self._by_group.get(group, [])
        end = len(entries) if before is None else bisect_left(entries, before)
        return entries[max(0, end - limit) : end][::-1]

    def surplus(self, most: int, limit: int) -> list[Entry]:
        """Those that end first of all beyond `most`, at most `limit`."""
        return self._all[: min(limit, max(0, len(self._all) - most))]

    def groups(self, after: str, limit: int) -> list[str]:
        """The names of groups that have entries, after this one, in the order of their bytes."""
        names = sorted(self._by_group, key=str.encode)
        return names[bisect_right(names, after.encode(), key=str.encode) :][:limit]

    def count(self, now: int) -> int:
        """How many there are whose records are not absent."""
        return len(self._all) - bisect_left(self._all, (now + 1, 0, ""))

    def present(self, group: str, now: int) -> list[Entry]:
        """The entries of a group whose records are not absent."""
        entries = self._by_group[group]
        return entries[bisect_left(entries, (now + 1, 0, "")) :]

    @property
    def by_group(self) -> Mapping[str, Sequence[Entry]]:
        """All entries, by group."""
        return self._by_group


def _entry(task: Task) -> Entry:
    return task.expires_at, task.ticket, task.id


def _remove(entries: list[Entry], entry: Entry) -> bool:
    place = bisect_left(entries, entry)
    is_there = entries[place : place + 1] == [entry]
    if is_there:
        del entries[place]
    return is_there
