"""Sharing a queue's limit between processes: who finds it reached is *hungry*, and the others leave it a part.

Whoever settles also claims, so the processes that hold all leases of a busy queue would keep them for ever. A claim
therefore takes no more than an equal part, counting the hungry ones; the one that holds least is told of what is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

TOLD_AT_MOST = 3  # times that a process is left a part without coming for it: it may be stuck


@attrs.frozen
class Hungry:
    """What a process held when it found the limit reached, and how often it was told since of a part left for it."""

    holds: int
    told: int = 0


def rivals_of(hungry: Mapping[str, Hungry], incarnation: str) -> list[str]:
    """The others that are hungry; first who holds least, then who was told less often, then by name."""
    others = (who for who in hungry if who != incarnation)
    return sorted(others, key=lambda who: (hungry[who].holds, hungry[who].told, who))


def part_of(free: int, *, holds: int, others: Sequence[int]) -> int:
    """How many of the queue's `free` places a process may take that holds `holds` leases, and others those: an equal
    part for each, rounded up.
    """
    processes = len(others) + 1
    equal = (holds + free + sum(others) + processes - 1) // processes
    return max(0, equal - holds)


def told_again(rival: Hungry) -> Hungry | None:
    """The rival once it was told; None: it has not come for too long, so nothing more is left to it."""
    told = rival.told + 1
    return Hungry(rival.holds, told) if told < TOLD_AT_MOST else None
