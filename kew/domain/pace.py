"""How fast a queue drains, measured from how many tasks have left its line, and when a full queue has room again.

The rate is an exponentially weighted mean: after `elapsed` seconds in which `left` more tasks left the line,

    rate = (MEMORY * rate + left) / (MEMORY + elapsed)

with a memory of 30 s. A task that waits again (a retry) counts as one that has not left.
"""

from __future__ import annotations

from typing import Final

import attrs

MEMORY: Final = 30.0  # seconds
SHORTEST: Final = 0.1  # seconds between two looks that say something
LONGEST_WAIT: Final = 3600.0  # seconds, of what is answered


@attrs.frozen
class Pace:
    """`rate`: tasks per second, None: unknown yet. `left` tasks had left the line at the instant `at` (seconds)."""

    at: float
    left: int
    rate: float | None = None

    def seen(self, at: float, left: int) -> Pace:
        """The pace after another look."""
        elapsed, more = at - self.at, max(0, left - self.left)
        if elapsed < SHORTEST:
            return self
        if self.rate is None:
            return Pace(at, left, more / elapsed)
        return Pace(at, left, (MEMORY * self.rate + more) / (MEMORY + elapsed))

    def retry_after(self, excess: int) -> float | None:
        """After how many seconds so many tasks will probably have left the line; None if nothing is known."""
        if not self.rate:
            return None
        return min(round(max(1, excess) / self.rate, 3), LONGEST_WAIT)
