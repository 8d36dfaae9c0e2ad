"""Values of a user's classes, taken apart into their fields and put together again.

Putting one together calls its class with the fields that this accepts, so that what the class checks is checked, and
then gives every field the value that was sent: a `__post_init__` or a converter that changes what it is given doesn't
change it twice.
"""

from __future__ import annotations

import enum
import inspect
import sys
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from kew.adapters.codecs.declared import fields_of, hints_of, is_default, pydantic_fields
from kew.adapters.codecs.kinds import SCALARS, Parts, Unfit, is_class_of_values, is_url
from kew.adapters.codecs.sameness import PRIVATE, difference, is_model, state_of
from kew.callables import resolved

# Subclasses of these are carried as what they derive from.
TEXTS_AND_NUMBERS: Mapping[type, Callable[[Any], Any]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    bytes: lambda value: bytes(memoryview(value)),
}
Checks = Mapping[str, Callable[[Any], bool]]
BY_NAME = "by name"


def apart(value: Any) -> Parts:
    """The value's parts.

    A member of an enum is its value, or its name if the value is no scalar. A subclass of str is a str, a NamedTuple a
    list, any other value the dict of its fields.
    """
    kind: Any = type(value)
    if isinstance(value, enum.Enum):
        return (value.value,) if type(value.value) in SCALARS else (value.name, BY_NAME)
    for base, plain in TEXTS_AND_NUMBERS.items():
        if isinstance(value, base):
            return (plain(value),)
    if is_url(kind):
        return (str(value),)
    if isinstance(value, tuple):
        return (list(value),)
    if is_model(kind):
        return _model_apart(value)
    return ({name: getattr(value, name) for name in fields_of(kind) if hasattr(value, name)},)


def together(kind: Any, checks: Checks, content: Any, private: Any = None) -> Any:
    """The value that `apart` took apart. Raises for content that the class or the types of its fields refuse."""
    if issubclass(kind, enum.Enum):
        return kind[content] if private == BY_NAME else kind(content)
    if issubclass(kind, (*TEXTS_AND_NUMBERS,)) or is_url(kind):
        return kind(content)
    if issubclass(kind, tuple):
        _check(kind, checks, dict(zip(kind._fields, content, strict=True)))
        return kind._make(content)
    if not isinstance(content, dict):
        raise Unfit(f"expected fields, got {type(content).__name__}")
    if pydantic_fields(kind) is not None:
        return _validated(kind, checks, content, private)
    _check(kind, checks, content)
    return _restored(_made(kind, content, content), content)


def _made(kind: Any, content: Mapping[str, Any], wanted: Mapping[str, Any]) -> Any:
    """An instance of the class, called with those fields of `wanted` that it accepts."""
    accepted = fields_of(kind)
    if unknown := content.keys() - accepted.keys():
        raise Unfit(f"{kind.__qualname__} has no field {min(unknown)!r}")
    return kind(
        **{alias: wanted[name] for name, alias in accepted.items() if alias and name in wanted}
    )


def _restored(value: Any, content: Mapping[str, Any]) -> Any:
    for name, each in content.items():
        _restore(value, name, each)
    return value


def _restore(value: Any, name: str, sent: Any) -> None:
    if getattr(value, name, None) is sent:
        return
    if isinstance(value, msgspec.Struct):
        msgspec.structs.force_setattr(value, name, sent)
    else:
        object.__setattr__(value, name, sent)  # frozen ones too


def _check(kind: Any, checks: Checks, content: Mapping[str, Any]) -> None:
    for name, value in content.items():
        if name in checks and not checks[name](value) and not is_default(kind, name, value):
            raise _misfit(name, value)


def _misfit(name: str, value: object) -> Unfit:
    given = type(value).__qualname__
    return Unfit(f"the {given} given doesn't fit the annotation of field {name!r}")


# --- models of pydantic


def _model_apart(value: Any) -> Parts:
    fields = type(value).model_fields
    state = state_of(value)
    content = {name: each for name, each in state.items() if name in fields}
    return content, [state.get(name) for name in PRIVATE]


def _validated(kind: Any, checks: Checks, content: dict[str, Any], private: Any) -> Any:
    """Of a class whose fields pydantic validates.

    What a validator makes of a value needn't fit the annotation, and a default isn't validated at all. So a value must
    fit, or be what validation yields, or be the default.
    """
    wanted = {name: each for name, each in content.items() if not is_default(kind, name, each)}
    value = (
        _model(kind, content, wanted, private[0] or {})
        if is_model(kind)
        else _made(kind, content, wanted)
    )
    for name, each in wanted.items():
        if name in checks and not checks[name](each) and difference(each, getattr(value, name)):
            raise _misfit(name, each)
    if not is_model(kind):
        return _restored(value, content)
    object.__setattr__(value, "__dict__", {**value.__dict__, **content})
    for name, each in zip(PRIVATE, private, strict=True):
        object.__setattr__(value, name, each)
    return value


def _model(
    kind: Any, content: dict[str, Any], wanted: dict[str, Any], extra: dict[str, Any]
) -> Any:
    if unknown := content.keys() - kind.model_fields.keys():
        raise Unfit(f"{kind.__qualname__} has no field {min(unknown)!r}")
    if getattr(kind, "__pydantic_root_model__", False):
        return kind.model_validate(content["root"])
    if "by_name" in inspect.signature(kind.model_validate).parameters:  # pydantic 2.11
        return kind.model_validate({**wanted, **extra}, by_alias=False, by_name=True)
    aliases = {name: each.alias or name for name, each in kind.model_fields.items()}
    return kind.model_validate({**{aliases[name]: v for name, v in wanted.items()}, **extra})


# --- the classes that annotations lead to


def classes_in(annotations: Iterable[Any], scope: Mapping[str, Any]) -> dict[type, dict[str, Any]]:
    """Every class of values that the annotations name, and that those of its fields name, with these."""
    found: dict[type, dict[str, Any]] = {}
    seen: dict[int, Any] = {}  # kept, so that no other object gets its id
    waiting = list(annotations)
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen[id(each)] = each
        try:
            waiting += _named_by(each)
            kind = typing.get_origin(each) or each
            if not isinstance(kind, type):
                continue
            if typing.is_typeddict(kind):
                waiting += hints_of(kind, scope).values()
            elif is_class_of_values(kind):
                found[kind] = hints_of(kind, scope)
                waiting += found[kind].values()
        except Exception:  # noqa: BLE001 - a user's annotation may be anything, and then names nothing
            continue
    return found


def _named_by(annotation: Any) -> list[Any]:
    """The arguments of a generic, what is inside a NewType or `type Name = ...`, and the bounds of a type variable."""
    inside = ("__supertype__", "__value__")
    found = [getattr(annotation, name) for name in inside if hasattr(annotation, name)]
    arguments = typing.get_args(annotation)
    members = [type(each) for each in arguments if isinstance(each, enum.Enum)]  # of a Literal
    bounds = _bounds(annotation) if isinstance(annotation, typing.TypeVar) else []
    return [*arguments, *members, *found, *bounds]


def _bounds(variable: Any) -> list[Any]:
    names = vars(sys.modules[variable.__module__])
    found = [variable.__bound__, *variable.__constraints__, getattr(variable, "__default__", None)]
    return [resolved(each, names) for each in found]
