"""What a queue is told to be: `QueueConfig`, in a person's units, and `Settings`, what all processes share of it."""

from __future__ import annotations

import math
import re
from typing import Any

import attrs

from kew.domain.backoff import LONGEST_DELAY, Backoff, is_within
from kew.domain.errors import InvalidConfigError, shown
from kew.domain.retry import error_types
from kew.domain.task import QueuePriority

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
MOST_WORKERS = 100_000
MOST_TASKS = 1_000_000_000
SHORTEST_LEASE = 0.2
PATIENCE = 30.0
LONGEST_PATIENCE = 60.0  # seconds for which a submit may be repeated
LONGEST_ANSWER = 20.0  # seconds that one call of the store may take
SHORTEST_TTL = (
    LONGEST_PATIENCE + LONGEST_ANSWER + 1
)  # so that a repeated submit still meets its record
TICK = 4.0
LONGEST_TICK = 10.0
DAY = 24 * 3600.0


def check_name(name: object, what: str = "queue name") -> str:
    """The name itself if it matches `[A-Za-z0-9_.-]{1,64}`, else `InvalidConfigError`."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidConfigError(
            f"{what} {shown(name)} is not usable: 1 to 64 letters, digits, and '_', '.', '-'"
        )
    return name


@attrs.frozen
class _Whole:
    """A validator: a whole number within bounds, or None where that is legal."""

    least: int
    most: int
    optional: bool = attrs.field(default=False, kw_only=True)

    def __call__(self, instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        is_whole = isinstance(value, int) and is_within(value, self.least, self.most)
        if is_whole or (value is None and self.optional):
            return
        or_none = " or None" if self.optional else ""
        raise InvalidConfigError(
            f"{attribute.name} must be a whole number from {self.least} to {self.most}{or_none}, "
            f"not {shown(value)}"
        )


@attrs.frozen
class _Seconds:
    """A validator: a duration within bounds. `instead_of_none`: what to give where None was meant."""

    least: float
    most: float = LONGEST_DELAY
    instead_of_none: str = attrs.field(default="", kw_only=True)

    def __call__(self, instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not is_within(value, self.least, self.most):
            raise InvalidConfigError(
                f"{attribute.name} must be from {self.least} to {self.most:.0f} seconds, not {shown(value)}"
                f"{self.instead_of_none if value is None else ''}"
            )


def _name(instance: object, attribute: attrs.Attribute[str], value: object) -> None:
    check_name(value)


def check_priority(value: object) -> QueuePriority:
    """The priority itself, from the enum or its number, else `InvalidConfigError`."""
    if isinstance(value, QueuePriority):
        return value
    if isinstance(value, bool) or not isinstance(value, int) or value not in list(QueuePriority):
        raise InvalidConfigError(
            f"priority must be HIGH (1), MEDIUM (2) or LOW (3), not {shown(value)}"
        )
    return QueuePriority(value)


def check_timeout(value: object, least: float = 0.0) -> float:
    """Seconds from 0 on, inf (no end) for None; `InvalidConfigError` for what is no number, or less than `least`."""
    if value is None:
        return math.inf
    if not is_within(value, least, math.inf):
        raise InvalidConfigError(
            f"timeout takes seconds from 0 on, or None to wait without an end, not {shown(value)}"
        )
    assert isinstance(value, int | float)
    return math.inf if value > LONGEST_DELAY else float(max(value, 0))


def _errors(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    kinds = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        raise InvalidConfigError(
            f"{attribute.name} must be an exception class or a tuple of them, not {shown(value)}"
        )


def _backoff(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    usable = callable(getattr(value, "delay", None)) and not isinstance(value, type)
    if value is not None and not usable:
        raise InvalidConfigError(
            "backoff must be Exponential, Fixed, Linear, Custom or an object with delay(retry, draw), "
            f"not {shown(value)}"
        )


@attrs.frozen(kw_only=True)
class ManagerConfig:
    """What a manager is told, apart from where its store is. A value that can't be raises `InvalidConfigError`.

    `tick` is how often an idle queue is looked at, in case a notification was lost, seconds. Every fifth renews this
    process's presence, every twentieth clears up; so it is well below the time for which a presence lasts.
    """

    max_concurrency: int | None = attrs.field(
        default=None, validator=_Whole(1, MOST_WORKERS, optional=True)
    )
    max_loop_lag: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(_Seconds(0.001, 1))
    )
    patience: float = attrs.field(default=PATIENCE, validator=_Seconds(0, LONGEST_PATIENCE))
    tick: float = attrs.field(default=TICK, validator=_Seconds(0.001, LONGEST_TICK))


@attrs.frozen(kw_only=True)
class Settings:
    """What the store keeps of a queue's configuration and judges by, for all processes alike; ms and counts.

    `breaker_failures` 0: the breaker never opens.
    """

    priority: int = int(QueuePriority.MEDIUM)
    max_workers: int = 10
    max_size: int = 1000
    breaker_failures: int = 3
    breaker_reset_ms: int = 60_000
    breaker_probes: int = 1
    max_retries: int = 0
    retry_delay_ms: int = 1000
    max_deliveries: int = 5
    task_ttl_ms: int = 24 * 3600 * 1000
    dead_letter_ttl_ms: int = 30 * 24 * 3600 * 1000


def to_ms(seconds: float) -> int:
    """Milliseconds, rounded; a positive duration never becomes 0."""
    return max(round(seconds * 1000), 1) if seconds > 0 else 0


@attrs.frozen
class QueueConfig:
    """A queue. Every duration is in seconds. A value that can't be raises `InvalidConfigError`, also a `ValueError`.

    `priority` is the default priority of the queue's tasks and, where the manager has a `max_concurrency`, the order in
    which queues are served. `max_workers` bounds the leases over all processes, `max_workers_per_process` this
    process's share. `max_size` bounds what waits, deferred tasks and retries included, `task_timeout` an attempt.
    `max_circuit_breaker_failures` None: no breaker. `retry_on` and `give_up_on` take what `except` takes: an exception
    class, or a tuple of them. `lease` is how long a worker may be silent before its tasks are given to another; it is
    extended every third of it. `max_deliveries` bounds how often a task may take its worker down. Records live for
    `task_ttl` after their end, failed ones for `dead_letter_ttl`.
    """

    name: str = attrs.field(validator=_name)
    max_workers: int = attrs.field(default=10, validator=_Whole(1, MOST_WORKERS))
    priority: QueuePriority = attrs.field(default=QueuePriority.MEDIUM, converter=check_priority)
    max_size: int = attrs.field(default=1000, validator=_Whole(1, MOST_TASKS))
    task_timeout: float = attrs.field(
        default=3600,
        validator=_Seconds(
            0.001, instead_of_none="; every task has a limit, the longest is as good as none"
        ),
    )
    max_circuit_breaker_failures: int | None = attrs.field(
        default=3, validator=_Whole(1, MOST_TASKS, optional=True)
    )
    circuit_breaker_reset_timeout: float = attrs.field(default=60, validator=_Seconds(0.001))
    max_retries: int = attrs.field(default=0, validator=_Whole(0, MOST_TASKS))
    retry_delay: float = attrs.field(default=1.0, validator=_Seconds(0))
    backoff: Backoff | None = attrs.field(default=None, validator=_backoff, kw_only=True)
    retry_on: tuple[type[BaseException], ...] = attrs.field(
        default=(BaseException,), converter=error_types, validator=_errors, kw_only=True
    )
    give_up_on: tuple[type[BaseException], ...] = attrs.field(
        default=(), converter=error_types, validator=_errors, kw_only=True
    )
    lease: float = attrs.field(default=15.0, validator=_Seconds(SHORTEST_LEASE, DAY), kw_only=True)
    max_workers_per_process: int | None = attrs.field(
        default=None, validator=_Whole(1, MOST_WORKERS, optional=True), kw_only=True
    )
    max_deliveries: int = attrs.field(default=5, validator=_Whole(0, MOST_TASKS), kw_only=True)
    task_ttl: float = attrs.field(default=DAY, validator=_Seconds(SHORTEST_TTL), kw_only=True)
    dead_letter_ttl: float = attrs.field(
        default=30 * DAY, validator=_Seconds(SHORTEST_TTL), kw_only=True
    )
    circuit_breaker_probes: int = attrs.field(
        default=1, validator=_Whole(1, MOST_WORKERS), kw_only=True
    )

    @property
    def slots(self) -> int:
        """How many tasks one process may run at once."""
        return min(self.max_workers, self.max_workers_per_process or self.max_workers)

    def settings(self) -> Settings:
        """What of this all processes share."""
        return Settings(
            priority=int(self.priority),
            max_workers=self.max_workers,
            max_size=self.max_size,
            breaker_failures=self.max_circuit_breaker_failures or 0,
            breaker_reset_ms=to_ms(self.circuit_breaker_reset_timeout),
            breaker_probes=self.circuit_breaker_probes,
            max_retries=self.max_retries,
            retry_delay_ms=to_ms(self.retry_delay),
            max_deliveries=self.max_deliveries,
            task_ttl_ms=to_ms(self.task_ttl),
            dead_letter_ttl_ms=to_ms(self.dead_letter_ttl),
        )
