"""A function that a process can run, and what its registration may say of its tasks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, TypedDict

import attrs

from kew.app.injection import Injection, Travelling, injection_of
from kew.app.naming import PICKLED, Function, call_coroutine, call_plain
from kew.app.signatures import Shape, shape_of, tick_parameter
from kew.app.submitting import uniqueness
from kew.app.submitting.keying import KeyOf, KeyOption, key_finder
from kew.app.submitting.uniqueness import Debounce, Latest, Throttle, Unique
from kew.callables import accepted
from kew.domain.backoff import LONGEST_DELAY, Backoff, as_seconds, is_within
from kew.domain.causes import ErrorTypes
from kew.domain.config import QueueConfig, check_priority, name_of, to_ms
from kew.domain.counting import Countable, as_countable
from kew.domain.errors import InvalidConfigError, shown
from kew.domain.suggestions import did_you_mean, taking
from kew.domain.task import PINNED, QueuePriority


class Options(TypedDict, total=False):
    """What a registration may say of every task of its function; what it leaves out, the queue says.

    `timeout` is another name of `task_timeout`.
    """

    max_retries: int
    retry_delay: float | timedelta
    backoff: Backoff
    retry_on: ErrorTypes
    give_up_on: ErrorTypes
    circuit_breaker_on: ErrorTypes | Countable
    task_timeout: float | timedelta
    timeout: float | timedelta
    max_snoozes: int
    expires_in: float | timedelta
    at_most_once: bool
    priority: QueuePriority
    queue: str | QueueConfig
    key: KeyOption
    unique: Unique
    debounce: Debounce
    throttle: Throttle
    latest: Latest


ALIASES: Final = {"timeout": "task_timeout"}
OPTIONS: Final = tuple(name for name in Options.__annotations__ if name not in ALIASES)


def canonical(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options by their first names. Raises TypeError for an unknown one, and for one that is given twice."""
    given = dict(options)
    for alias, name in ALIASES.items():
        if alias in given:
            if name in given:
                raise TypeError(f"{alias} is another name of {name}: give one of them")
            given[name] = given.pop(alias)
    for name in given:
        if name not in OPTIONS:
            meant = did_you_mean(name, OPTIONS)
            raise TypeError(f"@manager.task() has no option {name!r}{taking(OPTIONS, meant)}")
    return given


@attrs.frozen
class Inspection:
    """What a function is. `shape`: what its calls must fit; None: that can't be said.

    `injection`: what dependencies give it; None: nothing. `tick`: the parameter that gets the `Tick`, if there is one.
    """

    shape: Shape | None
    injection: Injection | Travelling | None
    tick: str | None


def inspection_of(function: Function) -> Inspection:
    """Raises `InvalidConfigError` for impossible dependencies."""
    known = accepted(function)
    tick = tick_parameter(known)
    return Inspection(shape_of(known, tick), injection_of(function, known), tick)


OF_TRAVELLERS: Final = Inspection(shape=None, injection=Travelling(), tick=None)


