"""The failures that a circuit breaker counted last, so that people see which errors opened it.

They are kept in slots: a streak begins at slot 0, so it replaces the one before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import attrs

from kew.domain.breaker import Breaker, BreakerState
from kew.domain.config import Settings

MOST_COUNTED: Final = 10
MOST_ERROR_BYTES: Final = 300
LAST_LETTER: Final = re.compile(rb"[\xc0-\xff][\x80-\xbf]*\Z")  # perhaps only a part of one


def as_kept(error: str) -> str:
    """The error as it is kept: at most 300 bytes of UTF-8."""
    encoded = error.encode("utf-8", "replace")
    if len(encoded) <= MOST_ERROR_BYTES:
        return encoded.decode()
    return LAST_LETTER.sub(b"", encoded[:MOST_ERROR_BYTES]).decode("utf-8", "ignore")


@attrs.frozen(kw_only=True)
class CountedFailure:
    """A failure that the breaker counted at the instant `at` (ms). `task_id` "": a person recorded it."""

    at: int
    task_id: str = ""
    error: str = attrs.field(default="", converter=as_kept)


def slot_of(breaker: Breaker) -> int:
    """Where the next failure is kept."""
    return breaker.failures % MOST_COUNTED


def recent(
    breaker: Breaker, settings: Settings, kept: Mapping[int, CountedFailure]
) -> tuple[CountedFailure, ...]:
    """The failures of the present streak or, if the breaker isn't closed, of that which opened it; oldest first."""
    number = breaker.failures if breaker.state is BreakerState.CLOSED else settings.breaker_failures
    ordered = [kept[slot] for slot in sorted(kept, key=lambda slot: (kept[slot].at, slot))]
    return tuple(ordered[-number:]) if number else ()
