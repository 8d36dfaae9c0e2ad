"""The error of a failed attempt, in words: what a status and the log say about it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from kew.domain.causes import Causes, causes_of

MAX_ERROR_BYTES = 4096
MANY = 10  # different errors of a group that are listed


def failure_causes(error: BaseException) -> Causes:
    """What ended the attempt. The cancellations with which a group stopped its other tasks are no causes."""
    return causes_of(error, ignored=asyncio.CancelledError)


def describe(error: BaseException) -> str:
    """ "ValueError: its text", cut at 4 KiB; of an exception group, the errors inside."""
    whole = _described(error)
    return whole.encode("utf-8", "replace")[:MAX_ERROR_BYTES].decode("utf-8", "ignore")


def _described(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return _group(error, _with_origin)
    return _with_origin(error)


def _group(group: BaseExceptionGroup[Any], describe_leaf: Callable[[BaseException], str]) -> str:
    leaves = failure_causes(group).leaves
    name = f"{type(group).__name__}: {group.message}" if group.message else type(group).__name__
    if len(leaves) == 1:
        return f"{describe_leaf(leaves[0])} (in {name})"
    distinct = Counter(describe_leaf(leaf) for leaf in leaves)
    shown = [f"{text} ({n} times)" if n > 1 else text for text, n in list(distinct.items())[:MANY]]
    if len(distinct) > MANY:
        shown.append(f"and {len(distinct) - MANY} more")
    return f"{name} ({len(leaves)} errors: {'; '.join(shown)})"


def _with_origin(error: BaseException) -> str:
    """The error, and what it was raised from, if that says more: the error has no text of its own, or hides a group.

    Only one step: causes may form a circle. (A cancellation says nothing: `asyncio.timeout` raises from one.)
    """
    text, cause = _plain(error), error.__cause__
    if isinstance(cause, BaseExceptionGroup):
        return f"{text} (caused by {_group(cause, _plain)})"
    if cause is not None and not text_of(error) and not isinstance(cause, asyncio.CancelledError):
        return f"{text} (caused by {_plain(cause)})"
    return text


def _plain(error: BaseException) -> str:
    text = text_of(error)
    if isinstance(error, asyncio.CancelledError):
        text = text or "raised by the task itself"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def text_of(error: BaseException) -> str:
    """The error's own text, whatever its `__str__` does."""
    try:
        return str(error)
    except BaseException as failure:  # noqa: BLE001 - user code's __str__ may raise anything
        return f"(str() raised {type(failure).__name__})"
