"""What a function can be called with, determined once: a call that doesn't fit is refused before it is sent."""

from __future__ import annotations

import inspect
import math

import attrs

from kew.callables import UNRESOLVED, Accepted
from kew.domain.schedule import Tick

BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@attrs.frozen
class Shape:
    """A function's signature; without keywords, from `least` to `most` arguments fit it."""

    signature: inspect.Signature
    least: int
    most: float


def tick_parameter(known: Accepted | None) -> str | None:
    """The parameter of a function that is annotated as `Tick`, if there is one: the executor passes it."""
    for each in known.signature.parameters.values() if known else ():
        if each.annotation is Tick:
            return each.name
        if isinstance(each.annotation, str) and each.annotation.rpartition(".")[2] == "Tick":
            hint = known.hint(each.annotation) if known else Tick
            if hint is Tick or hint is UNRESOLVED:
                return each.name
    return None


def _without(signature: inspect.Signature, name: str) -> inspect.Signature:
    """The signature without a parameter that is passed by name: those behind it have to be passed by name, too."""
    kept, is_behind = list[inspect.Parameter](), False
    for each in signature.parameters.values():
        if each.name == name:
            is_behind = True
        elif is_behind and each.kind is each.POSITIONAL_OR_KEYWORD:
            kept.append(each.replace(kind=each.KEYWORD_ONLY))
        elif not (is_behind and each.kind is each.VAR_POSITIONAL):
            kept.append(each)
    return signature.replace(parameters=kept)


def shape_of(known: Accepted | None, passed: str | None = None) -> Shape | None:
    """The shape of a callable that accepts this; None: this can't be known.

    `passed`: a parameter that is no caller's.
    """
    if known is None:
        return None
    if passed is not None:
        known = attrs.evolve(known, signature=_without(known.signature, passed))
    parameters = known.signature.parameters.values()
    by_place = [each for each in parameters if each.kind in BY_PLACE]
    required = [each for each in parameters if each.default is each.empty]
    least = sum(each.kind in BY_PLACE for each in required)
    if any(each.kind is each.KEYWORD_ONLY for each in required):
        return Shape(known.signature, 1, 0)  # none fits without keywords
    is_open = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    return Shape(known.signature, least, math.inf if is_open else len(by_place))