@attrs.frozen(kw_only=True)
class RegisteredFunction:
    """A function, its name, and what its registration says; seconds; None: what the queue says.

    A value that can't be raises `InvalidConfigError`.
    """

    name: str
    function: Function
    is_coroutine: bool
    max_retries: int | None = None
    retry_delay: float | None = attrs.field(
        default=None, converter=attrs.converters.optional(as_seconds)
    )
    backoff: Backoff | None = None
    retry_on: ErrorTypes | None = None
    give_up_on: ErrorTypes | None = None
    circuit_breaker_on: Countable | None = attrs.field(
        default=None, converter=attrs.converters.optional(as_countable)
    )
    task_timeout: float | None = attrs.field(
        default=None, converter=attrs.converters.optional(as_seconds)
    )
    max_snoozes: int | None = None
    expires_in: float | None = attrs.field(
        default=None, converter=attrs.converters.optional(as_seconds)
    )
    at_most_once: bool = False
    priority: QueuePriority | None = attrs.field(
        default=None, converter=attrs.converters.optional(check_priority)
    )
    queue: str | None = attrs.field(default=None, converter=attrs.converters.optional(name_of))
    key: KeyOption | None = None
    unique: Unique | None = None
    debounce: Debounce | None = None
    throttle: Throttle | None = None
    latest: Latest | None = None
    inspection: Inspection | None = attrs.field(default=None, eq=False, repr=False)
    """What the function is; None: to be found. A copy with other options takes it over."""
    key_of: KeyOf | None = attrs.field(init=False, eq=False, repr=False)
    """Finds the key of a call; None: its calls have none."""
    unique_of: uniqueness.UniqueOf | None = attrs.field(init=False, eq=False, repr=False)
    """Finds the unique key of a call; None: its calls have none."""
    of_every_call: tuple[bool, int | None, int | None, int | None] = attrs.field(
        init=False, eq=False, repr=False
    )
    start_by_ms: int = attrs.field(init=False, eq=False, repr=False)
    is_pin: bool = attrs.field(init=False, eq=False, repr=False)
    """It is a closure or the like, which only this process can run."""
    travels: bool = attrs.field(init=False, eq=False, repr=False)
    """It stands for the functions that travel in the payloads of its calls: each call brings another one."""
    shape: Shape | None = attrs.field(init=False, eq=False, repr=False)
    """What its calls must fit; None: that can't be said."""
    injection: Injection | Travelling | None = attrs.field(init=False, eq=False, repr=False)
    """What dependencies give it; None: nothing."""
    tick: str | None = attrs.field(init=False, eq=False, repr=False)
    """The parameter that gets the `Tick`; None: it has none."""

    def __attrs_post_init__(self) -> None:
        self._check()
        for name, value in self._found().items():
            object.__setattr__(self, name, value)

    def _check(self) -> None:
        """Judge the options by the rules of `QueueConfig`."""
        names = (
            "max_retries",
            "retry_delay",
            "backoff",
            "retry_on",
            "give_up_on",
            "circuit_breaker_on",
            "task_timeout",
            "max_snoozes",
        )
        given: dict[str, Any] = {n: v for n in names if (v := getattr(self, n)) is not None}
        if given:
            QueueConfig("options", **given)
        if self.expires_in is not None and not is_within(self.expires_in, 0.001, LONGEST_DELAY):
            raise InvalidConfigError(
                f"expires_in must be seconds or a timedelta, more than 0, not {shown(self.expires_in)}"
            )
        if self.at_most_once and self.max_retries:
            raise InvalidConfigError("at_most_once allows no retries: leave max_retries at 0")

    def _found(self) -> dict[str, object]:
        """What each call needs, found once; among it the options as the last fields of a submission."""
        key_of = None if self.key is None else key_finder(self.key, self.function)
        how = uniqueness.chosen(self)
        unique_of = uniqueness.unique_finder(how, self.function, self.key)
        travels = self.name.startswith(PICKLED)
        found = OF_TRAVELLERS if travels else self.inspection or inspection_of(self.function)
        return {
            "of_every_call": (
                bool(self.at_most_once),
                0 if self.at_most_once else self.max_retries,
                None if self.retry_delay is None else to_ms(self.retry_delay),
                None if self.task_timeout is None else to_ms(self.task_timeout),
            ),
            "start_by_ms": to_ms(self.expires_in or 0),
            "key_of": key_of,
            "unique_of": unique_of,
            "is_pin": self.name.startswith(PINNED),
            "travels": travels,
            "inspection": None if travels else found,
            "injection": found.injection,
            "tick": found.tick,
            "shape": found.shape,
        }


# What runs a function that travels as the first of its own arguments, by `is_coroutine`.
CARRIERS = {
    False: RegisteredFunction(name=f"{PICKLED}plain", function=call_plain, is_coroutine=False),
    True: RegisteredFunction(
        name=f"{PICKLED}coroutine", function=call_coroutine, is_coroutine=True
    ),
}
