"""What the rates of a queue's keys remember; what says nothing any more is forgotten with the starts that follow."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

from kew.domain.key_rooms import KeyLog, forgotten_at
from kew.domain.rate import Setting

FORGOTTEN_AT_ONCE = 2  # for each that is noted


class KeyLogs:
    """A log for each key that has started a task under a rate lately."""

    def __init__(self) -> None:
        self.by_key: dict[str, KeyLog] = {}
        self._ends: dict[str, int] = {}
        self._in_order: list[tuple[int, str]] = []

    def note(
        self,
        logs: Iterable[tuple[str, KeyLog]],
        rates_of: Callable[[str], Iterable[Setting]],
        now: int,
    ) -> None:
        """Tasks of these keys have started or snoozed."""
        noted = list(logs)
        for key, log in noted:
            end = forgotten_at(log, rates_of(key), now)
            self.by_key[key], self._ends[key] = log, end
            heapq.heappush(self._in_order, (end, key))
        self.forget(now, FORGOTTEN_AT_ONCE * len(noted))

    def forget(self, now: int, limit: int) -> list[str]:
        """Forget logs that say nothing any more, at most `limit`. Returns their keys."""
        gone: list[str] = []
        while len(gone) < limit and self._in_order and self._in_order[0][0] <= now:
            end, key = heapq.heappop(self._in_order)
            if self._ends.get(key) == end:  # else it was noted again
                del self.by_key[key], self._ends[key]
                gone.append(key)
        return gone
