"""The functions that this process can run, by name.

A process runs what it registered itself, or found in a package that it was told to trust; a name in a store leads to
nothing else. Which names there are: `module:qualname`, a name that a person gave, a *pin* (a closure or the like, for
this process alone), and, with a codec that carries functions, the two names of `CARRIERS`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

import attrs

from kew.app.naming import (
    MAX_NAME_CHARACTERS,
    PICKLED,
    Function,
    Key,
    check_function_name,
    function_in,
    imported,
    is_coroutine_function,
    is_where_it_says,
    key_of,
    natural_name,
    qualname_of,
    returns_of,
)
from kew.app.signatures import Shape, shape_of
from kew.domain.backoff import Backoff
from kew.domain.config import QueueConfig, check_name, check_priority, to_ms
from kew.domain.errors import InvalidConfigError, UnknownFunctionError, shown
from kew.domain.retry import ErrorTypes
from kew.domain.task import PINNED, QueuePriority, pinned_name
from kew.log import logger

MANY_PINS = 1000
PACKAGE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


class Options(TypedDict, total=False):
    """What a registration may say of every task of its function; what it leaves out, the queue says."""

    max_retries: int
    retry_delay: float
    backoff: Backoff
    retry_on: ErrorTypes
    give_up_on: ErrorTypes
    timeout: float
    at_most_once: bool
    priority: QueuePriority
    queue: str


@attrs.frozen(kw_only=True)
class RegisteredFunction:
    """A function, its name, and what its registration says; seconds; None: what the queue says.

    A value that can't be raises `InvalidConfigError`.
    """

    name: str
    function: Function
    is_coroutine: bool
    max_retries: int | None = None
    retry_delay: float | None = None
    backoff: Backoff | None = None
    retry_on: ErrorTypes | None = None
    give_up_on: ErrorTypes | None = None
    timeout: float | None = None
    at_most_once: bool = False
    priority: QueuePriority | None = attrs.field(
        default=None, converter=attrs.converters.optional(check_priority)
    )
    queue: str | None = None
    of_every_call: tuple[bool, int | None, int | None, int | None] = attrs.field(
        init=False, eq=False, repr=False
    )
    shape: Shape | None = attrs.field(init=False, eq=False, repr=False)
    """What its calls must fit; None: that can't be said."""

    def __attrs_post_init__(self) -> None:
        """Judge the options by the rules of `QueueConfig`, then put them down as the last fields of a submission."""
        names = ("max_retries", "retry_delay", "backoff", "retry_on", "give_up_on")
        given: dict[str, Any] = {n: v for n in names if (v := getattr(self, n)) is not None}
        if self.timeout is not None:
            given["task_timeout"] = self.timeout
        if self.queue is not None:
            check_name(self.queue)
        if given:
            QueueConfig("options", **given)
        if self.at_most_once and self.max_retries:
            raise InvalidConfigError("at_most_once allows no retries: leave max_retries at 0")
        fields = (
            bool(self.at_most_once),
            0 if self.at_most_once else self.max_retries,
            None if self.retry_delay is None else to_ms(self.retry_delay),
            None if self.timeout is None else to_ms(self.timeout),
        )
        object.__setattr__(self, "of_every_call", fields)
        travels = self.name.startswith(PICKLED)  # with each call another function
        object.__setattr__(self, "shape", None if travels else shape_of(self.function))

    @property
    def returns(self) -> object:
        """The annotation of its result, for the codec; None without one."""
        return returns_of(self.function)


