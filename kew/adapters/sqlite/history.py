"""One queue's history in the file: the open minute is one row, and so is each minute and each hour that was closed."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import attrs

from kew.adapters.memory.history import MemoryHistory
from kew.adapters.sqlite.rows import Rows
from kew.adapters.sqlite.values import Codec
from kew.compat import override
from kew.domain.history import (
    HOUR_MS,
    HOURS_KEPT,
    MINUTE_MS,
    MINUTES_KEPT,
    Tally,
    bucket_of,
)
from kew.domain.task import Task
from kew.domain.view import QueueState


@attrs.frozen(kw_only=True)
class Open:
    """The open minute. `wait` and `run`: how often each time was counted, by the shortest of its bucket (ms)."""

    minute: int
    ticket: int
    token: int
    trimmed: int
    counts: Mapping[str, int]
    wait: Mapping[int, int]
    run: Mapping[int, int]


_open: Codec[Open] = Codec(Open)
_tally: Codec[Tally] = Codec(Tally)


class StoredHistory(MemoryHistory):
    """A history that `flush` writes."""

    def __init__(self, db: sqlite3.Connection, queue: int) -> None:
        super().__init__()
        minutes: Any = Rows[int, Tally](db, queue, "minute", _tally)
        hours: Any = Rows[int, Tally](db, queue, "hour", _tally)
        self._minutes, self.hours = minutes, hours
        self._closed: list[tuple[Rows[int, Tally], int, int]] = [
            (minutes, MINUTE_MS, MINUTES_KEPT),
            (hours, HOUR_MS, HOURS_KEPT),
        ]
        self._open_row: Rows[str, Open] = Rows(db, queue, "history", _open)
        self._is_changed = False
        found = self._open_row.get("open")
        if found is not None:
            self._read(found)

    def _read(self, found: Open) -> None:
        self.minute, self.trimmed = found.minute, found.trimmed
        self._begin(found.ticket, found.token)
        self._counts.update(found.counts)
        self._wait.update(found.wait)
        self._run.update(found.run)

    def flush(self) -> None:
        """Write the open minute if it has changed."""
        if not self._is_changed:
            return
        self._is_changed = False
        self._wait, self._run = _by_bucket(self._wait), _by_bucket(self._run)
        self._open_row["open"] = Open(
            minute=self.minute,
            ticket=self._ticket,
            token=self._token,
            trimmed=self.trimmed,
            counts=self._counts,
            wait=self._wait,
            run=self._run,
        )

    @override
    def note(self, before: Task, after: Task, now: int) -> None:
        self._is_changed = True
        super().note(before, after, now)

    @override
    def roll(self, minute: int, state: QueueState, waiting: int) -> None:
        self._is_changed = True
        super().roll(minute, state, waiting)

    @override
    def trim(self, now: int) -> None:
        """Remove what is older than it is kept, or lies ahead: once an hour."""
        if self.trimmed == now // HOUR_MS or not self._minutes:
            return
        self.trimmed, self._is_changed = now // HOUR_MS, True
        for rows, step_ms, kept in self._closed:
            last = now // step_ms
            for number in list(rows):
                if not last - kept < number <= last:
                    del rows[number]


def _by_bucket(times: Mapping[int, int]) -> defaultdict[int, int]:
    """The times, each as the shortest of its bucket."""
    found = defaultdict[int, int](int)
    for ms, count in times.items():
        found[(1 << bucket_of(ms)) >> 1] += count
    return found
