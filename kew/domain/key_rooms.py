"""What the limits of keys leave: whether a task of a key may start now, and when its key's rate lets it.

Each key that has started a task under a rate has a log for each rate (`kew.domain.rate`), as integers. What is said of
it depends on the log and the clock alone, so no key needs attention while time passes. After a step back of the clock,
starts that lie ahead by less than a window count, since the clock will reach them again; the rest doesn't.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import attrs

from kew.domain import rate as rates
from kew.domain.config import Settings
from kew.domain.key_limits import KeyLimits, limits_of, rates_of, workers_of
from kew.domain.keys import KEYLESS, key_of
from kew.domain.rate import Log, Setting
from kew.domain.task import Task

KeyLog = tuple[int, ...]  # as `rates.write_logs` writes them
Paced = list[tuple[Log, Setting]]
NO_WINDOW: Final = 0  # of the log that has a key's snooze; no rate has such a one
SNOOZE_NUMBERS: Final = 6


def read_log(numbers: KeyLog, settings: tuple[Setting, ...], now: int) -> Paced:
    """The logs of a key at `now`, each with its rate."""
    logs = rates.read_logs(numbers, settings)
    return [(_at(log, each, now), each) for log, each in zip(logs, settings, strict=True)]


def _at(log: Log, setting: Setting, now: int) -> Log:
    count, per, burst = setting
    if log.unit != count:  # the rate was changed
        log = attrs.evolve(log, unit=count, tat=log.tat + bool(log.fraction), fraction=0)
    if log.tat - now > burst * per // count + 1:  # the clock stepped back
        return attrs.evolve(log, tat=0, fraction=0)
    return log


def snoozed(numbers: KeyLog, after_ms: int, now: int) -> KeyLog:
    """The log of a key that starts nothing for so long: its snooze comes first, as the log of a rate would.

    It is the same log if the key is snoozed for longer already.
    """
    if after_ms <= 0 or snoozed_until(numbers, now) >= now + after_ms:
        return numbers
    others = numbers[SNOOZE_NUMBERS:] if numbers[:1] == (NO_WINDOW,) else numbers
    return (NO_WINDOW, after_ms, 0, now + after_ms, 0, 0, *others)


def snoozed_until(numbers: KeyLog, now: int) -> int:
    """When the key's snooze ends; `now`: it has none.

    One that would last longer than was asked doesn't count: the clock stepped back.
    """
    if numbers[:1] != (NO_WINDOW,):
        return now
    _, length, _, until_at, *_ = numbers
    return until_at if now < until_at <= now + length else now


def key_opens_at(numbers: KeyLog, settings: tuple[Setting, ...], cost: int, now: int) -> int:
    """When a key's rates and its snooze let a task of this cost start: `now`, if they do."""
    by_rates = opens_at(read_log(numbers, settings, now), cost, now)
    return max(by_rates, snoozed_until(numbers, now))


def opens_at(paced: Paced, cost: int, now: int) -> int:
    """When all rates of a key let a task of this cost start: `now`, if they do."""
    units = rates.units_of(cost, (setting for _, setting in paced))
    return max((rates.opens_at(log, each, now, units) for log, each in paced), default=now)


def started(paced: Paced, cost: int, now: int) -> Paced:
    """The logs after a start."""
    units = rates.units_of(cost, (setting for _, setting in paced))
    return [(rates.granted(log, each, now, units), each) for log, each in paced]


def forgotten_at(numbers: KeyLog, settings: Iterable[Setting], now: int) -> int:
    """When a log that is written now says nothing any more, even of starts that lie ahead of the clock."""
    by_rate = tuple(settings)
    logs = rates.read_logs(numbers, by_rate)
    latest = max((log.starts[-1][0] for log in logs if log.starts), default=now)
    by_rates = max(now, latest) + 2 * max((per for _, per, _ in by_rate), default=0)
    return max(by_rates, snoozed_until(numbers, now))


@attrs.define(kw_only=True)
class KeyRooms:
    """The limits of all keys at one instant. What starts meanwhile counts, too: it is changed by `start`.

    `held_of`: how many leases a key has. `logs`: what its rates remember. `limits`: the limits that keys have of their
    own.
    """

    settings: Settings
    now: int
    held_of: Callable[[str], int]
    logs: Mapping[str, KeyLog]
    limits: KeyLimits
    _started: Counter[str] = attrs.field(factory=Counter, init=False)
    _paced: dict[str, Paced] = attrs.field(factory=dict, init=False)

    @property
    def has_rates(self) -> bool:
        """Whether any key may have a rate."""
        return bool(self.settings.key_rate or self.limits)

    def rates_of(self, key: str) -> tuple[Setting, ...]:
        """The rates of a key."""
        return rates_of(self.settings, limits_of(self.limits, key, self.now))

    def has_started(self, key: str) -> bool:
        """Whether a task of the key has started meanwhile."""
        return key in self._started

    def is_full(self, key: str) -> bool:
        """Whether as many tasks of the key run as may."""
        limit = workers_of(self.settings, limits_of(self.limits, key, self.now), key)
        return key != KEYLESS and 0 < limit <= self.held_of(key) + self._started[key]

    def opens_at(self, key: str, cost: int) -> int:
        """When the rates of the key, and its snooze, let a task of this cost start: `now`, if they do."""
        if not self.has_logs or key == KEYLESS:
            return self.now
        by_rates = opens_at(self._paced_of(key), cost, self.now)
        return max(by_rates, snoozed_until(self.logs.get(key, ()), self.now))

    @property
    def has_logs(self) -> bool:
        """Whether a key may have a log that holds its tasks back."""
        return bool(self.has_rates or self.logs)

    def allows(self, key: str, cost: int) -> bool:
        """Whether a task of this cost may start now."""
        return not self.is_full(key) and self.opens_at(key, cost) <= self.now

    def start(self, key: str, cost: int) -> None:
        """A task of this cost starts."""
        self._started[key] += 1
        if self.has_rates and key != KEYLESS:
            self._paced[key] = started(self._paced_of(key), cost, self.now)

    def takes(self, task: Task) -> bool:
        """Let a task start if its key's limits do."""
        key, cost = key_of(task.call), task.call.cost
        is_allowed = self.allows(key, cost)
        if is_allowed:
            self.start(key, cost)
        return is_allowed

    def written(self) -> list[tuple[str, KeyLog]]:
        """The logs of the keys of which tasks have started."""
        known = ((key, self._paced.get(key)) for key in self._started)
        return [(key, rates.write_logs(log for log, _ in paced)) for key, paced in known if paced]

    def _paced_of(self, key: str) -> Paced:
        known = self._paced.get(key)
        if known is None:
            known = read_log(self.logs.get(key, ()), self.rates_of(key), self.now)
            self._paced[key] = known
        return known
