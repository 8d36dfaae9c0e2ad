"""The kinds of values that the payload itself names, and how each is carried.

A `Form` takes a value apart into plainer values and puts it together again. A value's kind is its exact type: a
subclass is another kind. Users add theirs: `MessagePackCodec(types={Money: (str, Money)})`.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import fractions
import ipaddress
import pathlib
import types
import uuid
import zoneinfo
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import msgspec

from kew.adapters.codecs.sameness import has_state, is_fixed, is_utc
from kew.domain.errors import InvalidConfigError

Parts = tuple[Any, ...]
Types = Mapping[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]]
SCALARS = frozenset({type(None), bool, int, float, str, bytes})
FACTORIES: Mapping[str, Any] = {each.__name__: each for each in (int, float, str, list, dict, set)}
BASES = (enum.Enum, msgspec.Struct, str, int, float, bytes)


class Unfit(Exception):
    """The value can't be carried so; the text says why."""


@attrs.frozen
class Form:
    """How values of one kind are carried. The first part is what a reader sees who knows no kinds."""

    name: str
    kind: type
    apart: Callable[[Any], Parts]
    together: Callable[..., Any]


class Kinds:
    """Python's own kinds, and those that the codec's user added."""

    def __init__(self, added: Types | None = None) -> None:
        forms = [*STANDARD, *_checked(added or {})]
        self.by_kind: Mapping[type, Form] = {form.kind: form for form in forms}
        self.by_name: Mapping[str, Form] = {form.name: form for form in forms}

    def carries(self, kind: type) -> bool:
        """Whether values of this class, as an annotation names it, can be carried at all."""
        return (
            kind in self.by_kind
            or kind in SCALARS
            or kind in (list, dict, pathlib.Path, pathlib.PurePath)
            or is_class_of_values(kind)
        )


def is_class_of_values(kind: type) -> bool:
    """A class whose values are taken apart: of fields, of members, or derived from a scalar or a tuple."""
    if kind in SCALARS:
        return False
    is_named_tuple = issubclass(kind, tuple) and hasattr(kind, "_fields")
    return has_state(kind) or is_named_tuple or issubclass(kind, BASES) or is_url(kind)


def is_url(kind: type) -> bool:
    """A URL of pydantic."""
    return any(base.__module__ == "pydantic.networks" for base in kind.__mro__)


def _checked(added: object) -> list[Form]:
    if not isinstance(added, Mapping):
        raise InvalidConfigError(
            f"types maps a class to its two conversions, {{Money: (str, Money)}}, not {type(added).__name__}"
        )
    return [_added(kind, how) for kind, how in added.items()]


def _added(kind: object, how: object) -> Form:
    if not isinstance(kind, type):
        raise InvalidConfigError(f"types maps classes, not {kind!r}")
    pair = how if isinstance(how, tuple) and len(how) == 2 else (None, None)
    encode, decode = pair
    if not callable(encode) or not callable(decode):
        raise InvalidConfigError(
            f"give {kind.__qualname__} two functions, one to plainer data and one back: "
            f"types={{{kind.__qualname__}: (encode, decode)}}"
        )
    name = f"{kind.__module__}:{kind.__qualname__}"
    return Form(name, kind, lambda value: (encode(value),), decode)


def _text(kind: type, name: str) -> Form:
    return Form(name, kind, lambda value: (str(value),), lambda text: kind(_is(text, str)))


def _listed(kind: type, name: str) -> Form:
    return Form(name, kind, lambda value: (list(value),), lambda items: kind(_is(items, list)))


