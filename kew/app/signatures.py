"""What a function can be called with, determined once: a call that doesn't fit is refused before it is sent."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import attrs

from kew.callables import accepted

BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@attrs.frozen
class Shape:
    """A function's signature; without keywords, from `least` to `most` arguments fit it."""

    signature: inspect.Signature
    least: int
    most: float


def shape_of(function: Callable[..., object]) -> Shape | None:
    """The shape of the callable itself, not of a function that it wraps; None: this can't be known."""
    known = accepted(function)
    if known is None:
        return None
    parameters = known.signature.parameters.values()
    by_place = [each for each in parameters if each.kind in BY_PLACE]
    required = [each for each in parameters if each.default is each.empty]
    least = sum(each.kind in BY_PLACE for each in required)
    if any(each.kind is each.KEYWORD_ONLY for each in required):
        return Shape(known.signature, 1, 0)  # none fits without keywords
    is_open = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    return Shape(known.signature, least, math.inf if is_open else len(by_place))
