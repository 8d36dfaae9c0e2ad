"""Sharing a queue's limit between processes: one that finds the limit reached is *starved*, and the others leave it a
part.

A settle also claims, so the processes that hold all leases of a busy queue would keep them forever. A claim therefore
takes no more than an equal part, counting the starved processes. The indivisible rest goes by turns: to processes that
have waited for `TURN_MS`, longest first, and otherwise to the claimer.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

TURN_MS = 250  # a place that can't be divided changes hands no faster: each time costs a round trip
COME_MS = 100  # a process that left a part checks after this time whether it was taken
NOTIFIED_AT_MOST = 3  # times that a process is left a part without coming for it: it may be stuck


@attrs.frozen
class Starved:
    """What a process held when it last claimed, since when it waits for more (ms), and how often it was notified
    since then that a part is left for it.
    """

    holds: int
    since: int
    notified: int = 0


def part_of(
    free: int, starved: Mapping[str, Starved], incarnation: str, holds: int, now: int
) -> tuple[int, str | None]:
    """How many of the `free` places a claimer with `holds` leases may take, and who comes first for the rest."""
    held = {who: each.holds for who, each in starved.items()} | {incarnation: holds}
    equal, odd = divmod(free + sum(held.values()), len(held))
    order, left, given = in_turn(starved, incarnation, holds, now), free, dict[str, int]()
    for place, who in enumerate(order):
        given[who] = min(left, max(0, equal + (place < odd) - held[who]))
        left -= given[who]
    next_in_turn = next((who for who in order if given[who] and who != incarnation), None)
    return given[incarnation], next_in_turn


def in_turn(starved: Mapping[str, Starved], incarnation: str, holds: int, now: int) -> list[str]:
    """The processes by turn: those that have waited long enough, longest first; then the claimer; then the others."""
    waits = {who: each.since for who, each in starved.items()}
    waits[incarnation] = waiting_since(starved.get(incarnation), holds, now)

    def place(who: str) -> tuple[bool, bool, int, str]:
        is_early = now - waits[who] < TURN_MS
        return is_early, is_early and who != incarnation, waits[who], who

    return sorted(waits, key=place)


def waiting_since(before: Starved | None, holds: int, now: int) -> int:
    """Since when a claimer waits that holds `holds` leases by now: not since before it held others."""
    return min(before.since, now) if before is not None and before.holds == holds else now


def notified_again(process: Starved) -> Starved | None:
    """The starved process after one more notification; None: it has ignored too many, so no more is left for it."""
    notified = process.notified + 1
    return attrs.evolve(process, notified=notified) if notified < NOTIFIED_AT_MOST else None
