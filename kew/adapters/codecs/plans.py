"""What a function's signature says about its arguments and result, determined once per function."""

from __future__ import annotations

import collections.abc as abc
import inspect
import types
import typing
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from kew.adapters.codecs.annotations import Reader, reader_of
from kew.adapters.codecs.describing import Describer
from kew.adapters.codecs.fitting import Check, Fitting, OfType, anything
from kew.adapters.codecs.kinds import SCALARS, Kinds
from kew.callables import UNRESOLVED, Accepted, accepted, has_copied_annotations, layers

Function = Callable[..., object]
BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
MOST_SHAPES = 256  # of calls whose types are known to be safe, per function


@attrs.frozen
class Slot:
    """One argument, or the result: its name in errors, its annotation, and what follows from that.

    `reader` is None if the bytes say by themselves what the value is.
    """

    where: str
    annotation: Any = Any
    reader: Reader | None = None
    check: Check = anything
    safe: frozenset[type] = SCALARS
    """The types of which every value arrives as plain data and fits the annotation."""

    def fits(self, value: object) -> bool:
        """Whether the value is what the annotation says; a check that raises counts as no."""
        try:
            return self.check(value)
        except Exception:  # noqa: BLE001 - a user's class may define what its instances are
            return False


@attrs.frozen(kw_only=True)
class CodingPlan:
    """The slots of a function. `rest` and `others` are those of each element of `*args` and `**kwargs`."""

    describer: Describer
    places: tuple[Slot, ...] = ()
    named: Mapping[str, Slot] = attrs.field(factory=dict)
    rest: Slot = Slot("")
    others: Slot = Slot("")
    result: Slot = Slot("result")
    is_wrapper: bool = False
    converts: bool = False
    """Whether any argument is read by its annotation."""
    safe: set[tuple[object, ...]] = attrs.field(factory=set)
    """The types of arguments that are known to arrive as they are: scalars that fit their annotations."""
    further: dict[object, Slot] = attrs.field(factory=dict)
    """The slots of elements of `*args` and `**kwargs` that were asked for before, by place and name."""

    def at(self, place: int) -> Slot:
        """The slot of the positional argument at `place`, from 0."""
        if place < len(self.places):
            return self.places[place]
        return self.further.get(place) or self._further(place, self.rest, f"argument {place + 1}")

    def of(self, name: str) -> Slot:
        """The slot of a keyword argument."""
        known = self.named.get(name) or self.further.get(name)
        return known or self._further(name, self.others, f"argument {name!r}")

    def _further(self, key: object, like: Slot, where: str) -> Slot:
        slot = attrs.evolve(like, where=where)
        if len(self.further) < MOST_SHAPES:
            self.further[key] = slot
        return slot

    def slots(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[tuple[Slot, Any]]:
        """Each argument with its slot."""
        for place, value in enumerate(args):
            yield self.at(place), value
        for name, value in kwargs.items():
            yield self.of(name), value


class Plans:
    """A cache of plans that keeps no function alive.

    A bound method is a new object at every look-up, so its plan is kept by the function behind it.
    """

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._fitting = Fitting(kinds)
        self._plans: weakref.WeakKeyDictionary[Function, CodingPlan] = weakref.WeakKeyDictionary()
        self._methods: weakref.WeakKeyDictionary[Function, CodingPlan] = weakref.WeakKeyDictionary()
        self._none = CodingPlan(describer=Describer(kinds, self._fitting, (), {}))
        # A weak reference to the last function, and its plan.
        self._last: tuple[Callable[[], Function | None], CodingPlan] = (_nothing, self._none)

    def of(self, function: Function | None) -> CodingPlan:
        """The function's plan."""
        last, plan = self._last
        if function is None:
            return self._none
        if last() is function:  # many calls of one function, as in a batch
            return plan
        if isinstance(function, types.MethodType):
            return self._cached(self._methods, function.__func__, function)
        plan = self._cached(self._plans, function, function)
        if isinstance(function, types.FunctionType):
            self._last = weakref.ref(function), plan
        return plan

    def _cached(
        self,
        cache: weakref.WeakKeyDictionary[Function, CodingPlan],
        key: Function,
        function: Function,
    ) -> CodingPlan:
        try:
            plan = cache.get(key)
            if plan is None:
                plan = cache[key] = self._compiled(function)
        except TypeError:  # unhashable, or without weak references
            return self._compiled(function)
        return plan

    def _compiled(self, function: Function) -> CodingPlan:
        known = accepted(function)
        describer = Describer(self._kinds, self._fitting, *_annotations_in(function))
        is_wrapper = any(has_copied_annotations(layer) for layer in layers(function))
        if known is None:
            return CodingPlan(describer=describer, is_wrapper=is_wrapper)
        found = [(p, self._slot(p, known)) for p in known.signature.parameters.values()]
        named = {p.name: slot for p, slot in found if p.kind in BY_NAME}
        others = _of_kind(found, inspect.Parameter.VAR_KEYWORD)
        named |= self._unpacked(others.annotation)
        return CodingPlan(
            describer=describer,
            places=tuple(slot for p, slot in found if p.kind in BY_PLACE),
            named=named,
            rest=_of_kind(found, inspect.Parameter.VAR_POSITIONAL),
            others=others,
            result=self._result(known),
            is_wrapper=is_wrapper,
            converts=any(slot.reader for slot in (*(slot for _, slot in found), *named.values())),
        )

    def _slot(self, parameter: inspect.Parameter, known: Accepted) -> Slot:
        hint = known.hint(parameter.annotation)
        if parameter.default is None and hint is not UNRESOLVED:
            hint = typing.Optional[hint]  # noqa: UP045 - None is accepted if it is the default
        return self._of(f"argument {parameter.name!r}", hint)

    def _of(self, where: str, hint: Any) -> Slot:
        reader = None if hint is UNRESOLVED else reader_of(hint)
        check = self._fitting.check(hint)
        by_type = isinstance(check, OfType) or check is anything
        safe = SCALARS if by_type and reader is None else ()
        slot = Slot(where, hint, reader, check)
        return attrs.evolve(
            slot, safe=frozenset(each for each in safe if slot.fits(_value_of(each)))
        )

    def _unpacked(self, annotation: Any) -> dict[str, Slot]:
        """The keywords that `**kwargs: Unpack[SomeTypedDict]` declares."""
        (kind,) = typing.get_args(annotation) or (None,)
        if typing.get_origin(annotation) is not typing.Unpack or not typing.is_typeddict(kind):
            return {}
        hints = typing.get_type_hints(kind)
        return {name: self._of(f"argument {name!r}", hint) for name, hint in hints.items()}

    def _result(self, known: Accepted) -> Slot:
        hint = known.hint(known.signature.return_annotation)
        # A plain function that returns a coroutine, a future or a task is annotated so.
        while _is_awaitable(hint):
            hint = (typing.get_args(hint) or (Any,))[-1]
        if hint is type(None):  # its caller expects nothing, and may be given anything
            hint = Any
        return self._of("result", hint)


def _is_awaitable(hint: Any) -> bool:
    kind = typing.get_origin(hint) or hint
    return isinstance(kind, type) and issubclass(kind, abc.Awaitable)


def _value_of(scalar: type) -> object:
    return None if scalar is type(None) else scalar()


def _nothing() -> None:
    return None


def _of_kind(found: list[tuple[inspect.Parameter, Slot]], kind: object) -> Slot:
    return next((slot for p, slot in found if p.kind is kind), Slot(""))


def _annotations_in(function: Function) -> tuple[list[Any], dict[str, Any]]:
    """All annotations of a function and of those that it wraps, and the names that these use."""
    annotations: list[Any] = []
    scope: dict[str, Any] = {}
    for layer in layers(function):
        if isinstance(layer, type):  # calling a class returns an instance of it
            annotations.append(layer)
        known = accepted(layer)
        if known is None:
            continue
        scope = {**known.scope, **scope}
        signature = known.signature
        raw = [p.annotation for p in signature.parameters.values()] + [signature.return_annotation]
        hints = (known.hint(each) for each in raw)
        annotations += [hint for hint in hints if hint is not UNRESOLVED]
    return annotations, scope


def names_alone(function: Function) -> Sequence[str]:
    """The names of the positional parameters: no annotation is looked at, so nothing is left on a user's classes."""
    known = accepted(function)
    parameters = known.signature.parameters.values() if known else ()
    return [p.name for p in parameters if p.kind in BY_PLACE]


def called(names: Sequence[str], place: int) -> str:
    """How the positional argument at `place` is called in an error."""
    return f"argument {names[place]!r}" if place < len(names) else f"argument {place + 1}"
