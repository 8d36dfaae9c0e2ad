"""Whether a value arrived as it was sent: equal, and of the same types, all the way down.

`==` is not enough: it takes 1 for True, a dataclass's own `__eq__` may ignore fields, and nan differs from itself. What
is not compared: whether two places hold one and the same object, and values that `functools.cached_property` keeps.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import functools
import math
import types
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from typing import Any

SIMPLE = frozenset({type(None), bool, int, str, bytes, bytearray})
PRIVATE = ("__pydantic_extra__", "__pydantic_private__", "__pydantic_fields_set__")
OF_NO_ACCOUNT = frozenset({"__dict__", "__weakref__", "_attrs_cached_hash"})
SEQUENCES = (list, tuple, collections.deque)
# They have no attributes.
CONTAINERS = frozenset({*SEQUENCES, dict, types.MappingProxyType, set, frozenset})


def difference(sent: object, arrived: object) -> str | None:
    """None: they are the same. Else where they differ, and how: "[0]: a value of type Circle would arrive as Shape"."""
    if sent is arrived:
        return None
    if type(arrived) is not type(sent):
        return f": a value of type {type(sent).__qualname__} would arrive as {type(arrived).__qualname__}"
    kind: Any = type(sent)
    if kind in SIMPLE:
        return None if sent == arrived else ": would arrive changed"
    return _comparison(kind)(sent, arrived)


@functools.lru_cache(maxsize=1024)
def _comparison(kind: type) -> Callable[[Any, Any], str | None]:
    for base, compare in COMPARISONS.items():
        if issubclass(kind, base):
            return compare
    own_equality: Any = kind.__eq__
    if has_state(kind) or own_equality is object.__eq__:
        return _attributes
    return _equals


def _floats(sent: float, arrived: float) -> str | None:
    is_same = sent == arrived and math.copysign(1, sent) == math.copysign(1, arrived)
    if not is_same and not (sent != sent and arrived != arrived):
        return ": would arrive changed"
    return None if type(sent) is float else _attributes(sent, arrived)


def _texts(sent: Any, arrived: Any) -> str | None:
    """Of a subclass of str, int or bytes."""
    return _equals(sent, arrived) or _attributes(sent, arrived)


def _complexes(sent: complex, arrived: complex) -> str | None:
    return _floats(sent.real, arrived.real) or _floats(sent.imag, arrived.imag)


def _decimals(sent: decimal.Decimal, arrived: decimal.Decimal) -> str | None:
    return None if sent.as_tuple() == arrived.as_tuple() else ": would arrive changed"


def _members(sent: enum.Enum, arrived: enum.Enum) -> str | None:
    return None if sent is arrived else difference(sent.value, arrived.value)


def _sequences(sent: Any, arrived: Any) -> str | None:
    if len(sent) != len(arrived):
        return f": {len(sent)} elements would arrive as {len(arrived)}"
    if getattr(sent, "maxlen", None) != getattr(arrived, "maxlen", None):
        return ": its maxlen would be lost"
    if found := _elements(sent, arrived):
        return found
    return None if type(sent) in CONTAINERS else _attributes(sent, arrived)


def _elements(sent: Any, arrived: Any) -> str | None:
    kinds = list(map(type, sent))
    if SIMPLE.issuperset(kinds) and kinds == list(map(type, arrived)):  # many, compared at once
        return None if sent == arrived else ": would arrive changed"
    for place, (one, other) in enumerate(zip(sent, arrived, strict=True)):
        if found := difference(one, other):
            return f"[{place}]{found}"
    return None


def _mappings(sent: Any, arrived: Any) -> str | None:
    if len(sent) != len(arrived):
        gone = [key for key in sent if key not in arrived]
        return f": the key {gone[0]!r} would be lost" if gone else ": would arrive changed"
    for (key, one), (other_key, other) in zip(sent.items(), arrived.items(), strict=True):
        if found := difference(key, other_key):
            return f"'s key {key!r}{found}"
        if found := difference(one, other):
            return f"[{key!r}]{found}"
    if getattr(sent, "default_factory", None) is not getattr(arrived, "default_factory", None):
        return ": its default_factory would be lost"
    return None if type(sent) in CONTAINERS else _attributes(sent, arrived)


def _chains(sent: Any, arrived: Any) -> str | None:
    return difference(sent.maps, arrived.maps)


def _sets(sent: Any, arrived: Any) -> str | None:
    """Each element has a counterpart; nan, which equals nothing, is counted."""
    counterparts = {each: each for each in arrived}
    nans = 0
    for each in sent:
        if each != each:
            nans += 1
        elif each not in counterparts or difference(each, counterparts[each]):
            return f": its element {each!r} would arrive changed"
    others = sum(each != each for each in arrived)
    if len(sent) != len(arrived) or nans != others:
        return ": would arrive changed"
    return None if type(sent) in CONTAINERS else _attributes(sent, arrived)


def _moments(sent: Any, arrived: Any) -> str | None:
    if sent.replace(tzinfo=None) != arrived.replace(tzinfo=None) or sent.fold != arrived.fold:
        return f": {sent!r} would arrive as {arrived!r}"
    if _is_same_zone(sent, arrived):
        return None
    return f": the time zone {sent.tzinfo} would arrive as {arrived.tzinfo}"


def _is_same_zone(sent: Any, arrived: Any) -> bool:
    """The same key, or, of zones that are nothing but an offset, the same offset. Every UTC is the same zone."""
    one, other = sent.tzinfo, arrived.tzinfo
    if one is other or (is_utc(one) and is_utc(other)):
        return True
    if isinstance(one, zoneinfo.ZoneInfo) or isinstance(other, zoneinfo.ZoneInfo):
        return one.__class__ is other.__class__ and one.key is not None and one.key == other.key
    return is_fixed(one) and is_fixed(other) and sent.utcoffset() == arrived.utcoffset()


def is_utc(zone: datetime.tzinfo | None) -> bool:
    """UTC in any of its forms: `datetime.UTC`, `ZoneInfo("UTC")`, pytz's and dateutil's."""
    return zone is not None and (zone == datetime.UTC or str(zone) in ("UTC", "tzutc()"))


def is_fixed(zone: datetime.tzinfo | None) -> bool:
    """A zone that is nothing but an offset from UTC; pydantic has a class of its own for that."""
    return type(zone) is datetime.timezone or type(zone).__module__.startswith("pydantic_core")


def _views(sent: memoryview, arrived: memoryview) -> str | None:
    is_same = (sent.format, sent.shape) == (arrived.format, arrived.shape) and sent == arrived
    return None if is_same else ": would arrive changed"


def _equals(sent: object, arrived: object) -> str | None:
    """By `==`: the class defines that and no fields."""
    try:
        is_equal = bool(sent == arrived)
    except Exception:  # noqa: BLE001 - a user's __eq__
        is_equal = False
    return None if is_equal else ": would arrive changed"


def _attributes(sent: object, arrived: object) -> str | None:
    one, other = state_of(sent), state_of(arrived)
    if not one and not other:
        return None
    if one.keys() != other.keys():
        lost, added = sorted(one.keys() - other.keys()), sorted(other.keys() - one.keys())
        return f".{lost[0]} would be lost" if lost else f".{added[0]} would be added"
    for name, value in one.items():
        if found := difference(value, other[name]):
            return f".{name}{found}"
    return None


COMPARISONS: Mapping[type, Callable[[Any, Any], str | None]] = {
    enum.Enum: _members,
    float: _floats,
    **dict.fromkeys((str, int, bytes, bytearray), _texts),
    complex: _complexes,
    decimal.Decimal: _decimals,
    **dict.fromkeys(SEQUENCES, _sequences),
    **dict.fromkeys((dict, types.MappingProxyType), _mappings),
    collections.ChainMap: _chains,
    **dict.fromkeys((set, frozenset), _sets),
    datetime.datetime: _moments,
    datetime.time: _moments,
    memoryview: _views,
}


def has_state(kind: type) -> bool:
    """Its values are compared by their attributes: it was declared as a class of fields."""
    return (
        dataclasses.is_dataclass(kind)
        or hasattr(kind, "__attrs_attrs__")
        or hasattr(kind, "__struct_fields__")
        or is_model(kind)
    )


def is_model(kind: type) -> bool:
    """A model of pydantic 2 (which is never imported here), and not one of its dataclasses."""
    return hasattr(kind, "__pydantic_validator__") and hasattr(kind, "model_validate")


def state_of(value: object) -> Mapping[str, Any]:
    """All attributes that the value itself has."""
    kind: Any = type(value)
    names, left_out = _slots(kind), _left_out(kind)
    own: dict[str, Any] = getattr(value, "__dict__", None) or {}
    if not names and left_out.isdisjoint(own):
        return own
    state = {name: getattr(value, name) for name in names if hasattr(value, name)}
    state.update((name, each) for name, each in own.items() if name not in left_out)
    return state


@functools.lru_cache(maxsize=1024)
def _slots(kind: type) -> tuple[str, ...]:
    found = dict.fromkeys(_slot_names(kind))
    return tuple(name for name in found if name not in OF_NO_ACCOUNT)


def _slot_names(kind: Any) -> Iterator[str]:
    if is_model(kind):
        yield from PRIVATE
        return
    if hasattr(kind, "__struct_fields__"):
        yield from kind.__struct_fields__
        return
    for owner in kind.__mro__:
        slots = vars(owner).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            is_mangled = name.startswith("__") and not name.endswith("__")
            yield f"_{owner.__name__.lstrip('_')}{name}" if is_mangled else name


@functools.lru_cache(maxsize=1024)
def _left_out(kind: type) -> frozenset[str]:
    """The attributes that aren't compared."""
    found = {
        name
        for owner in kind.__mro__
        for name, value in vars(owner).items()
        if isinstance(value, functools.cached_property)
    }
    return frozenset(found | OF_NO_ACCOUNT)
