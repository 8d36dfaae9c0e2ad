"""What a function's signature says about decoding its arguments, found out once per function."""

from __future__ import annotations

import functools
import inspect
import types
import typing
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from kew.adapters.codecs.annotations import Reader, reader_of

Function = Callable[..., object]
BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@attrs.frozen(kw_only=True)
class Plan:
    """Names and readers of a function's arguments; a reader is None where plain data will do.

    `rest` and `others` are those of each element of `*args` and `**kwargs`. `converts`: there is a reader at all.
    """

    places: tuple[tuple[str, Reader | None], ...] = ()
    named: Mapping[str, Reader | None] = attrs.field(factory=dict)
    rest: Reader | None = None
    others: Reader | None = None
    converts: bool = False

    def at(self, place: int) -> tuple[str, Reader | None]:
        """How the positional argument at `place` (from 0) is called in an error, and its reader."""
        if place < len(self.places):
            name, reader = self.places[place]
            return f"argument {name!r}", reader
        return f"argument {place + 1}", self.rest

    def of(self, name: str) -> tuple[str, Reader | None]:
        """The same of a keyword argument."""
        return f"argument {name!r}", self.named.get(name, self.others)


class Plans:
    """A cache of plans that keeps no function alive.

    A bound method is a new object at every look-up, so its plan is kept by the function behind it.
    """

    def __init__(self) -> None:
        self._plans: weakref.WeakKeyDictionary[Function, Plan] = weakref.WeakKeyDictionary()
        self._methods: weakref.WeakKeyDictionary[Function, Plan] = weakref.WeakKeyDictionary()
        # A weak reference to the last function, and its plan.
        self._last: tuple[Callable[[], Function | None], Plan] = (_nothing, Plan())

    def of(self, function: Function) -> Plan:
        """The function's plan."""
        last, plan = self._last
        if last() is function:  # many calls of one function, as in a batch
            return plan
        if isinstance(function, types.MethodType):
            return self._cached(self._methods, function.__func__, function)
        plan = self._cached(self._plans, function, function)
        if isinstance(function, types.FunctionType):
            self._last = weakref.ref(function), plan
        return plan

    def _cached(
        self, cache: weakref.WeakKeyDictionary[Function, Plan], key: Function, function: Function
    ) -> Plan:
        try:
            plan = cache.get(key)
            if plan is None:
                plan = cache[key] = compiled(function)
        except TypeError:  # unhashable, or without weak references
            return compiled(function)
        return plan


def _nothing() -> None:
    return None


def compiled(function: Function) -> Plan:
    """The plan of a function; one without a signature takes plain data."""
    parameters = _parameters(function)
    if not parameters:
        return Plan()
    scope = _globals(function)
    found = [(p, reader_of(_hint(p, scope))) for p in parameters]
    return Plan(
        places=tuple((p.name, reader) for p, reader in found if p.kind in BY_PLACE),
        named={p.name: reader for p, reader in found if p.kind in BY_NAME},
        rest=_of_kind(found, inspect.Parameter.VAR_POSITIONAL),
        others=_of_kind(found, inspect.Parameter.VAR_KEYWORD),
        converts=any(reader for _, reader in found),
    )


def names_alone(function: Function) -> Plan:
    """A plan for naming arguments: no annotation is looked at, so msgspec leaves nothing on a user's classes."""
    places = (p.name for p in _parameters(function) if p.kind in BY_PLACE)
    return Plan(places=tuple((name, None) for name in places))


def _parameters(function: Function) -> Sequence[inspect.Parameter]:
    try:
        return tuple(inspect.signature(function).parameters.values())
    except Exception:  # noqa: BLE001 - a user's callable may do anything when asked for its signature
        return ()


def _of_kind(found: list[tuple[inspect.Parameter, Reader | None]], kind: object) -> Reader | None:
    return next((reader for p, reader in found if p.kind is kind), None)


def _hint(parameter: inspect.Parameter, scope: dict[str, Any]) -> Any:
    """The parameter's annotation; `Any` without one; with None as its default, None is welcome too."""
    if parameter.annotation is parameter.empty:
        return Any
    hint = resolved(parameter.annotation, scope)
    return typing.Optional[hint] if parameter.default is None else hint  # noqa: UP045


def resolved(annotation: Any, scope: dict[str, Any]) -> Any:
    """An annotation with its texts resolved among the names of `scope`; `Any` where one can't be."""
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, scope, include_extras=True)["it"]
    except Exception:  # noqa: BLE001 - evaluating a user's annotation may raise anything
        return Any


def _globals(function: Any) -> dict[str, Any]:
    """The names among which a function's annotations were written."""
    function = inspect.unwrap(function)
    while isinstance(function, functools.partial):
        function = inspect.unwrap(function.func)
    if isinstance(function, type):
        function = function.__init__  # type: ignore[misc]  # only its names are looked at
    function = getattr(function, "__func__", function)
    if not hasattr(function, "__globals__"):
        function = type(function).__call__
    return getattr(function, "__globals__", {})
