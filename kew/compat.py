"""What newer Pythons bring and Python 3.11 lacks. Nothing else may stand here."""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import sys
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import TypeVar, override
else:

    def TypeVar(name, *, default=None, **more):  # noqa: N802 - it stands for the class
        """A type variable; type checkers alone know its default before Python 3.13."""
        return typing.TypeVar(name, **more)

    try:
        from typing import override
    except ImportError:  # Python 3.11

        def override(method):
            """Mark a method that overrides; the type checker verifies it."""
            return method


Method = TypeVar("Method", bound=Callable[..., Any])


def like_async(method: Method) -> Method:
    """Mark a plain function whose result is awaited: mocks and frameworks take it for the `async def` it looks like."""
    mark: Any = getattr(inspect, "markcoroutinefunction", None)
    if mark is not None:
        marked: Method = mark(method)
        return marked
    method._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]  # Python 3.11
    return method


def look_async(wrapper: Any, function: Callable[..., Any]) -> None:
    """Make `inspect` and `asyncio` take an object that wraps a coroutine function for a coroutine function."""
    like_async(wrapper)
    if not hasattr(inspect, "markcoroutinefunction"):  # Python 3.11 looks for what a function has
        while isinstance(function, functools.partial):
            function = function.func
        for name in ("__name__", "__code__", "__defaults__", "__kwdefaults__"):
            setattr(wrapper, name, getattr(function, name, None))


def is_like_async(function: object) -> bool:
    """It is an `async def`, or marked like one."""
    if inspect.iscoroutinefunction(function):
        return True
    mark = getattr(asyncio.coroutines, "_is_coroutine", None)  # Python 3.11
    return mark is not None and getattr(function, "_is_coroutine", None) is mark


def _lazy_annotations() -> Any:
    """`annotationlib`, from Python 3.14 on; else None."""
    return importlib.import_module("annotationlib") if sys.version_info >= (3, 14) else None


LAZY: Any = _lazy_annotations()


def annotations_of(function: Callable[..., Any]) -> dict[str, Any]:
    """A function's annotations; from Python 3.14 on, a name that isn't defined becomes a forward reference."""
    if LAZY is None:
        return dict(function.__annotations__)
    return dict(LAZY.get_annotations(function, format=LAZY.Format.FORWARDREF))


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """A callable's signature, not following `__wrapped__`; names that aren't defined are as in `annotations_of`."""
    if LAZY is None:
        return inspect.signature(function, follow_wrapped=False)
    more: dict[str, Any] = {"annotation_format": LAZY.Format.FORWARDREF}
    return inspect.signature(function, follow_wrapped=False, **more)


__all__ = [
    "TypeVar",
    "annotations_of",
    "is_like_async",
    "like_async",
    "look_async",
    "override",
    "signature_of",
]
