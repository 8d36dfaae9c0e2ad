"""Calling a task's function, and awaiting what the call returns.

A coroutine function is called on the event loop. Any other function is called in a thread, since it may block. What
either returns decides what follows: an awaitable is awaited on the event loop, any other value is the result.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import inspect
import threading
import traceback
import types
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from kew.app.naming import Function, wraps_coroutine_function
from kew.app.ports import Threads
from kew.app.registered import RegisteredFunction
from kew.app.working.runs import Run
from kew.domain.task import PINNED

NO_LOOP_TEXTS = ("no running event loop", "There is no current event loop in thread")
NO_LOOP = (
    "a plain function is called in a thread, and no event loop runs there: use an `async def`, "
    "or annotate the function with `-> asyncio.Future[...]`, and it is called on the event loop"
)
FOREIGN_LOOP = (
    "the function returned a future of another event loop, which can't be awaited here: "
    "return a coroutine, or use asyncio.wrap_future(asyncio.run_coroutine_threadsafe(...))"
)
_MISSING = object()


class NoThreadError(Exception):
    """The process has no thread for a plain function, so it was not called."""


class _Unawaited:
    """An awaitable on its way from a thread to the event loop, with the context variables that the call set.

    The way may end early: the task is cancelled, or the loop is closed. A coroutine is closed then, so that Python
    doesn't warn that it was never awaited.
    """

    __slots__ = ("_context", "_value")

    def __init__(self, value: Any) -> None:
        self._value = value
        self._context = contextvars.copy_context()

    def take(self) -> Any:
        """The awaitable; the caller is responsible for it from now on. Sets the call's context variables here."""
        value, self._value = self._value, None
        adopt(self._context)
        return value

    def __del__(self) -> None:
        discard(self._value)


def adopt(context: contextvars.Context) -> None:
    """Set the context variables of another context here."""
    for variable, content in context.items():
        if variable.get(_MISSING) is not content:
            variable.set(content)


def is_awaitable(value: object) -> bool:
    """Whether `await value` works."""
    return type(value) is types.CoroutineType or inspect.isawaitable(value)


def discard(value: object) -> None:
    """Give up a value that is not going to be awaited, or a container of such values."""
    for each in _contents(value):
        if isinstance(each, Coroutine) and not _has_begun(each):
            each.close()


def _contents(value: object) -> Iterable[object]:
    """The value itself, or what it contains (one level)."""
    if type(value) in (list, tuple, set, frozenset):
        return value  # type: ignore[return-value]  # it is one of these
    return value.values() if type(value) is dict else (value,)


def _has_begun(coroutine: Coroutine[Any, Any, Any]) -> bool:
    """Another asyncio task may be running it."""
    is_known = isinstance(coroutine, types.CoroutineType)
    return is_known and inspect.getcoroutinestate(coroutine) != inspect.CORO_CREATED


class PlainCalls:
    """Calls functions that are no coroutine functions, for one executor."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._on_loop: set[str] = set()

    async def result(self, run: Run, function: RegisteredFunction, args: Any, kwargs: Any) -> Any:
        """Call the function in a thread; the value, or what awaiting it gives.

        The thread can't be cancelled. If the run was asked to stop meanwhile, an awaitable is not started.
        Raises `NoThreadError`.

        Some decorators of coroutine functions need the loop at the call, to make a task. Such a one is called again, on
        the loop, and from then on only there. Nothing but the decorator's own code has run by then.
        """
        call = function.function
        if function.name not in self._on_loop:
            called = _begin(self._threads, run, partial(_called, run, call, args, kwargs))
            try:
                value = await called
            except RuntimeError as error:
                if not _misses_loop(error):
                    raise
                _discard_arguments(error)
                if not wraps_coroutine_function(call):
                    raise RuntimeError(NO_LOOP) from error
                if not function.name.startswith(PINNED):  # a pin's name doesn't come again
                    self._on_loop.add(function.name)
            else:
                if not isinstance(value, _Unawaited):
                    return value
                _check_goes_on(run)
                return await _checked(value.take())
            _check_goes_on(run)
        value = call(*args, **kwargs)
        return await _checked(value) if is_awaitable(value) else value


def _check_goes_on(run: Run) -> None:
    if run.stop is not None:
        raise asyncio.CancelledError(run.stop.value)
    run.is_thread = False


def _misses_loop(error: RuntimeError) -> bool:
    return type(error) is RuntimeError and str(error).startswith(NO_LOOP_TEXTS)


def _discard_arguments(error: BaseException) -> None:
    """Close the coroutines that were to become tasks, such as those of `asyncio.gather(coroutine, ...)`."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for value in frame.f_locals.values():
            discard(value)


def _begin(threads: Threads, run: Run, call: Callable[[], object]) -> Awaitable[Any]:
    """Call in a copy of the attempt's context, which is the attempt's from then on, for its hooks and log lines."""
    own = contextvars.copy_context()
    try:
        called = threads.run(partial(own.run, call))
    except Exception as error:
        raise NoThreadError(f"no thread could be started: {error!r}") from error
    run.is_thread, run.context = True, own
    return called


def _called(run: Run, function: Function, args: Any, kwargs: Any) -> Any:
    run.thread = threading.get_ident()
    value = function(*args, **kwargs)
    return _Unawaited(value) if is_awaitable(value) else value


def _checked(value: Any) -> Any:
    if asyncio.isfuture(value) and value.get_loop() is not asyncio.get_running_loop():
        raise RuntimeError(FOREIGN_LOOP)
    return value


def why_no_result(value: object) -> str | None:
    """Why such a value is no result, if there is more to say than that its type can't be encoded; it is discarded."""
    name = type(value).__name__
    discard(value)
    if isinstance(value, concurrent.futures.Future):
        return "it is a future of a thread or process: write `return await asyncio.wrap_future(...)` in an `async def`"
    if isinstance(value, types.GeneratorType | types.AsyncGeneratorType):
        return (
            f"it is a {name}, which runs only where it is iterated: return list(...) of its values"
        )
    if is_awaitable(value):
        return f"it is a {name} that was not awaited: write `return await ...` in the function"
    if any(is_awaitable(each) for each in _contents(value)):
        return f"it is a {name} of awaitables that were not awaited: write `return await asyncio.gather(...)`"
    return None
