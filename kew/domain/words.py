"""Words of explanations: durations, instants, numbers of tasks, lists that are cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kew.domain.explaining import moment
from kew.domain.holding import Hold
from kew.domain.incarnations import place_of

NAMED_AT_MOST: Final = 3  # of what a text lists
LONGEST_ERROR: Final = 200
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000


def lasting(ms: int) -> str:
    """A duration as people say it: "0.5 s", "42 s", "14 min", "3 h 20 min", "5 days"."""
    ms = max(0, ms)
    if ms < 100 * SECOND:
        return f"{ms / SECOND:.3g} s"
    if ms < 2 * HOUR:
        return f"{ms // MINUTE} min"
    if ms < 2 * DAY:
        return f"{ms // HOUR} h {ms % HOUR // MINUTE} min"
    return f"{ms // DAY} days"


def clock_text(instant: int) -> str:
    """ "2026-11-30 10:31:02 UTC"."""
    return f"{moment(instant):%Y-%m-%d %H:%M:%S} UTC"


def until_text(instant: int, now: int) -> str:
    """ "42 s (at 2026-11-30 10:31:02 UTC)"."""
    return f"{lasting(instant - now)} (at {clock_text(instant)})"


def since_text(hold: Hold | None) -> str:
    """ " since 2026-11-30 10:31:02 UTC (the note)"; nothing if it isn't known. Without a note, by which process."""
    if hold is None:
        return ""
    why = hold.note or (f"by process {place_of(hold.by)}" if hold.by else "")
    return f" since {clock_text(hold.since_at)}{in_parentheses(why)}"


def in_parentheses(error: str) -> str:
    """The first line of an error, after a blank; nothing if there is none."""
    line = in_line(error)
    return f" ({line})" if line else ""


def in_line(error: str) -> str:
    """The first line of an error, cut."""
    return error.partition("\n")[0][:LONGEST_ERROR]


def tasks_text(number: int) -> str:
    """ "1 task", "2 tasks"."""
    return "1 task" if number == 1 else f"{number} tasks"


def listed(names: Sequence[str], number: int) -> str:
    """The first of the names, and how many more there are of `number`."""
    named = names[:NAMED_AT_MOST]
    more = number - len(named)
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def rate_text(setting: tuple[int, int, int]) -> str:
    """A rate: count, window in ms, burst."""
    count, per, burst = setting
    spaced = f", {burst} at a time" if burst else ""
    return f"{tasks_text(count)} in {per / 1000:g} s{spaced}"
