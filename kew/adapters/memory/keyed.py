"""The waiting tasks with keys of one queue, by turn, so that the next key is found without looking at all of them.

A key with waiting tasks has an entry in its priority's ring, by turn, or among those that are due later, or among those
that wait for their rate. Entries that mean nothing any more are left in place and dropped when they are met, and so is
that of a key at its limit: the change that frees the key adds another.
"""

from __future__ import annotations

import heapq
from bisect import bisect, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from kew.adapters.memory.firsts import FirstDue
from kew.adapters.memory.key_logs import KeyLogs
from kew.adapters.memory.lines import Entry, Line
from kew.domain.config import Settings
from kew.domain.gates import functions
from kew.domain.key_limits import OwnLimits, limits_of, workers_of
from kew.domain.key_rooms import KeyLog, KeyRooms
from kew.domain.keys import key_of, move
from kew.domain.task import Task

FORGOTTEN_AT_ONCE = 100  # logs, by one sweep
Opens = Callable[
    [str], bool
]  # whether tasks parked under a reason can start in the process that asks


# Wide: what changes a key's place, and what is asked of it, belong together.
class KeyedLines:
    """The lines of all keys, their turns, and how many leases each key has."""

    def __init__(
        self,
        is_current: Callable[..., bool],
        cost_of: Callable[[Entry], int],
        settings: Settings,
    ) -> None:
        self._is_current = is_current
        self._cost_of = cost_of
        self.settings = settings
        self._lines: dict[tuple[int, str], dict[str, Line]] = {}
        self._rings: dict[int, list[tuple[int, str]]] = defaultdict(list)
        self._later: dict[int, list[tuple[int, str]]] = defaultdict(list)
        self._paced: dict[int, list[tuple[int, str]]] = defaultdict(list)  # that wait for a rate
        self._latest = 0
        self._waiting: Counter[tuple[int, str]] = Counter()
        self.turns: dict[tuple[int, str], int] = {}
        self.held: Counter[str] = Counter()
        self.logs = KeyLogs()
        self._firsts = FirstDue(self._first_of)
        self.limits: dict[str, OwnLimits] = {}
        self._limit_ends: list[tuple[int, str]] = []

    @property
    def is_empty(self) -> bool:
        """No task with a key waits."""
        return not self._lines

    def waiting_of(self, key: str) -> int:
        """How many tasks of a key wait."""
        return sum(self._waiting[priority, key] for priority in (1, 2, 3))

    def is_full(self, key: str, now: int) -> bool:
        """Whether as many tasks of the key run as may."""
        limit = workers_of(self.settings, limits_of(self.limits, key, now), key)
        return bool(key) and 0 < limit <= self.held[key]

    def rooms(self, now: int) -> KeyRooms:
        """What the limits of keys leave."""
        return KeyRooms(
            settings=self.settings,
            now=now,
            held_of=self.held.__getitem__,
            logs=self.logs.by_key,
            limits=self.limits,
        )

    def lines(self) -> Iterator[tuple[int, str, str, Line]]:
        """Each line with its priority, its key and the reason under which it would be parked."""
        for (priority, key), by_reason in self._lines.items():
            for reason, line in by_reason.items():
                yield priority, key, reason, line

    def busiest(self, limit: int) -> dict[str, int]:
        """The keys that run the most tasks, at most `limit`, and how many."""
        return dict(heapq.nsmallest(limit, self.held.items(), key=lambda each: (-each[1], each[0])))

    def delayed(self, now: int, limit: int) -> dict[str, int]:
        """The keys of which a task has been due for longest, at most `limit`, and since when."""
        return self._firsts.longest(now, limit)

    def _first_of(self, place: tuple[int, str]) -> int | None:
        lines = self._lines.get(place, {}).values()
        return min((at for line in lines if (at := line.first_at()) is not None), default=None)

    # --- changing

    def set_limits(self, settings: Settings) -> None:
        """The limits of each key may have changed: keys that were at them may start."""
        before, self.settings = self.settings, settings
        if settings.key_workers != before.key_workers:
            for key in list(self.held):
                self._reopen(key)
        if settings.key_rate != before.key_rate:
            self._reopen_paced()

    def note_starts(self, logs: Iterable[tuple[str, KeyLog]], now: int) -> None:
        """Tasks of keys that have a rate have started, or have snoozed their keys."""
        self.logs.note(logs, self.rooms(now).rates_of, now)

    def forget_logs(self, now: int) -> None:
        """Forget what the rates and snoozes of keys remember for nothing."""
        for key in self.logs.forget(now, FORGOTTEN_AT_ONCE):
            self._reopen(key)

    def limit_key(self, key: str, own: OwnLimits | None) -> None:
        """The key has these limits of its own from now on; None: none any more."""
        before = self.limits.pop(key, None)
        if before is not None and before.ends_at:
            self._limit_ends.remove((before.ends_at, key))
        if own is not None:
            self.limits[key] = own
            if own.ends_at:
                insort(self._limit_ends, (own.ends_at, key))
        self._reopen(key)

    def end_limits(self, now: int) -> None:
        """Forget the limits of keys that have ended."""
        while self._limit_ends and self._limit_ends[0][0] <= now:
            self.limit_key(self._limit_ends[0][1], None)

    def limits_end(self, now: int) -> int | None:
        """When the first key's own limits end, after now."""
        place = bisect(self._limit_ends, now, key=lambda each: each[0])
        return self._limit_ends[place][0] if place < len(self._limit_ends) else None

    def count_lease(self, task: Task, change: int) -> None:
        """A lease of this task begins (1) or ends (-1)."""
        key = key_of(task.call)
        if not key:
            return
        self.held[key] += change
        if not self.held[key]:
            del self.held[key]
        if change < 0:
            self._reopen(key)

    def left(self, task: Task) -> None:
        """It waits no more."""
        place = (task.call.priority, key_of(task.call))
        self._waiting[place] -= 1
        if not self._waiting[place]:
            del self._waiting[place]
            self._lines.pop(place, None)

    def arrived(self, task: Task, now: int) -> None:
        """It waits from now on; it has a key."""
        place = (task.call.priority, key_of(task.call))
        self._waiting[place] += 1
        by_reason = self._lines.setdefault(place, {})
        reason = functions.reason_of(task.call.function)
        line = by_reason.get(reason)
        if line is None:
            line = by_reason[reason] = Line(partial(self._is_current, key=place[1]))
        line.add((task.ready_at, task.ticket, task.id), now)
        self._firsts.note(place, task.ready_at, len(self._waiting))

    def move(self, before: Task | None, after: Task) -> None:
        """Bring the turns up to date, once the task has left and arrived."""
        place = (after.call.priority, key_of(after.call))
        move(self.turns, before, after, others_wait=self._waiting[place] > after.is_waiting)
        if place[1] and place in self._waiting:
            self._enter(place)

    def _reopen(self, key: str) -> None:
        for priority in (1, 2, 3):
            if (priority, key) in self._waiting:
                self._enter((priority, key))

    def _reopen_paced(self) -> None:
        for priority, paced in self._paced.items():
            for _, key in paced:
                if (priority, key) in self._waiting:
                    self._enter((priority, key))
            paced.clear()

    def _enter(self, place: tuple[int, str]) -> None:
        heapq.heappush(self._rings[place[0]], (self.turns[place], place[1]))

    def _pace(self, priority: int, key: str, at: int) -> None:
        heapq.heappush(self._paced[priority], (at, key))

    def _promote(self, priority: int, now: int) -> None:
        """Enter keys that may start by now into the ring: a task has become due, or the rate allows it."""
        if now < self._latest:  # the clock has stepped back
            self._reopen_paced()
        self._latest = now
        for end, key in self._limit_ends:
            if end > now:
                break
            self._reopen(key)
        for waiting in (self._later[priority], self._paced[priority]):
            while waiting and waiting[0][0] <= now:
                _, key = heapq.heappop(waiting)
                if (priority, key) in self._waiting:
                    self._enter((priority, key))
