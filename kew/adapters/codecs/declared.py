"""What a class of values declares: its fields, their annotations and their defaults."""

from __future__ import annotations

import dataclasses
import enum
import functools
import sys
from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from kew.adapters.codecs.sameness import difference, is_model
from kew.callables import resolved
from kew.compat import annotations_of


@functools.lru_cache(maxsize=1024)
def fields_of(kind: Any) -> Mapping[str, str | None]:
    """Each field, and what the class's `__init__` calls it; None: it isn't among its arguments."""
    if issubclass(kind, msgspec.Struct):
        return {name: name for name in kind.__struct_fields__}
    if hasattr(kind, "__attrs_attrs__"):
        return {each.name: each.alias if each.init else None for each in attrs.fields(kind)}
    return {each.name: each.name if each.init else None for each in dataclasses.fields(kind)}


def pydantic_fields(kind: Any) -> Mapping[str, Any] | None:
    """The fields of a model or dataclass of pydantic, which validates them itself; None for other classes."""
    fields: Mapping[str, Any] | None = (
        kind.model_fields if is_model(kind) else getattr(kind, "__pydantic_fields__", None)
    )
    return fields


@functools.lru_cache(maxsize=1024)
def defaults_of(kind: Any) -> Mapping[str, Any]:
    """The default of each field that has one. Factories are left out."""
    own = pydantic_fields(kind)
    if own is not None:
        has_default = {name: f for name, f in own.items() if not f.is_required()}
        return {name: f.default for name, f in has_default.items() if f.default_factory is None}
    if hasattr(kind, "_field_defaults"):  # a NamedTuple
        return dict(kind._field_defaults)
    if issubclass(kind, msgspec.Struct):
        found = {each.name: each.default for each in msgspec.structs.fields(kind)}
        return {name: each for name, each in found.items() if each is not msgspec.NODEFAULT}
    if hasattr(kind, "__attrs_attrs__"):
        found = {each.name: each.default for each in attrs.fields(kind)}
        no_value: tuple[type, ...] = (type(attrs.NOTHING), type(attrs.Factory(list)))
        return {name: each for name, each in found.items() if not isinstance(each, no_value)}
    if dataclasses.is_dataclass(kind):
        found = {each.name: each.default for each in dataclasses.fields(kind)}
        return {name: each for name, each in found.items() if each is not dataclasses.MISSING}
    return {}


def is_default(kind: Any, name: str, value: object) -> bool:
    """Whether this is the field's declared default, which needn't fit the annotation: `name: str = None`."""
    defaults = defaults_of(kind)
    return name in defaults and difference(defaults[name], value) is None


def hints_of(kind: Any, scope: Mapping[str, Any]) -> dict[str, Any]:
    """The annotations of a class's fields, each by itself: `UNRESOLVED` for one that can't be resolved.

    A name is looked up where its class was defined, and then in `scope`.
    """
    if issubclass(kind, enum.Enum):
        return {}
    if is_model(kind):
        return {name: each.annotation for name, each in kind.model_fields.items()}
    found: dict[str, Any] = {}
    for owner in reversed(kind.__mro__):
        annotations = _annotations_in(owner)
        names = _names_in(owner, kind, scope) if annotations else {}
        found.update((name, resolved(each, names)) for name, each in annotations.items())
    return found


def _annotations_in(owner: Any) -> dict[str, Any]:
    try:
        return annotations_of(owner)
    except Exception:  # noqa: BLE001 - a class written in C, or one whose annotations raise
        return {}


def _names_in(owner: Any, kind: Any, scope: Mapping[str, Any]) -> dict[str, Any]:
    module = sys.modules.get(owner.__module__)
    inside = {name: each for name, each in vars(owner).items() if isinstance(each, type)}
    variables = {each.__name__: each for each in getattr(owner, "__type_params__", ())}
    names = {owner.__name__: owner, kind.__name__: kind}  # a local class may name itself
    return {**scope, **(vars(module) if module else {}), **names, **inside, **variables}
