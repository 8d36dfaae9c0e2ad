"""What newer Pythons bring and Python 3.11 lacks. Nothing else may stand here."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from typing_extensions import override
else:
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


def is_like_async(function: object) -> bool:
    """It is an `async def`, or marked like one."""
    if inspect.iscoroutinefunction(function):
        return True
    mark = getattr(asyncio.coroutines, "_is_coroutine", None)  # Python 3.11
    return mark is not None and getattr(function, "_is_coroutine", None) is mark


__all__ = ["is_like_async", "like_async", "override"]
