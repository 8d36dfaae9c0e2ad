"""A queue's configuration: `QueueConfig`, in seconds, and `Settings`, the part of it that all processes share."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeGuard

import attrs

from kew.domain.backoff import LONGEST_DELAY, Backoff, as_seconds, is_within
from kew.domain.causes import error_types
from kew.domain.counting import Countable, as_countable
from kew.domain.errors import InvalidConfigError, shown
from kew.domain.keys import PerKey, check_per_key
from kew.domain.rate import Rate, as_rates
from kew.domain.suggestions import suggests
from kew.domain.task import QueuePriority

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
MOST_WORKERS = 100_000
MOST_TASKS = 1_000_000_000
MAX_SNOOZES = 1000
SHORTEST_LEASE = 0.2
PATIENCE = 30.0
LONGEST_PATIENCE = 60.0  # seconds for which a submit may be repeated
LONGEST_ANSWER = 20.0  # seconds that one call of the store may take
# So that a repeated submit still meets its record.
SHORTEST_TTL = LONGEST_PATIENCE + LONGEST_ANSWER + 1
TICK = 4.0
TICKS_PER_PRESENCE = 5
LONGEST_TICK = 10.0
PROCESS_NAME = re.compile(r"[!-~]{1,100}")
DAY = 24 * 3600.0
CO_COROUTINE = 0x80  # inspect.CO_COROUTINE
ALSO_CALLED = {
    "queue_name": "name",
    "concurrency": "max_workers",
    "limit": "max_workers",
    "max_concurrency": "max_workers",
    "max_queue_size": "max_size",
    "ttl": "task_ttl",
}
"""What other queues call a setting, if the words are not alike."""


def is_name(name: object) -> TypeGuard[str]:
    """Whether it matches `[A-Za-z0-9_.-]{1,64}`."""
    return isinstance(name, str) and NAME.fullmatch(name) is not None


def check_name(name: object, what: str = "queue name") -> str:
    """The name itself if it matches `[A-Za-z0-9_.-]{1,64}`, else `InvalidConfigError`."""
    if not is_name(name):
        raise InvalidConfigError(
            f"{what} {shown(name)} is invalid: use 1 to 64 letters, digits, '_', '.' or '-'"
        )
    return name


@attrs.frozen
class _Whole:
    """A validator: a whole number within bounds, or None if `optional`."""

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
    """A validator: a duration within bounds. `instead_of_none`: advice to add to the message if the value is None."""

    least: float
    most: float = LONGEST_DELAY
    instead_of_none: str = attrs.field(default="", kw_only=True)

    def __call__(self, instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not is_within(value, self.least, self.most):
            raise InvalidConfigError(
                f"{attribute.name} must be from {self.least} to {self.most:.0f} seconds or a timedelta, "
                f"not {shown(value)}"
                f"{self.instead_of_none if value is None else ''}"
            )


def _name(instance: object, attribute: attrs.Attribute[str], value: object) -> None:
    check_name(value)


def _per_key(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    check_per_key(value)


def check_priority(value: object) -> QueuePriority:
    """The `QueuePriority`, given as such or as its number. Raises `InvalidConfigError`."""
    if isinstance(value, QueuePriority):
        return value
    if isinstance(value, bool) or not isinstance(value, int) or value not in list(QueuePriority):
        raise InvalidConfigError(
            f"priority must be HIGH (1), MEDIUM (2) or LOW (3), not {shown(value)}"
        )
    return QueuePriority(value)


def check_timeout(value: object, least: float = 0.0) -> float:
    """The timeout in seconds; inf for None. Raises `InvalidConfigError` if it is no duration, or under `least`."""
    if value is None:
        return math.inf
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if not is_within(value, least, math.inf):
        raise InvalidConfigError(
            f"timeout must be 0 or more seconds, a timedelta, or None to wait forever, not {shown(value)}"
        )
    assert isinstance(value, int | float)
    return math.inf if value > LONGEST_DELAY else float(max(value, 0))


def _truth(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, bool):
        raise InvalidConfigError(f"{attribute.name} must be True or False, not {shown(value)}")


def _errors(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    kinds = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        raise InvalidConfigError(
            f"{attribute.name} must be an exception class or a tuple of them, not {shown(value)}"
        )


def _countable(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if getattr(getattr(value, "__code__", None), "co_flags", 0) & CO_COROUTINE:
        raise InvalidConfigError(
            f"{attribute.name} is called without awaiting it: give a plain function, not {shown(value)}"
        )
    if callable(value):
        return
    try:
        _errors(instance, attribute, value)
    except InvalidConfigError as error:
        raise InvalidConfigError(f"{error}; or a function from the error to a bool") from None


def _backoff(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    usable = callable(getattr(value, "delay", None)) and not isinstance(value, type)
    if value is not None and not usable:
        raise InvalidConfigError(
            "backoff must be Exponential, Fixed, Linear, Custom or an object with delay(retry, draw), "
            f"not {shown(value)}"
        )


def check_process_name(name: object) -> str:
    """The name itself if it has 1 to 100 visible ASCII characters, else `InvalidConfigError`."""
    if isinstance(name, str) and PROCESS_NAME.fullmatch(name):
        return name
    raise InvalidConfigError(
        f"process_name must have 1 to 100 letters, digits or signs of ASCII without blanks, not {shown(name)}"
    )


def _process_name(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None:
        check_process_name(value)


@attrs.frozen(kw_only=True)
class ManagerConfig:
    """A manager's options, except for its store. An invalid value raises `InvalidConfigError`.

    `tick` is the interval, in seconds, at which an idle queue is polled in case a notification was lost. Every fifth
    tick renews this process's presence, and every twentieth runs maintenance, so a tick must be much shorter than a
    presence.
    """

    max_concurrency: int | None = attrs.field(
        default=None, validator=_Whole(1, MOST_WORKERS, optional=True)
    )
    max_loop_lag: float | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(as_seconds),
        validator=attrs.validators.optional(_Seconds(0.001, 1)),
    )
    patience: float = attrs.field(
        default=PATIENCE, converter=as_seconds, validator=_Seconds(0, LONGEST_PATIENCE)
    )
    tick: float = attrs.field(
        default=TICK, converter=as_seconds, validator=_Seconds(0.001, LONGEST_TICK)
    )
    process_name: str | None = attrs.field(default=None, validator=_process_name)


def _later(default: Any, *, format_: int = 0, none: bool = False) -> Any:
    """A setting that earlier versions don't know: it isn't stored while it has its default.

    `format_`: that of stored settings which a process must know if it has another value; 0: all versions may claim.
    `none`: `QueueConfig` has None where it is 0.
    """
    return attrs.field(default=default, metadata={"format": format_, "none": none, "later": True})


def _or_none(default: int) -> Any:
    """A setting that is 0 where `QueueConfig` has None."""
    return attrs.field(default=default, metadata={"none": True})


@attrs.frozen(kw_only=True)
class Settings:
    """The part of a queue's configuration that the store keeps and applies for all processes. Durations are in ms.

    If `breaker_failures` is 0, the breaker never opens; if `max_dead_letters` is 0, any number is kept. Each of the
    `rates` is a count, a window and a burst (0: none). `key_workers`, `key_size` and `key_rate` limit each key.
    `timeout_ms` 0: how long an attempt may take is what the process declares that runs it.
    """

    priority: int = int(QueuePriority.MEDIUM)
    max_workers: int = 10
    max_size: int = 1000
    breaker_failures: int = _or_none(3)
    breaker_reset_ms: int = 60_000
    breaker_probes: int = 1
    max_retries: int = 0
    retry_delay_ms: int = 1000
    max_deliveries: int = 5
    max_snoozes: int = _later(MAX_SNOOZES)
    task_ttl_ms: int = 24 * 3600 * 1000
    dead_letter_ttl_ms: int = 30 * 24 * 3600 * 1000
    max_dead_letters: int = _or_none(0)
    rates: tuple[tuple[int, int, int], ...] = _later((), format_=3)
    timeout_ms: int = _later(0, format_=4, none=True)
    key_workers: int = _later(0, format_=5, none=True)
    key_size: int = _later(0, format_=5, none=True)
    key_rate: tuple[tuple[int, int, int], ...] = _later((), format_=5)


SettingValue = int | tuple[tuple[int, int, int], ...]


def with_values(settings: Settings, values: Mapping[str, SettingValue]) -> Settings:
    """The settings with these of them in place of their own."""
    fields: dict[str, Any] = dict(values)
    return attrs.evolve(settings, **fields)


def to_ms(seconds: float) -> int:
    """Milliseconds, rounded; a positive duration never becomes 0."""
    return max(round(seconds * 1000), 1) if seconds > 0 else 0


@suggests("setting", ALSO_CALLED)
@attrs.frozen
class QueueConfig:
    """A queue's configuration. Durations are seconds or timedeltas. An invalid value raises `InvalidConfigError`.

    - `max_workers`: how many tasks of the queue run at once, over all processes.
    - `max_workers_per_process`: how many of them run in this process; None: up to `max_workers`.
    - `rate`: how many tasks may start in any window of time, over all processes: a `Rate`, or a tuple of them that must
      all allow a start.
    - `per_key`: limits of each key, over all processes: a `PerKey`; None: keys have none, and only take turns.
    - `priority`: the default priority of the queue's tasks. If the manager has a `max_concurrency`, queues are also
      served in this order.
    - `max_size`: how many tasks may wait, deferred tasks and retries included.
    - `task_timeout`: how long one attempt may run.
    - `max_retries`: how often a failed task is retried, `retry_delay` seconds after the first failure; the delay
      doubles with each retry. `backoff` replaces this rule.
    - `retry_on`, `give_up_on`: an exception class or a tuple of them, as in `except`.
    - `max_circuit_breaker_failures`: consecutive failures that open the breaker; None: it never opens.
    - `circuit_breaker_on`: what counts as a failure for the breaker: an exception class, a tuple of them, or a function
      that takes the error and returns a bool. By default everything but `Retry`, `Snooze` and `GiveUp`, which are
      answers.
    - `circuit_breaker_reset_timeout`: how long the breaker stays open; then it admits `circuit_breaker_probes` tasks.
    - `lease`: how long a worker may be silent before another worker takes over its tasks. Workers extend a lease
      whenever a third of it has passed.
    - `max_deliveries`: how often a task may lose its worker (to a crash, say); one loss more, and it fails.
    - `max_snoozes`: how often a task may come back later (`Snooze`, `RateLimited`); one snooze more, and it fails.
    - `task_ttl`, `dead_letter_ttl`: how long the record of a task is kept after its end; the latter if it failed.
    - `max_dead_letters`: how many failed tasks are kept: beyond that, maintenance removes the oldest. None: any number.
    - `keep_tracebacks`: whether each failed attempt is kept with the end of its traceback.
    """

    name: str = attrs.field(validator=_name)
    max_workers: int = attrs.field(default=10, validator=_Whole(1, MOST_WORKERS))
    priority: QueuePriority = attrs.field(default=QueuePriority.MEDIUM, converter=check_priority)
    max_size: int = attrs.field(default=1000, validator=_Whole(1, MOST_TASKS))
    task_timeout: float = attrs.field(
        default=3600,
        converter=as_seconds,
        validator=_Seconds(
            0.001,
            instead_of_none="; every task needs a timeout: for practically none, give a very long one",
        ),
    )
    max_circuit_breaker_failures: int | None = attrs.field(
        default=3, validator=_Whole(1, MOST_TASKS, optional=True)
    )
    circuit_breaker_reset_timeout: float = attrs.field(
        default=60, converter=as_seconds, validator=_Seconds(0.001)
    )
    max_retries: int = attrs.field(default=0, validator=_Whole(0, MOST_TASKS))
    retry_delay: float = attrs.field(default=1.0, converter=as_seconds, validator=_Seconds(0))
    backoff: Backoff | None = attrs.field(default=None, validator=_backoff, kw_only=True)
    retry_on: tuple[type[BaseException], ...] = attrs.field(
        default=(BaseException,), converter=error_types, validator=_errors, kw_only=True
    )
    give_up_on: tuple[type[BaseException], ...] = attrs.field(
        default=(), converter=error_types, validator=_errors, kw_only=True
    )
    lease: float = attrs.field(
        default=15.0, converter=as_seconds, validator=_Seconds(SHORTEST_LEASE, DAY), kw_only=True
    )
    max_workers_per_process: int | None = attrs.field(
        default=None, validator=_Whole(1, MOST_WORKERS, optional=True), kw_only=True
    )
    max_deliveries: int = attrs.field(default=5, validator=_Whole(0, MOST_TASKS), kw_only=True)
    max_snoozes: int = attrs.field(
        default=MAX_SNOOZES, validator=_Whole(0, MOST_TASKS), kw_only=True
    )
    task_ttl: float = attrs.field(
        default=DAY, converter=as_seconds, validator=_Seconds(SHORTEST_TTL), kw_only=True
    )
    dead_letter_ttl: float = attrs.field(
        default=30 * DAY, converter=as_seconds, validator=_Seconds(SHORTEST_TTL), kw_only=True
    )
    max_dead_letters: int | None = attrs.field(
        default=None, validator=_Whole(1, MOST_TASKS, optional=True), kw_only=True
    )
    keep_tracebacks: bool = attrs.field(default=True, validator=_truth, kw_only=True)
    circuit_breaker_probes: int = attrs.field(
        default=1, validator=_Whole(1, MOST_WORKERS), kw_only=True
    )
    rate: tuple[Rate, ...] = attrs.field(default=(), converter=as_rates, kw_only=True)
    per_key: PerKey | None = attrs.field(
        default=None, validator=attrs.validators.optional(_per_key), kw_only=True
    )
    circuit_breaker_on: Countable = attrs.field(
        default=(BaseException,), converter=as_countable, validator=_countable, kw_only=True
    )

    @property
    def slots(self) -> int:
        """How many tasks of this queue one process may run at once."""
        return min(self.max_workers, self.max_workers_per_process or self.max_workers)

    def settings(self) -> Settings:
        """The part of this configuration that all processes share."""
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
            max_snoozes=self.max_snoozes,
            task_ttl_ms=to_ms(self.task_ttl),
            dead_letter_ttl_ms=to_ms(self.dead_letter_ttl),
            max_dead_letters=self.max_dead_letters or 0,
            rates=tuple(rate.setting for rate in self.rate),
            key_workers=(self.per_key and self.per_key.max_workers) or 0,
            key_size=(self.per_key and self.per_key.max_size) or 0,
            key_rate=tuple(rate.setting for rate in (self.per_key.rate if self.per_key else ())),
        )


def name_of(queue: object) -> str:
    """The name of a queue, given as such or as its configuration. Raises `InvalidConfigError`."""
    return queue.name if isinstance(queue, QueueConfig) else check_name(queue)
