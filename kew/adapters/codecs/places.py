"""Where within a value something is wrong: `order.items[2].price`. Looked for only after a refusal."""

from __future__ import annotations

import collections
import collections.abc as abc
import reprlib
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from kew.adapters.codecs.declared import hints_of, is_default, pydantic_fields
from kew.adapters.codecs.refusals import MAX_DEPTH

MOST_PLACES = 100_000  # looked at; a value that contains itself has no end of them
Fields = Mapping[type, Mapping[str, Any]]


@attrs.frozen
class Place:
    """A part of a value: the path to it, what it is annotated as, and the part itself."""

    path: str
    annotation: Any
    value: Any
    is_checked: bool = True
    """Whether the value must fit the annotation; a field that pydantic validates may hold something else."""


def innermost(whole: Place, fields: Fields, is_right: Callable[[Place], bool]) -> Place | None:
    """The first part that is not right although all its own parts are; None: there is none, or none was found."""
    left = iter(range(MOST_PLACES))

    def search(place: Place, depth: int) -> Place | None:
        if next(left, None) is None:
            return None
        if depth < MAX_DEPTH:
            for part in _parts(place, fields):
                if found := search(part, depth + 1):
                    return found
        return None if is_right(place) else place

    return search(whole, 0)


def narrowed(whole: Place, fields: Fields, is_right: Callable[[Place], bool]) -> Place:
    """The first part that is not right for a reason of its own, when a value with a wrong part is wrong, too."""
    place = whole
    for _ in range(MAX_DEPTH):
        wrong = next((each for each in _parts(place, fields) if not is_right(each)), None)
        if wrong is None:
            break
        place = wrong
    return place


def _parts(place: Place, fields: Fields) -> Iterator[Place]:
    path, value = place.path, place.value
    kind, args = _kind_and_args(place.annotation, value)
    if isinstance(value, abc.Mapping):
        declared = hints_of(kind, {}) if typing.is_typeddict(kind) else None
        key_hint, value_hint = args if len(args) == 2 else (Any, Any)
        for key, each in value.items():
            hint = value_hint if declared is None else declared.get(key, Any)
            yield Place(f"{path}'s key {reprlib.repr(key)}", key_hint, key)
            yield Place(f"{path}[{reprlib.repr(key)}]", hint, each)
    elif hints := fields.get(type(value)):
        is_checked = pydantic_fields(type(value)) is None
        for name, hint in hints.items():
            if hasattr(value, name) and not is_default(type(value), name, getattr(value, name)):
                yield Place(f"{path}.{name}", hint, getattr(value, name), is_checked)
    elif isinstance(value, list | tuple | collections.deque):
        for index, each in enumerate(value):
            yield Place(f"{path}[{index}]", _element_hint(args, kind, index), each)
    elif isinstance(value, abc.Set):
        for each in value:
            yield Place(
                f"{path}'s element {reprlib.repr(each)}", _element_hint(args, kind, 0), each
            )


def _element_hint(args: tuple[Any, ...], kind: Any, index: int) -> Any:
    if kind is tuple and args[-1:] != (...,):
        return args[index] if index < len(args) else Any
    return args[0] if args else Any


def _kind_and_args(annotation: Any, value: object) -> tuple[Any, tuple[Any, ...]]:
    """The class that an annotation names, of a union the one that this value can be meant for, and its arguments."""
    for _ in range(MAX_DEPTH):
        origin = typing.get_origin(annotation)
        if origin in (typing.Union, types.UnionType):
            annotation = _meant(typing.get_args(annotation), value)
        elif hasattr(annotation, "__metadata__"):  # Annotated
            annotation = annotation.__origin__
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        else:
            return origin or annotation, typing.get_args(annotation)
    return Any, ()


def _meant(members: tuple[Any, ...], value: object) -> Any:
    found = [each for each in members if _is_kind(_kind_and_args(each, value)[0], value)]
    return found[0] if len(found) == 1 else Any


def _is_kind(kind: Any, value: object) -> bool:
    kind = dict if typing.is_typeddict(kind) else kind
    return isinstance(kind, type) and kind is not Any and isinstance(value, kind)
