"""What a queue remembers of keys: their turns, their limits, and what their rates have let start."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from kew.adapters.sqlite.rows import Rows, SmallRows
from kew.adapters.sqlite.values import Codec
from kew.domain.config import Settings
from kew.domain.key_limits import OwnLimits
from kew.domain.key_rooms import KeyLog, KeyRooms, forgotten_at
from kew.domain.keys import move
from kew.domain.task import Task

FORGOTTEN_WITH_EACH: Final = 2  # logs, for each that is noted
FORGOTTEN_AT_ONCE: Final = 100  # by one sweep
HELD = "SELECT key, count(*) FROM tasks WHERE queue = ? AND phase = 1 GROUP BY key"
BUSIEST = """
SELECT key, count(*) FROM tasks WHERE queue = ? AND phase = 1 AND key <> '' GROUP BY key ORDER BY 2 DESC, 1 LIMIT ?
"""


class StoredKeys:
    """The keys of one queue."""

    def __init__(self, db: sqlite3.Connection, queue: int) -> None:
        self._db = db
        self._queue = queue
        self.turns: Rows[tuple[int, str], int] = Rows(
            db,
            queue,
            "turns",
            Codec(int),
            to_name=lambda place: f"{int(place[0])} {place[1]}",
            from_name=_place,
        )
        self.logs: Rows[str, KeyLog] = Rows(db, queue, "key_logs", Codec(KeyLog))
        self.limits: SmallRows[str, OwnLimits] = SmallRows(
            db, queue, "key_limits", Codec(OwnLimits)
        )
        self._has_turns: bool | None = None
        self._held: dict[str, int] | None = None

    @property
    def takes_turns(self) -> bool:
        """Whether the queue has had a task with a key."""
        if self._has_turns is None:
            self._has_turns = bool(self.turns)
        return self._has_turns

    def turns_of(self, priority: int) -> dict[str, int]:
        """The turns of one priority, by key."""
        found = self.turns.between(f"{int(priority)} ", f"{int(priority)}!")
        return {key: turn for (_, key), turn in found.items()}

    def rooms(self, settings: Settings, now: int) -> KeyRooms:
        """What the limits of keys leave."""
        return KeyRooms(
            settings=settings, now=now, held_of=self.held_of, logs=self.logs, limits=self.limits
        )

    def held_of(self, key: str) -> int:
        """How many leases of a key's tasks are current."""
        if self._held is None:
            self._held = dict(self._db.execute(HELD, (self._queue,)).fetchall())
        return self._held.get(key, 0)

    def busiest(self, limit: int) -> dict[str, int]:
        """The keys that run the most tasks, at most `limit`, and how many."""
        return dict(self._db.execute(BUSIEST, (self._queue, limit)).fetchall())

    # --- changing

    def leases_changed(self) -> None:
        """Count the leases of keys again."""
        self._held = None

    def move(self, before: Task | None, after: Task, *, others_wait: bool) -> None:
        """Bring the turns up to date."""
        move(self.turns, before, after, others_wait=others_wait)
        self._has_turns = None

    def note_starts(self, logs: Iterable[tuple[str, KeyLog]], rooms: KeyRooms) -> None:
        """Tasks of keys that have a rate have started, or have snoozed their keys."""
        noted = list(logs)
        for key, log in noted:
            self.logs.put(key, log, at=forgotten_at(log, rooms.rates_of(key), rooms.now))
        self.forget_logs(rooms.now, FORGOTTEN_WITH_EACH * len(noted))

    def forget_logs(self, now: int, limit: int = FORGOTTEN_AT_ONCE) -> None:
        """Forget what says nothing any more."""
        for key in self.logs.due(now, limit):
            self.logs.discard(key)

    def limit_key(self, key: str, own: OwnLimits | None) -> None:
        """The key has these limits of its own from now on; None: none any more."""
        self.limits.discard(key)
        if own is not None:
            self.limits[key] = own

    def end_limits(self, now: int) -> None:
        """Forget the limits of keys that have ended."""
        for key in [key for key, own in self.limits.items() if 0 < own.ends_at <= now]:
            self.limits.discard(key)


def _place(name: str) -> tuple[int, str]:
    priority, _, key = name.partition(" ")
    return int(priority), key