def _is(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise Unfit(f"expected {kind.__name__}, got {type(value).__name__}")
    return value


# --- instants: text with an offset; a zone of rules goes by its key, beside the clock's reading


def _instant_apart(value: Any) -> Parts:
    zone = value.tzinfo
    if isinstance(zone, zoneinfo.ZoneInfo) and zone.key is not None:
        return value.isoformat(), value.fold, zone.key
    if zone is None or is_utc(zone) or is_fixed(zone):
        return value.isoformat(), value.fold
    raise Unfit(f"the time zone {zone!r} can't be carried; use zoneinfo.ZoneInfo or a fixed offset")


def _instant_together(kind: Any) -> Callable[..., Any]:
    def together(text: str, fold: int, key: str | None = None) -> Any:
        value = kind.fromisoformat(text).replace(fold=fold)
        return value if key is None else value.replace(tzinfo=zoneinfo.ZoneInfo(key))

    return together


def _duration(text: object) -> datetime.timedelta:
    return msgspec.convert(text, datetime.timedelta)


def _fraction(text: str) -> fractions.Fraction:
    """Not of any text that `Fraction` reads: that of "1e999999999" would take all memory."""
    numerator, _, denominator = text.partition("/")
    return fractions.Fraction(int(numerator), int(denominator or 1))


# --- containers


def _default_apart(value: Any) -> Parts:
    factory = value.default_factory
    name = getattr(factory, "__name__", None)
    if factory is not None and FACTORIES.get(str(name)) is not factory:
        raise Unfit(f"a defaultdict's factory is one of {', '.join(FACTORIES)} or None")
    return dict(value), name


def _default_together(items: Any, name: str | None) -> Any:
    return collections.defaultdict(None if name is None else FACTORIES[name], items)


def _counted(items: Any) -> Any:
    found: collections.Counter[Any] = collections.Counter()
    dict.update(found, items)
    return found


def _view_together(content: bytes, is_readonly: bool) -> memoryview:
    return memoryview(content if is_readonly else bytearray(content))


PATHS: set[Any] = {type(pathlib.Path()), pathlib.PurePosixPath, pathlib.PureWindowsPath}
ADDRESSES: tuple[Any, ...] = (
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
    ipaddress.IPv4Interface,
    ipaddress.IPv6Interface,
)
STANDARD = (
    _text(int, "int"),  # one that is too large for MessagePack
    _text(uuid.UUID, "uuid"),
    _text(decimal.Decimal, "decimal"),
    Form("fraction", fractions.Fraction, lambda value: (str(value),), _fraction),
    *(_text(kind, "path" if kind is type(pathlib.Path()) else kind.__name__) for kind in PATHS),
    *(_text(kind, kind.__name__) for kind in ADDRESSES),
    Form(
        "complex", complex, lambda value: ([value.real, value.imag],), lambda both: complex(*both)
    ),
    Form(
        "datetime",
        datetime.datetime,
        _instant_apart,
        _instant_together(datetime.datetime),
    ),
    Form("time", datetime.time, _instant_apart, _instant_together(datetime.time)),
    Form("date", datetime.date, lambda value: (value.isoformat(),), datetime.date.fromisoformat),
    Form(
        "timedelta",
        datetime.timedelta,
        lambda value: (msgspec.to_builtins(value),),
        _duration,
    ),
    Form(
        "bytearray",
        bytearray,
        lambda value: (bytes(value),),
        lambda text: bytearray(_is(text, bytes)),
    ),
    Form("memoryview", memoryview, lambda value: (value.tobytes(), value.readonly), _view_together),
    _listed(tuple, "tuple"),
    _listed(set, "set"),
    _listed(frozenset, "frozenset"),
    Form(
        "deque",
        collections.deque,
        lambda value: (list(value), value.maxlen),
        lambda items, longest: collections.deque(_is(items, list), longest),
    ),
    # A dict with keys that MessagePack can't have.
    Form(
        "pairs",
        dict,
        lambda value: ([list(pair) for pair in value.items()],),
        lambda pairs: {key: item for key, item in pairs},  # noqa: C416 - each is a pair
    ),
    Form(
        "OrderedDict",
        collections.OrderedDict,
        lambda value: (dict(value),),
        lambda items: collections.OrderedDict(_is(items, dict)),
    ),
    Form("Counter", collections.Counter, lambda value: (dict(value),), _counted),
    Form("defaultdict", collections.defaultdict, _default_apart, _default_together),
    Form(
        "ChainMap",
        collections.ChainMap,
        lambda value: (list(value.maps),),
        lambda maps: collections.ChainMap(*_is(maps, list)),
    ),
    Form(
        "mappingproxy",
        types.MappingProxyType,
        lambda value: (dict(value),),
        lambda items: types.MappingProxyType(_is(items, dict)),
    ),
)
