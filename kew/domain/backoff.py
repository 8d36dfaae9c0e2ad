"""How long to wait before a retry. Pure: the random draw is an argument.

Every `delay(n, draw)` takes the number of the retry (1, 2, ...) and a draw from [0, 1), and returns
seconds, at least 0.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

import attrs

from kew.domain.errors import InvalidConfigError, shown

LONGEST_DELAY = 366 * 24 * 3600.0


def bounded(seconds: float) -> float:
    """The delay, limited to the range from 0 to a year. NaN becomes 0, since `max` keeps its first argument."""
    return float(min(max(0.0, seconds), LONGEST_DELAY))


class Backoff(Protocol):
    """Any object with this method can be the backoff of a queue or a task."""

    def delay(self, retry: int, draw: float) -> float:
        """Seconds before retry number `retry` (from 1); `draw` is uniform in [0, 1)."""
        ...


def is_within(value: object, least: float, most: float) -> bool:
    """Whether it is a number between these, ends included. A bool is not a number here."""
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def as_seconds(value: float | timedelta) -> float:
    """A duration in seconds. What is neither a number nor a timedelta is left to the validator."""
    return value.total_seconds() if isinstance(value, timedelta) else value


def _seconds(instance: object, attribute: attrs.Attribute[float], value: object) -> None:
    if not is_within(value, 0, LONGEST_DELAY):
        raise InvalidConfigError(
            f"{attribute.name} must be from 0 to {LONGEST_DELAY:.0f} seconds or a timedelta, not {shown(value)}"
        )


def _factor(instance: object, attribute: attrs.Attribute[float], value: object) -> None:
    if not is_within(value, 1, 1000):
        raise InvalidConfigError(f"factor must be from 1 to 1000, not {shown(value)}")


def _share(instance: object, attribute: attrs.Attribute[float], value: object) -> None:
    if not is_within(value, 0, 1):
        raise InvalidConfigError(
            f"jitter must be from 0 to 1, a share of the delay, not {shown(value)}"
        )


def _function(
    instance: object, attribute: attrs.Attribute[Callable[[int], float]], value: object
) -> None:
    if not callable(value):
        raise InvalidConfigError(
            f"Custom takes a function from the number of the retry to seconds, not {shown(value)}"
        )


@attrs.frozen
class Exponential:
    """`base * factor**(n-1)`, at most `cap`; `jitter` is the share of it that is random (1: "full jitter").

    The formula and the name "full jitter": Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    base: float = attrs.field(default=1.0, converter=as_seconds, validator=_seconds)
    factor: float = attrs.field(default=2.0, validator=_factor)
    cap: float = attrs.field(default=LONGEST_DELAY, converter=as_seconds, validator=_seconds)
    jitter: float = attrs.field(default=0.0, validator=_share)

    def delay(self, retry: int, draw: float) -> float:
        """Seconds before retry number `retry`."""
        try:
            full = min(self.cap, self.base * float(self.factor) ** (retry - 1))
        except OverflowError:
            full = self.cap if self.base else 0.0
        return full * (1 - self.jitter * draw)


@attrs.frozen
class Fixed:
    """Always the same delay."""

    seconds: float = attrs.field(converter=as_seconds, validator=_seconds)

    def delay(self, retry: int, draw: float) -> float:
        """Seconds before any retry."""
        return self.seconds


@attrs.frozen
class Linear:
    """`base + step * (n-1)`, at most `cap`."""

    base: float = attrs.field(default=1.0, converter=as_seconds, validator=_seconds)
    step: float = attrs.field(default=1.0, converter=as_seconds, validator=_seconds)
    cap: float = attrs.field(default=LONGEST_DELAY, converter=as_seconds, validator=_seconds)

    def delay(self, retry: int, draw: float) -> float:
        """Seconds before retry number `retry`."""
        return min(self.cap, self.base + self.step * (retry - 1))


@attrs.frozen
class Custom:
    """The user's own function, from the number of the retry to seconds. Its result is limited to a year."""

    function: Callable[[int], float] = attrs.field(validator=_function)

    def delay(self, retry: int, draw: float) -> float:
        """Seconds before retry number `retry`. Raises what the function raises."""
        return bounded(self.function(retry))
