"""Making thousands of frozen values quickly: a frozen class sets each field past its own `__setattr__`.

A value is written as one of a class that has the same slots and isn't frozen, and is then declared to be of the frozen
one. That takes a third of the time that the constructor takes. Nothing is validated or converted. The class has no slot
for weak references: with one, Python 3.11 would not see that the two are alike.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeVar

import attrs

T = TypeVar("T")


def maker(kind: type[T]) -> Callable[..., T]:
    """Makes a value of its fields: all of them, in the order of the class."""
    draft = _draft(kind)

    def make(*values: Any) -> T:
        value: Any = draft(*values)
        value.__class__ = kind
        made: T = value
        return made

    return make


def mover(kind: type[T]) -> Callable[..., T]:
    """Makes a copy with other fields, as `attrs.evolve` does; AttributeError for a field that there isn't."""
    draft = _draft(kind)
    values_of = attrgetter(*_names(kind))

    def moved(value: T, **changes: Any) -> T:
        copy: Any = draft(*values_of(value))
        for name, change in changes.items():
            setattr(copy, name, change)
        copy.__class__ = kind
        made: T = copy
        return made

    return moved


def _names(kind: type[Any]) -> list[str]:
    return [field.name for field in attrs.fields(kind)]


def _draft(kind: type[Any]) -> Callable[..., Any]:
    return attrs.make_class(
        f"{kind.__name__}Draft", _names(kind), slots=True, weakref_slot=False, eq=False, repr=False
    )
