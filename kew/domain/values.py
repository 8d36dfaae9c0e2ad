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
    return _writer(kind, "self.__class__ = Kind")


def mover(kind: type[T]) -> Callable[..., T]:
    """Makes a copy with other fields, as `attrs.evolve` does; AttributeError for a field that there isn't."""
    write = _writer(kind)
    values_of = attrgetter(*_names(kind))

    def moved(value: T, /, **changes: Any) -> T:
        copy: Any = write(*values_of(value))
        for name, change in changes.items():
            setattr(copy, name, change)
        copy.__class__ = kind
        made: T = copy
        return made

    return moved


def _writer(kind: type[Any], *last: str) -> Callable[..., Any]:
    """Writes a draft of its fields, and then takes the `last` step.

    Its source is put together for the class, as attrs does for constructors: thousands of values cost one call each.
    """
    names = _names(kind)
    steps = ("self = Draft()", *(f"self.{name} = {name}" for name in names), *last, "return self")
    source = "\n    ".join((f"def write({', '.join(names)}):", *steps))
    known: dict[str, Any] = {"Draft": _draft(kind), "Kind": kind}
    exec(compile(source, f"<the writer of {kind.__name__}>", "exec"), known)
    writer: Callable[..., Any] = known["write"]
    return writer


def _names(kind: type[Any]) -> list[str]:
    return [field.name for field in attrs.fields(kind)]


def _draft(kind: type[Any]) -> type[Any]:
    return attrs.make_class(
        f"{kind.__name__}Draft",
        _names(kind),
        slots=True,
        weakref_slot=False,
        init=False,
        eq=False,
        repr=False,
    )
