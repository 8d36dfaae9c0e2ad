"""Sharing a queue's limit between processes: who finds it reached is *hungry*, and the others leave it a part.

Whoever settles also claims, so the processes that hold all leases of a busy queue would keep them for ever. A claim
therefore takes no more than an equal part, counting the hungry ones. What can't be divided goes by turns: to those
who have waited for `TURN_MS`, longest first, and else to the claimer.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

TURN_MS = 250  # a place that can't be divided changes hands no faster: each time costs a round trip
COME_MS = 100  # whoever left a part looks again after so long, whether it was taken
TOLD_AT_MOST = 3  # times that a process is left a part without coming for it: it may be stuck


@attrs.frozen
class Hungry:
    """What a process held when it last claimed, since when it waits for more (ms), and how often it was told since
    then that a part is left for it.
    """

    holds: int
    since: int
    told: int = 0


def part_of(
    free: int, hungry: Mapping[str, Hungry], incarnation: str, holds: int, now: int
) -> tuple[int, str | None]:
    """How many of the `free` places the claimer may take, holding `holds` leases; and who comes first for the rest."""
    held = {who: each.holds for who, each in hungry.items()} | {incarnation: holds}
    equal, odd = divmod(free + sum(held.values()), len(held))
    order, left, given = in_turn(hungry, incarnation, holds, now), free, dict[str, int]()
    for place, who in enumerate(order):
        given[who] = min(left, max(0, equal + (place < odd) - held[who]))
        left -= given[who]
    rival = next((who for who in order if given[who] and who != incarnation), None)
    return given[incarnation], rival


def in_turn(hungry: Mapping[str, Hungry], incarnation: str, holds: int, now: int) -> list[str]:
    """Whose turn it is: who has waited long enough, longest first; then the claimer; then the others."""
    waits = {who: each.since for who, each in hungry.items()}
    waits[incarnation] = waiting_since(hungry.get(incarnation), holds, now)

    def place(who: str) -> tuple[bool, bool, int, str]:
        is_early = now - waits[who] < TURN_MS
        return is_early, is_early and who != incarnation, waits[who], who

    return sorted(waits, key=place)


def waiting_since(before: Hungry | None, holds: int, now: int) -> int:
    """Since when a claimer waits that holds `holds` leases by now: not since before it held others."""
    return before.since if before is not None and before.holds == holds else now


def told_again(rival: Hungry) -> Hungry | None:
    """The rival once it was told; None: it has not come for too long, so nothing more is left to it."""
    told = rival.told + 1
    return attrs.evolve(rival, told=told) if told < TOLD_AT_MOST else None
