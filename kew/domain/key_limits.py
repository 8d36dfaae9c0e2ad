"""Limits that an operator sets for one key, in place of those that `per_key` declares for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from kew.domain.backoff import LONGEST_DELAY, as_seconds, is_within
from kew.domain.config import Settings, to_ms
from kew.domain.errors import InvalidConfigError, shown
from kew.domain.keys import LATEST, PerKey
from kew.domain.rate import Rate, Setting


@attrs.frozen(kw_only=True)
class OwnLimits:
    """A key's own limits; None: as `per_key` declares. `ends_at`: when they end (ms); 0: once they are removed."""

    workers: int | None = None
    rates: tuple[Setting, ...] | None = None
    size: int | None = None
    ends_at: int = 0


DECLARED = OwnLimits()
KeyLimits = Mapping[str, OwnLimits]


def limits_of(limits: KeyLimits, key: str, now: int) -> OwnLimits:
    """The key's own limits that are in force."""
    own = limits.get(key, DECLARED) if limits else DECLARED
    return DECLARED if 0 < own.ends_at <= now else own


def workers_of(settings: Settings, own: OwnLimits, key: str) -> int:
    """How many tasks of the key may run at once; 0: any number."""
    if key.startswith(LATEST):
        return 1
    return settings.key_workers if own.workers is None else own.workers


def size_of(settings: Settings, own: OwnLimits) -> int:
    """How many tasks of the key may wait; 0: any number."""
    return settings.key_size if own.size is None else own.size


def rates_of(settings: Settings, own: OwnLimits) -> tuple[Setting, ...]:
    """How many tasks of the key may start."""
    return settings.key_rate if own.rates is None else own.rates


def next_end(limits: KeyLimits, now: int) -> int | None:
    """When the first of these limits ends."""
    ends = (own.ends_at for own in limits.values() if own.ends_at > now)
    return min(ends, default=None)


# --- as people write and read them


@attrs.frozen(kw_only=True)
class KeyLimit:
    """The limits that are set for one key; None: as `per_key` declares. `rate` (): none.

    `expires`: when they end by themselves; None: they last until they are removed.
    """

    key: str
    max_workers: int | None = None
    rate: tuple[Rate, ...] | None = None
    max_size: int | None = None
    expires: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """It as plain values."""
        rates = None if self.rate is None else [attrs.asdict(rate) for rate in self.rate]
        expires = None if self.expires is None else self.expires.isoformat()
        return {
            "key": self.key,
            "max_workers": self.max_workers,
            "rate": rates,
            "max_size": self.max_size,
            "expires": expires,
        }


class KeyLimitPage(list[KeyLimit]):
    """Some limits that keys have of their own, by key.

    `cursor`: what to pass to get those after them; None: there are no more.
    """

    def __init__(self, limits: Iterable[KeyLimit] = (), cursor: str | None = None) -> None:
        super().__init__(limits)
        self.cursor = cursor

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"limits": [limit.to_dict() for limit in self], "cursor": self.cursor}


def as_own_limits(
    max_workers: int | None, rate: Rate | tuple[Rate, ...] | None, max_size: int | None
) -> OwnLimits:
    """Limits given as for `PerKey`. Raises the `InvalidConfigError` that it raises, also if none is given."""
    if max_workers is None and rate is None and max_size is None:
        raise InvalidConfigError(
            "give at least one limit, such as max_workers=10; remove_key_limit() removes those of a key"
        )
    given = PerKey(max_workers=max_workers, rate=rate or (), max_size=max_size)
    rates = None if rate is None else tuple(each.setting for each in given.rate)
    return OwnLimits(workers=max_workers, rates=rates, size=max_size)


def lasts_ms(expires_in: float | timedelta | None) -> int:
    """For how long limits are set; 0: until they are removed. Raises `InvalidConfigError`."""
    if expires_in is None:
        return 0
    seconds: Any = as_seconds(expires_in)
    if not is_within(seconds, 0.001, LONGEST_DELAY):
        raise InvalidConfigError(
            f"expires_in must be seconds or a timedelta, more than 0, not {shown(expires_in)}"
        )
    return to_ms(seconds)


def as_key_limit(key: str, own: OwnLimits) -> KeyLimit:
    """As people read it."""
    rates = own.rates
    return KeyLimit(
        key=key,
        max_workers=own.workers,
        rate=None
        if rates is None
        else tuple(Rate(count, per / 1000, burst or None) for count, per, burst in rates),
        max_size=own.size,
        expires=datetime.fromtimestamp(own.ends_at / 1000, UTC) if own.ends_at else None,
    )
