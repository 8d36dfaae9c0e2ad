"""A rate: how many tasks may start in any window of a given length, and the log of starts that shows it.

The log has pairs (instant, starts), in order. Instants are rounded *up* to a grain of a thousandth of the window, so a
window has about a thousand entries at most, and a start counts for a grain longer than it has to, never shorter. At
`now`, all starts of the last `per` count.

After a step back of the clock, starts that lie ahead by less than `per` count, too, since the clock will reach them
again; and what was started just before the step counts for `per` from it on, whatever the clock said. So no more than
the count start in the time that really passes, and in no window of a clock that stepped back by less than a window.

With a `burst`, starts are spaced as well (GCRA): `tat` is the theoretical time of arrival, in ms and in fractions of
1/count ms. All numbers are integers, so nothing drifts, and Lua, which counts exactly up to 2**53, computes the same.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, Final

import attrs

from kew.domain.backoff import as_seconds, is_within
from kew.domain.errors import InvalidConfigError, shown

MOST_STARTS: Final = 1_000_000
LONGEST_WINDOW: Final = 31 * 24 * 3600
MOST_RATES: Final = 4
GRAINS: Final = 1_000  # in a window
MOST_ENTRIES: Final = 4 * GRAINS  # of a log, which holds two windows unless the clock steps back

Setting = tuple[int, int, int]  # count, window in ms, burst (0: none)


def _starts(value: object) -> bool:
    return isinstance(value, int) and is_within(value, 1, MOST_STARTS)


@attrs.frozen
class Rate:
    """At most `count` tasks start in any window of `per` seconds, wherever it begins, over all processes.

    `burst`: how many may start at the same moment; further ones are spaced by `per / count`. None: up to `count`.
    An invalid value raises `InvalidConfigError`.
    """

    count: int = attrs.field()
    per: float = attrs.field(default=1.0, converter=as_seconds)
    burst: int | None = attrs.field(default=None)

    @count.validator
    def _check_count(self, _attribute: attrs.Attribute[Any], value: object) -> None:
        if not _starts(value):
            raise InvalidConfigError(
                f"the count of a Rate must be a whole number from 1 to {MOST_STARTS}, not {shown(value)}; "
                "to start nothing, pause the queue"
            )

    @per.validator
    def _check_per(self, _attribute: attrs.Attribute[Any], value: object) -> None:
        if not is_within(value, 0.001, LONGEST_WINDOW):
            raise InvalidConfigError(
                f"per must be from 0.001 to {LONGEST_WINDOW} seconds or a timedelta, not {shown(value)}"
            )

    @burst.validator
    def _check_burst(self, _attribute: attrs.Attribute[Any], value: object) -> None:
        if value is None or (_starts(value) and is_within(value, 1, self.count)):
            return
        raise InvalidConfigError(
            f"burst must be a whole number from 1 to the rate's count, {self.count}, or None, not {shown(value)}"
        )

    @property
    def setting(self) -> Setting:
        """It as all processes share it."""
        return self.count, math.ceil(round(self.per * 1000, 6)), self.burst or 0


def as_rates(value: object) -> tuple[Rate, ...]:
    """The rates of a queue, given as one, as several or as None. Raises `InvalidConfigError`."""
    rates = value if isinstance(value, tuple | list) else () if value is None else (value,)
    if not all(isinstance(rate, Rate) for rate in rates):
        raise InvalidConfigError(f"rate must be a Rate or a tuple of Rates, not {shown(value)}")
    if len(rates) > MOST_RATES:
        raise InvalidConfigError(f"a queue has at most {MOST_RATES} rates, not {len(rates)}")
    windows = [rate.setting[1] for rate in rates]
    if len(set(windows)) < len(windows):
        raise InvalidConfigError("two rates have the same per: only the smaller one would count")
    return tuple(rates)


# --- the log of one rate


@attrs.frozen
class Log:
    """The starts under a rate with this window. `last`: the rounded instant of the last change, to notice a step back.

    `unit`: the count of the rate that `fraction` belongs to.
    """

    per: int
    unit: int = 1
    last: int = 0
    tat: int = 0
    fraction: int = 0
    starts: tuple[tuple[int, int], ...] = ()


def rounded(log: Log, now: int) -> int:
    """The instant under which a start is logged."""
    grain = -(-log.per // GRAINS)
    return -(-now // grain) * grain


def judged(log: Log, setting: Setting, now: int) -> Log:
    """The log at `now`: after a step back of the clock, what was started just before it counts as if started now."""
    count, per, burst = setting
    if log.unit != count:  # the rate was changed
        log = attrs.evolve(log, unit=count, tat=log.tat + bool(log.fraction), fraction=0)
    at = rounded(log, now)
    if at >= log.last:
        return log
    ahead = sum(starts for when, starts in log.starts if when > max(at, log.last - per))
    tat, fraction = log.tat, log.fraction
    if burst and tat - now > burst * per // count:
        tat, fraction = now + burst * per // count, burst * per % count
    return attrs.evolve(_logged(log, at, ahead), last=at, tat=tat, fraction=fraction)


def room(log: Log, setting: Setting, now: int) -> int:
    """How many more tasks may start at `now`; the log has been judged."""
    count, per, burst = setting
    left = max(0, count - sum(starts for _, starts in _counted(log, per, now)))
    return min(left, (burst * per - _debt(log, setting, now)) // per) if burst else left


def units_of(cost: int, settings: Iterable[Setting]) -> int:
    """What a start takes of each of these rates: its cost, but no more than any of them can ever give at once."""
    return min([cost, *(burst or count for count, _, burst in settings)])


def opens_at(log: Log, setting: Setting, now: int, units: int = 1) -> int:
    """When a task of so many units may start, as far as is known: `now`, if it may start."""
    count, per, burst = setting
    counted, at = _counted(log, per, now), now
    used = sum(starts for _, starts in counted)
    for when, starts in counted:
        if used + units <= count:
            break
        used, at = used - starts, when + per
    if burst:
        excess = _debt(log, setting, now) - (burst - units) * per
        at = max(at, now - -excess // count)
    return at


def granted(log: Log, setting: Setting, now: int, starts: int) -> Log:
    """The log after so many more starts. What no window holds leaves it a window later: the clock may step back."""
    count, per, burst = setting
    kept = log.starts[bisect_left(log.starts, (now - 2 * per + 1,)) :]
    at = rounded(log, now)
    tat, fraction = log.tat, log.fraction
    if burst:
        if tat < now - bool(
            fraction
        ):  # that it came at the next full millisecond makes a start no later
            tat, fraction = now, 0
        fraction += starts * per
        tat, fraction = tat + fraction // count, fraction % count
    log = attrs.evolve(log, last=at, tat=tat, fraction=fraction, starts=kept)
    return _logged(log, at, starts)


def _debt(log: Log, setting: Setting, now: int) -> int:
    """How far the starts so far are ahead of an even spacing, in 1/count ms; at most a whole burst."""
    count, per, burst = setting
    ahead = (log.tat - now) * count + log.fraction
    return min(max(0, ahead), burst * per)


def _counted(log: Log, per: int, now: int) -> list[tuple[int, int]]:
    """The starts that share a window with one at `now`."""
    grain = -(-per // GRAINS)
    return [each for each in log.starts if now - per < each[0] < now + per + grain]


def _logged(log: Log, at: int, starts: int) -> Log:
    if not starts:
        return log
    place = bisect_left(log.starts, (at,))
    before, after = log.starts[:place], log.starts[place:]
    if after and after[0][0] == at:
        starts, after = starts + after[0][1], after[1:]
    # What lies furthest ahead is forgotten first: the clock stepped back by more than a window, several times.
    return attrs.evolve(log, starts=(*before, (at, starts), *after)[:MOST_ENTRIES])


# --- the logs of a queue, as integers


def read_logs(numbers: Iterable[int], settings: Iterable[Setting]) -> list[Log]:
    """A log for each rate. A rate that is new begins with the starts that the longest log has."""
    found: dict[int, Log] = {}
    rest = list(numbers)
    while rest:
        per, unit, last, tat, fraction, size, *rest = rest
        entries, rest = rest[: 2 * size], rest[2 * size :]
        pairs = tuple(zip(entries[::2], entries[1::2], strict=True))
        found[per] = Log(per, unit, last, tat, fraction, pairs)
    known = found[max(found)].starts if found else ()
    return [found.get(per) or Log(per, count, starts=known) for count, per, _ in settings]


def write_logs(logs: Iterable[Log]) -> tuple[int, ...]:
    """The logs as `read_logs` reads them."""
    numbers: list[int] = []
    for log in logs:
        numbers += (log.per, log.unit, log.last, log.tat, log.fraction, len(log.starts))
        numbers += (number for each in log.starts for number in each)
    return tuple(numbers)
