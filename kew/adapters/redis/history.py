"""Reading a queue's history as `lua/include/history.lua` writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kew.app.ports import History
from kew.domain.history import COUNTED, NOTHING, Histogram, Past, Tally, make_tally, plus


def read_past(
    now: int, operation: History, waiting: int, found: Sequence[Any], *, has_times: bool = True
) -> Past:
    """What happened, from numbers of steps and texts; a step may have two parts.

    `has_times`: with the histograms, which are most of the work.
    """
    tallies: dict[int, Tally] = {}
    for number, text in zip(found[::2], found[1::2], strict=True):
        tally = read_tally(text, has_times=has_times)
        if not tally.is_empty:
            tallies[number] = plus(tallies[number], tally) if number in tallies else tally
    return Past(
        now_ms=now,
        step_ms=operation.step_ms,
        steps=operation.steps,
        waiting=waiting,
        tallies=tallies,
    )


def read_tally(text: bytes, *, has_times: bool = True) -> Tally:
    """What is stored of one step; nothing if another program has changed it."""
    try:
        *numbers, waiting, wait, run = text.split()
        if len(numbers) != len(COUNTED):
            return NOTHING
        times = (_histogram(wait), _histogram(run)) if has_times else ((), ())
        return make_tally(*map(int, numbers), int(waiting), *times)
    except ValueError:
        return NOTHING


def read_open(text: bytes, ticket: int, token: int) -> Tally:
    """The minute that goes on, as it stands in the queue's state, whose last ticket and token these are."""
    first_ticket, first_token, others, *counts, wait, run = text.split()
    runs = _histogram(run)
    return Tally(
        submitted=ticket - int(first_ticket),
        started=token - int(first_token),
        completed=sum(runs) - int(others),
        wait=_histogram(wait),
        run=runs,
        **dict(zip(COUNTED[3:], map(int, counts), strict=True)),
    )


def _histogram(text: bytes) -> Histogram:
    buckets = [*map(int, text.split(b","))]
    while buckets and not buckets[-1]:
        buckets.pop()
    return tuple(buckets)
