"""The key of a call: as the submit gives it, or as the function's decorator says where it is among the arguments."""

from __future__ import annotations

import contextlib
import enum
import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import attrs

from kew.app.signatures import BY_PLACE
from kew.callables import accepted
from kew.domain.errors import InvalidConfigError, InvalidTaskError, shown
from kew.domain.suggestions import did_you_mean

MAX_KEY_BYTES = 256
PART = "/"  # between the parts of a composite key; part of a text, it is written as %2F
KeyOption = str | tuple[str, ...] | Callable[..., object]
"""An argument's name, several, or a function that takes the call's arguments and returns the key."""


@attrs.frozen
class Argument:
    """Where a call has one of its arguments: under its name, or at a place; else it is the default."""

    name: str
    place: int | None
    default: object

    def of(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> object:
        """Its value in this call. Raises `LookupError` if the call lacks it."""
        if self.name in kwargs:
            return kwargs[self.name]
        if self.place is not None and self.place < len(args):
            return args[self.place]
        if self.default is inspect.Parameter.empty:
            raise LookupError(f"the call has no argument {self.name}")
        return self.default


@attrs.frozen
class KeyOf:
    """Finds the key of each call of one function: by `made`, or in its arguments."""

    made: Callable[..., object] | None
    arguments: tuple[Argument, ...] = ()
    is_composite: bool = False

    def of(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> object:
        """The key of a call. Raises what the user's function raises, or `LookupError`."""
        if self.made is not None:
            return self.made(*args, **kwargs)
        values = tuple(argument.of(args, kwargs) for argument in self.arguments)
        return values if self.is_composite else values[0]


def key_finder(option: object, function: Callable[..., object], called: str = "key") -> KeyOf:
    """Finds the key of the calls of a function as `option`, which is `called` so, says. Raises `InvalidConfigError`."""
    if callable(option):
        return KeyOf(option)
    names = (option,) if isinstance(option, str) else option
    if not isinstance(names, tuple) or not names or not all(isinstance(one, str) for one in names):
        raise InvalidConfigError(
            f"{called} takes the name of an argument, a tuple of names, or a function of the arguments, "
            f"not {shown(option)}"
        )
    known = accepted(function)
    if known is None:
        raise InvalidConfigError(
            f"the arguments of {shown(function)} have no names: give {called} a function of the arguments"
        )
    arguments = tuple(_argument(name, known.signature, function, called) for name in names)
    return KeyOf(None, arguments, is_composite=not isinstance(option, str))


def _argument(name: str, signature: inspect.Signature, function: object, called: str) -> Argument:
    found = signature.parameters.get(name)
    if found is None or found.kind in (found.VAR_POSITIONAL, found.VAR_KEYWORD):
        meant = did_you_mean(name, signature.parameters)
        raise InvalidConfigError(f"{called}={name!r} names no argument of {shown(function)}{meant}")
    by_place = [one.name for one in signature.parameters.values() if one.kind in BY_PLACE]
    place = by_place.index(name) if name in by_place else None
    return Argument(name, place, found.default)


def key_text(task_id: str, key: object) -> str:
    """A key as text; "" for None, which means no key. Raises `InvalidTaskError`.

    The parts of a tuple are joined with slashes: `("eu", 7)` is the key `eu/7`.
    """
    if key is None:
        return ""
    text = _composite(task_id, key) if isinstance(key, tuple) else _part(task_id, key)
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidTaskError(task_id, "its key is not valid Unicode") from error
    if not 0 < size <= MAX_KEY_BYTES:
        raise InvalidTaskError(
            task_id, f"a key has 1 to {MAX_KEY_BYTES} bytes, this one {size}; None means no key"
        )
    return text


def _composite(task_id: str, parts: tuple[object, ...]) -> str:
    texts = (_part(task_id, part).replace("%", "%25").replace(PART, "%2F") for part in parts)
    return PART.join(texts)


def _part(task_id: str, value: object) -> str:
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, str):
        return str.__str__(value)
    is_uuid = type(value).__module__ == "uuid"
    if is_uuid or (isinstance(value, int | date) and not isinstance(value, bool)):
        with contextlib.suppress(ValueError):  # of a number with thousands of digits
            return str(value)
    raise InvalidTaskError(
        task_id,
        "a key is text, a whole number, a UUID, a date, an enum of these, a tuple of them or None, "
        f"not {shown(value)}",
    )
