"""Whether the time that a process was not heard of is its own fault.

A process whose presence has ended may be alive: the store was away, or its clock stepped forward. So others are judged
gone only by a process that has seen the store answer, and its clock go on evenly, for as long as a presence lasts. Who
is alive has renewed its presence by then.
"""

from __future__ import annotations

import attrs

PRESENCE_MS = 60_000  # how long a process is present after it announced itself
STEP_MS = 2_000.0  # the least that is taken for a step
SLOWEST = 5.0  # seconds that an answer may take, for its instant to be usable


@attrs.frozen
class Ahead:
    """How far the store's clock is ahead of this process's, at least and at most (ms)."""

    least: float
    most: float

    def agrees(self, other: Ahead) -> bool:
        """No step lies between the two."""
        return self.least <= other.most + STEP_MS and other.least <= self.most + STEP_MS


class Steady:
    """What one process has seen of the store's clock. Its own times are seconds of a clock that never steps."""

    def __init__(self) -> None:
        self._ahead: Ahead | None = None
        self._since = 0.0
        self._seen_at = 0.0
        self._instant = 0

    def interrupt(self) -> None:
        """The store did not answer: start again with the next answer."""
        self._ahead = None

    def saw(self, now_ms: int, sent_at: float, heard_at: float) -> None:
        """The store's clock was at `now_ms` between these two times."""
        if heard_at - sent_at > SLOWEST:
            self.interrupt()
            return
        ahead = Ahead(now_ms - heard_at * 1000, now_ms - sent_at * 1000)
        if self._ahead is None or not ahead.agrees(self._ahead):
            self._ahead, self._since = ahead, heard_at
        self._seen_at, self._instant = sent_at, now_ms

    @property
    def gone_by(self) -> int | None:
        """Processes whose presence had ended by this instant of the store have gone; None: that can't be said yet."""
        is_steady = self._ahead is not None and (self._seen_at - self._since >= PRESENCE_MS / 1000)
        return self._instant if is_steady else None
