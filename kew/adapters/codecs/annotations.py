"""From annotations to the types that msgspec decodes: the fast way, if an annotation says all about its value.

An annotation is relaxed until it says only what plain data can't: `list[int]` says nothing (`Any`), `tuple[int, UUID]`
becomes `tuple[Any, UUID]`. Whether a value is what its annotation says is checked elsewhere, and so is whether it
arrives: what msgspec would change is described in the payload instead.
"""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import datetime
import decimal
import enum
import types
import typing
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

PLAIN = (type(None), bool, int, float, str, bytes, list, dict, object)
SCALARS = (
    datetime.date,  # and datetime
    datetime.time,
    datetime.timedelta,
    uuid.UUID,
    decimal.Decimal,
    enum.Enum,
    bytearray,
    msgspec.Struct,
)
BUILT_IN: Mapping[Any, type] = {
    **dict.fromkeys((list, abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable), list),
    **dict.fromkeys((dict, abc.Mapping, abc.MutableMapping), dict),
    **dict.fromkeys((set, abc.Set, abc.MutableSet), set),
    frozenset: frozenset,
    tuple: tuple,
}


class Unknown:
    """The conversion of an annotation that msgspec can't carry out: plain data only."""


def is_value_type(kind: type) -> bool:
    """Its instances are no plain data, but can be carried as plain data and be rebuilt."""
    return (
        issubclass(kind, SCALARS)
        or dataclasses.is_dataclass(kind)
        or hasattr(kind, "__attrs_attrs__")
        or (issubclass(kind, tuple) and hasattr(kind, "_fields"))
    )


def conversion(annotation: Any) -> Any:
    """The type for msgspec; `Any` if plain data will do; `Unknown` if it can't be done."""
    origin = typing.get_origin(annotation)
    if annotation is Any or isinstance(annotation, typing.TypeVar) or origin is typing.Literal:
        return Any
    if origin is typing.Annotated:
        return conversion(annotation.__origin__)
    if origin in (typing.Union, types.UnionType):
        return _union(typing.get_args(annotation))
    if hasattr(annotation, "__supertype__"):  # a NewType
        return conversion(annotation.__supertype__)
    if hasattr(annotation, "__value__"):  # `type Name = ...` of Python 3.12
        return conversion(annotation.__value__)
    args = typing.get_args(annotation)
    if args and not is_value_type(origin):
        return _container(origin, args)
    return _single(annotation if args else origin or annotation, origin or annotation)


def _union(members: tuple[Any, ...]) -> Any:
    wanted = [conversion(member) for member in members]
    if Unknown in wanted:
        return Unknown
    if all(want is Any for want in wanted):
        return Any
    pairs = zip(members, wanted, strict=True)
    kept = tuple(_bare(member) if want is Any else want for member, want in pairs)
    return typing.Union[kept]  # noqa: UP007 - built at run time


def _bare(member: Any) -> Any:
    """A plain member of a union, without what it says of its elements."""
    origin = typing.get_origin(member)
    return origin if isinstance(origin, type) else member


def _container(origin: Any, args: tuple[Any, ...]) -> Any:
    inner = [arg if arg is ... else _or_any(conversion(arg)) for arg in args]
    target = BUILT_IN.get(origin)
    if target is None:
        return Unknown
    if target in (list, dict) and all(want is Any for want in inner):
        return Any
    return types.GenericAlias(target, tuple(inner))


def _or_any(wanted: Any) -> Any:
    return Any if wanted is Unknown else wanted


def _single(annotation: Any, kind: Any) -> Any:
    """The conversion of something that is no container of others."""
    if not isinstance(kind, type):
        return Any if kind is None else Unknown
    if typing.is_typeddict(kind):
        fields = typing.get_type_hints(kind, include_extras=True).values()
        return Any if all(conversion(field) is Any for field in fields) else annotation
    if is_value_type(kind):
        return annotation
    target = BUILT_IN.get(kind, kind)
    if target in PLAIN:
        return Any
    return target if kind in BUILT_IN else Unknown


Reader = Callable[[bytes], Any]


def refuse_extension(code: int, content: memoryview) -> object:
    """Bytes that are read by an annotation have no described values among them."""
    raise ValueError(f"MessagePack extension {code} is not data that kew writes here")


def reader_of(annotation: Any) -> Reader | None:
    """What decodes a value of this annotation. None: the annotation doesn't say how."""
    try:
        wanted = conversion(annotation)
        if wanted is Any or wanted is Unknown:
            return None
        return msgspec.msgpack.Decoder(wanted, ext_hook=refuse_extension).decode
    except Exception:  # noqa: BLE001 - a user's annotation may be anything, and then says nothing
        return None