def _call_plain(function: Function, /, *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


async def _call_coroutine(function: Function, /, *args: Any, **kwargs: Any) -> Any:
    return await function(*args, **kwargs)


# What runs a function that travels as the first of its own arguments, by `is_coroutine`.
CARRIERS = {
    False: RegisteredFunction(name=f"{PICKLED}plain", function=_call_plain, is_coroutine=False),
    True: RegisteredFunction(
        name=f"{PICKLED}coroutine", function=_call_coroutine, is_coroutine=True
    ),
}


class Registry:
    """Names of functions, both ways. Not for several threads at once.

    `trust`: packages whose functions are found by import when their names are asked for. `carries_functions`: the
    codec's; closures then travel in their payloads instead of being pinned.
    """

    def __init__(
        self, incarnation: str = "", *, trust: Sequence[str] = (), carries_functions: bool = False
    ) -> None:
        self._incarnation = incarnation
        self._trust = _checked_trust(trust)
        self._carries = carries_functions
        self._by_name: dict[str, RegisteredFunction] = {}
        self._by_function: dict[Key, RegisteredFunction] = {}
        self._pins = itertools.count(1)
        self._pinned = 0
        self._is_warned = False
        self._uses: dict[str, int] = {}  # of pins that submits made: how many tasks need them
        self.version = 0  # grows whenever `names()` changes
        if carries_functions:
            for carrier in CARRIERS.values():
                self._publish(carrier)

    def begin(self, incarnation: str) -> None:
        """The process is `incarnation` from now on.

        Its pins are named after it, and those of the former are unknown. What was pinned by a submit is forgotten.
        """
        self._incarnation = incarnation
        for name in list(self._uses):
            self._forget(name)
        for key, pin in list(self._by_function.items()):
            if pin.name.startswith(PINNED):
                self._by_name.pop(pin.name, None)
                suffix = pin.name.partition("/")[2]
                renamed = attrs.evolve(pin, name=pinned_name(incarnation, suffix))
                self._by_function[key] = renamed
                self._publish(renamed)

    def register(
        self, function: Function, name: str | None = None, **options: Unpack[Options]
    ) -> str:
        """Make the function runnable here, and say its name. Again: the options given now are added to those before.

        Under another name than before, it answers to both. Raises `InvalidConfigError` for an impossible option, and
        for a given name that another function has, and TypeError for an option that there isn't.
        """
        if unknown := options.keys() - Options.__annotations__.keys():
            legal = ", ".join(Options.__annotations__)
            raise TypeError(f"a function has no option {min(unknown)!r}, but {legal}")
        if name is not None:
            self._refuse_taken(check_function_name(name), function)
        known = self._by_function.get(key_of(function))
        base = known or self._new(function, is_submitted=False)
        registered = attrs.evolve(base, name=name or base.name, **options)
        self._uses.pop(base.name, None)  # it stays from now on
        self._keep(registered)
        return registered.name

    def registered(self, function: Function) -> RegisteredFunction:
        """Its name and options, for a submit; one that nobody registered is registered now, with a warning."""
        # Most are functions. (An id is that of one alone: those that are known here are kept alive.)
        known = self._by_function.get(id(function)) or self._by_function.get(key_of(function))
        if known is not None:
            return known
        registered = self._new(function, is_submitted=True)
        if not registered.name.startswith(PICKLED):  # what travels needs no memory here
            self._keep(registered)
            self._warn(registered)
        if registered.name.startswith(PINNED):
            self._uses[registered.name] = 0
        return registered

    def hold(self, name: str) -> None:
        """A task needs this pin."""
        if name in self._uses:
            self._uses[name] += 1

    def release(self, name: str) -> None:
        """A task needs it no more. Where none does, it is forgotten, unless somebody registered it."""
        if name in self._uses:
            self._uses[name] -= 1
            if self._uses[name] <= 0:
                self._forget(name)

    def release_unused(self, name: str) -> None:
        """Forget this pin where no task came of the call that it was made for."""
        if self._uses.get(name) == 0:
            self._forget(name)

    def _forget(self, name: str) -> None:
        del self._uses[name]
        self._pinned -= 1
        registered = self._by_name.pop(name)
        del self._by_function[key_of(registered.function)]

    def resolve(self, name: str) -> RegisteredFunction:
        """The function of that name, from a trusted package if need be. Raises `UnknownFunctionError`.

        The first look-up of a trusted name imports its module, which takes as long as that module's code does.
        """
        known = self._by_name.get(name)
        if known is not None:
            return known
        if not self._is_trusted(name):
            raise UnknownFunctionError(_unknown(name))
        module = imported(name)
        if name not in self._by_name:  # the import may have registered it, with its options
            self._keep(_registered(name, function_in(module, name)))
        return self._by_name[name]

    @property
    def has_trust(self) -> bool:
        """Whether there are packages whose functions it finds by import."""
        return bool(self._trust)

    def can_run(self, name: str) -> bool:
        """Whether `resolve` finds it. For names that wait in a store, stuck: a trusted one is known from then on."""
        try:
            self.resolve(name)
        except UnknownFunctionError:
            return False
        return True

    def names(self) -> tuple[str, ...]:
        """What this process can tell a store that it runs; trusted names are among them once they were asked for."""
        return tuple(self._by_name)

    def _new(self, function: Function, *, is_submitted: bool) -> RegisteredFunction:
        if not callable(function):
            raise InvalidConfigError(f"a task's function must be callable, not {shown(function)}")
        name = natural_name(function)
        is_plain = isinstance(function, type(_call_plain))
        # While its module is still being imported, a decorated function doesn't stand in it yet.
        if name and (is_where_it_says(function) or (is_plain and not is_submitted)):
            self._replace(name, function)
            return _registered(name, function)
        return _registered(self._placeless_name(function), function)

    def _placeless_name(self, function: Function) -> str:
        if self._carries:
            return CARRIERS[is_coroutine_function(function)].name
        number = next(self._pins)
        self._pinned += 1
        if self._pinned > MANY_PINS and not self._is_warned:
            self._is_warned = True
            logger.warning(
                "%d closures, lambdas or bound methods are pinned to this process until their tasks have completed; "
                "submit one module-level function with arguments instead",
                MANY_PINS,
            )
        return pinned_name(self._incarnation, f"{number}:{_visible(qualname_of(function))}")

    def _replace(self, name: str, function: Function) -> None:
        """A second function of one `module:qualname` is a redefinition, unless the first was given this name."""
        holder = self._by_name.get(name)
        if holder is None or key_of(holder.function) == key_of(function):
            return
        if natural_name(holder.function) != name:
            self._refuse_taken(name, function)
        logger.warning("function %s was defined again: tasks run the new definition", name)

    def _refuse_taken(self, name: str, function: Function) -> None:
        holder = self._by_name.get(name)
        if holder is not None and key_of(holder.function) != key_of(function):
            raise InvalidConfigError(
                f"the function name {name!r} is that of {qualname_of(holder.function)}; "
                f"give {qualname_of(function)} another"
            )

    def _keep(self, registered: RegisteredFunction) -> None:
        self._by_function[key_of(registered.function)] = registered
        if not registered.name.startswith(PICKLED):
            self._publish(registered)

    def _publish(self, registered: RegisteredFunction) -> None:
        self.version += registered.name not in self._by_name
        self._by_name[registered.name] = registered

    def _is_trusted(self, name: str) -> bool:
        module = name.partition(":")[0]
        return any(module == trusted or module.startswith(f"{trusted}.") for trusted in self._trust)

    def _warn(self, registered: RegisteredFunction) -> None:
        name = registered.name
        if self._is_trusted(name):
            return  # another process finds it without being told
        if name.startswith(PINNED):
            logger.warning(
                "%s has no place in a module, so only this process can run it: if the process ends, its waiting tasks "
                "fail; submit a module-level function, or use the pickle codec (stored as %s)",
                qualname_of(registered.function),
                name,
            )
            return
        logger.warning(
            "function %s was registered by a submit: a restarted process won't know it until it "
            "submits or registers it; use @manager.task, register() or trust=",
            name,
        )


def _registered(name: str, function: Function) -> RegisteredFunction:
    return RegisteredFunction(
        name=name, function=function, is_coroutine=is_coroutine_function(function)
    )


def _visible(text: str) -> str:
    """The text as a name may have it: no whitespace, no control characters, not too long."""
    shown = (each if each.isprintable() and each != " " else "_" for each in text)
    return "".join(shown)[:MAX_NAME_CHARACTERS]


def _checked_trust(trust: object) -> tuple[str, ...]:
    if isinstance(trust, str) or not isinstance(trust, Sequence):
        raise InvalidConfigError(f"trust must be a sequence of packages, such as ({trust!r},)")
    for package in trust:
        if not isinstance(package, str) or not PACKAGE.fullmatch(package):
            raise InvalidConfigError(f"trust names packages such as 'myapp', not {package!r}")
    return tuple(trust)


def _unknown(name: str) -> str:
    if name.startswith(PINNED):
        return f"{name!r} is a closure or the like of another process, which alone can run it"
    return (
        f"this process knows no function {name!r}; register it (@manager.task, register()), "
        "or trust its package: trust=('myapp',)"
    )
