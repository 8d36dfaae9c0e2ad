"""The name that was probably meant, for messages about one that isn't known."""

from __future__ import annotations

import difflib
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

T = TypeVar("T")
NONE: Final[Mapping[str, str]] = MappingProxyType({})
ALIKE = 0.6  # of two words, as difflib measures it: from here on one may stand for the other
LONG_ENOUGH = 3  # letters of a part that may be misspelt
PARTS = re.compile(r"[-_.]|(?<=\D)(?=\d)")  # of a name; a number is one


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like this one, if any is."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=ALIKE)
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str], also_called: Mapping[str, str] = NONE) -> str:
    """ "; did you mean 'mails'?", or nothing. `also_called`: known names by other words for them."""
    found = also_called.get(name) or nearest(name, (each for each in known if each != name))
    return f"; did you mean {found!r}?" if found is not None else ""


def taking(names: Iterable[str], meant: str) -> str:
    """ "; it takes a, b and c", with the suggestion if there is one: the end of a message about an unknown name."""
    return f"; it takes {', '.join(names)}{meant}"


def is_misspelt(name: str, known: str) -> bool:
    """Whether the one is probably a misspelling of the other: they differ in one slip of the finger, or in case alone.

    Names that differ in a number or in a short part (`mails-a` and `mails-b`) are two names.
    """
    if name == known:
        return False
    name, known = name.lower(), known.lower()
    if name == known:
        return True
    parts, known_parts = PARTS.split(name), PARTS.split(known)
    if len(parts) == len(known_parts):
        differing = [pair for pair in zip(parts, known_parts, strict=True) if pair[0] != pair[1]]
        if any(len(part) < LONG_ENOUGH or part.isdigit() for pair in differing for part in pair):
            return False
    return _is_one_slip(name, known)


def _is_one_slip(one: str, other: str) -> bool:
    """A letter too many, too few or another one, or two that changed places."""
    equal = len(_common_start(one, other))
    rest, other_rest = one[equal:], other[equal:]
    return (
        rest[1:] == other_rest
        or rest == other_rest[1:]
        or rest[1:] == other_rest[1:]
        or (rest[1::-1] == other_rest[:2] and rest[2:] == other_rest[2:])
    )


def _common_start(one: str, other: str) -> str:
    """What both begin with."""
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return "".join(letter for letter, _ in pairs)


def suggests(noun: str, also_called: Mapping[str, str] = NONE) -> Callable[[type[T]], type[T]]:
    """A class decorator: an unknown argument raises a TypeError, as Python does, that names the one that was meant."""

    def decorate(kind: type[T]) -> type[T]:
        changed: Any = kind
        made: Callable[..., None] = changed.__init__
        known = [name for name in made.__annotations__ if name != "return"]

        @functools.wraps(made)
        def initialize(self: T, *args: Any, **kwargs: Any) -> None:
            for name in kwargs:
                if name not in known:
                    meant = did_you_mean(name, known, also_called)
                    raise TypeError(
                        f"{kind.__name__} has no {noun} {name!r}{meant} (the {noun}s are {', '.join(known)})"
                    )
            made(self, *args, **kwargs)

        changed.__init__ = initialize
        return kind

    return decorate
