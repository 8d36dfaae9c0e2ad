"""Whether a value is what its annotation says, as a type checker sees it.

A bool is an int, an int is a float, and a subclass is its base. A TypedDict may have more keys than it declares. What
can't be judged at run time says nothing: type variables, protocols, callables, constraints of `Annotated`, and classes
whose values no codec carries.
"""

from __future__ import annotations

import collections
import collections.abc as abc
import types
import typing
from collections.abc import Callable
from typing import Any

import attrs

from kew.adapters.codecs.declared import hints_of
from kew.adapters.codecs.kinds import Kinds
from kew.callables import UNRESOLVED

Check = Callable[[Any], bool]
NUMBERS: dict[Any, tuple[type, ...]] = {float: (float, int), complex: (complex, float, int)}
SEQUENCES = frozenset(
    {
        list,
        set,
        frozenset,
        collections.deque,
        abc.Sequence,
        abc.MutableSequence,
        abc.Collection,
        abc.Iterable,
        abc.Set,
        abc.MutableSet,
        abc.Container,
        abc.Reversible,
    }
)
MAPPINGS = frozenset(
    {
        dict,
        abc.Mapping,
        abc.MutableMapping,
        collections.OrderedDict,
        collections.defaultdict,
        collections.ChainMap,
        types.MappingProxyType,
    }
)
WITHIN = frozenset(
    getattr(typing, name)
    for name in ("Required", "NotRequired", "ReadOnly", "Final", "ClassVar")
    if hasattr(typing, name)
)


def anything(value: object) -> bool:
    """Every value fits."""
    return True


class Fitting:
    """The checks of annotations, for a codec that carries certain kinds of values."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds

    def check(self, annotation: Any) -> Check:
        """A check whether a value fits the annotation; `anything` itself if the annotation allows any value."""
        try:
            return self._check(annotation)
        except Exception:  # noqa: BLE001 - a user's annotation may be anything, and then says nothing
            return anything

    def _check(self, annotation: Any) -> Check:
        origin, args = typing.get_origin(annotation), typing.get_args(annotation)
        if annotation is None or annotation is type(None):
            return _instance_of(type(None))
        if annotation in (Any, object, UNRESOLVED) or isinstance(annotation, typing.TypeVar):
            return anything
        if origin is typing.Annotated or origin in WITHIN:
            return self.check(args[0])
        if origin is typing.Literal:
            return lambda value: any(type(value) is type(each) and value == each for each in args)
        if origin in (typing.Union, types.UnionType):
            return _any_of([self.check(each) for each in args])
        if hasattr(annotation, "__supertype__"):  # a NewType
            return self.check(annotation.__supertype__)
        # `type Name = ...` of Python 3.12, which may name itself.
        if hasattr(annotation, "__value__"):
            return self._later(lambda: annotation.__value__)
        kind = origin or annotation
        if not isinstance(kind, type):
            return anything
        if typing.is_typeddict(kind):
            return self._typed_dict(kind)
        return self._of_class(kind, args)

    def _later(self, annotation: Callable[[], Any]) -> Check:
        found: list[Check] = []

        def check(value: object) -> bool:
            if not found:
                found.append(self.check(annotation()))
            return found[0](value)

        return check

    def _of_class(self, kind: type, args: tuple[Any, ...]) -> Check:
        if kind in NUMBERS:
            accepted = NUMBERS[kind]
            return OfType(lambda each: issubclass(each, accepted) and not issubclass(each, bool))
        if kind is tuple:
            return self._tuple(args)
        if kind in SEQUENCES:
            inner = self.check(args[0]) if args else anything
            return _both(_instance_of(kind), _each(inner))
        if kind is collections.Counter:
            return _both(_instance_of(kind), _each(self.check(args[0]) if args else anything))
        if kind in MAPPINGS:
            keys, values = (self.check(each) for each in args) if args else (anything, anything)
            if keys is values is anything:
                return _instance_of(kind)
            return _both(_instance_of(kind), _of_keys_and_values(_each(keys), _each(values)))
        return _instance_of(kind) if self._kinds.carries(kind) else anything

    def _tuple(self, args: tuple[Any, ...]) -> Check:
        is_tuple = _instance_of(tuple)
        if not args or any(typing.get_origin(each) is typing.Unpack for each in args):
            return is_tuple
        if args[-1] is ...:
            return _both(is_tuple, _each(self.check(args[0])))
        checks = [] if args == ((),) else [self.check(each) for each in args]

        def fits(value: Any) -> bool:
            return (
                isinstance(value, tuple)
                and len(value) == len(checks)
                and all(check(each) for check, each in zip(checks, value, strict=True))
            )

        return fits

    def _typed_dict(self, kind: Any) -> Check:
        hints = self._later_hints(kind)
        required = kind.__required_keys__

        def fits(value: Any) -> bool:
            if not isinstance(value, dict) or not required <= value.keys():
                return False
            checks = hints()
            return all(checks[key](each) for key, each in value.items() if key in checks)

        return fits

    def _later_hints(self, kind: Any) -> Callable[[], dict[str, Check]]:
        """A TypedDict may name itself, so its fields are looked at when a value is."""
        found: dict[str, Check] = {}

        def hints() -> dict[str, Check]:
            if not found:
                annotations = hints_of(kind, {})
                found.update((name, self.check(each)) for name, each in annotations.items())
            return found

        return hints


@attrs.frozen
class OfType:
    """A check that looks at a value's type alone, so that of many elements each type is checked once."""

    accepts: Callable[[type], bool]

    def __call__(self, value: object) -> bool:
        return self.accepts(type(value))


def _instance_of(kinds: type | tuple[type, ...]) -> OfType:
    return OfType(lambda kind: issubclass(kind, kinds))


def _both(one: Check, other: Check) -> Check:
    return one if other is anything else lambda value: one(value) and other(value)


def _any_of(checks: list[Check]) -> Check:
    if anything in checks:
        return anything
    by_type = [check for check in checks if isinstance(check, OfType)]
    if len(by_type) == len(checks):
        return OfType(lambda kind: any(check.accepts(kind) for check in by_type))
    return lambda value: any(check(value) for check in checks)


def _each(check: Check) -> Check:
    if check is anything:
        return anything
    if isinstance(check, OfType):
        return lambda elements: all(map(check.accepts, set(map(type, elements))))
    return lambda elements: all(map(check, elements))


def _of_keys_and_values(keys: Check, values: Check) -> Check:
    return lambda mapping: keys(mapping) and values(mapping.values())
