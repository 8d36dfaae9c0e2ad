"""Calls that start at once and are awaited like coroutines, without a coroutine's cost in tasks and frames."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar, TypeVarTuple

from kew.compat import override
from kew.domain.errors import TaskQueueError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
OTHER_LOOP = (
    "this manager belongs to another event loop: use it in the loop that initialized it, or create one manager per "
    "loop; from other threads, call submit_sync"
)
LOOP_CLOSED = (
    "the event loop in which this manager was initialized is closed: call `await manager.initialize()` in this loop, "
    "and create its queues again"
)


class NotAwaitedError(TaskQueueError, asyncio.InvalidStateError):
    """The result of a call was used, but the call was not awaited."""


Awaited = Coroutine[object, None, T]
"""What such a call returns. (With `Coroutine[Any, Any, T]`, type checkers couldn't infer the result of `gather`.)"""


class CoroutineFuture(asyncio.Future[T], Awaited[T]):
    """A future that can be used like the coroutine that an `async def` returns.

    `await`, `gather` and `wait_for` take it as the future that it is; `create_task`, `TaskGroup` and
    `run_coroutine_threadsafe`, which refuse futures, as a coroutine, once.
    """

    __slots__ = ("_steps",)

    @override
    def send(self, value: Any, /) -> Any:
        return self._stepping().send(value)

    @override
    def throw(self, *error: Any) -> Any:
        try:
            return self._stepping().throw(*error)
        finally:
            self.cancel()  # a task that is cancelled before its first step has not come to await it

    @override
    def close(self) -> None:
        """It will not be awaited."""
        self.cancel()

    def fail(self, error: BaseException) -> None:
        """Raise it where this is awaited, as an `async def` would have done."""
        if isinstance(error, StopIteration):  # which no future can be given
            error, cause = RuntimeError(f"StopIteration was raised: {error}"), error
            error.__cause__ = cause
        self.set_exception(error)

    def _stepping(self) -> Awaited[T]:
        try:
            return self._steps
        except AttributeError:
            self._steps: Awaited[T] = _awaiting(self)
            return self._steps


async def _awaiting(future: CoroutineFuture[T]) -> T:
    return await future


def begin_call(
    loop: asyncio.AbstractEventLoop | None, begin: Callable[[*Ts], Awaited[T]], *args: *Ts
) -> Awaited[T]:
    """Call `begin`: at once in its own loop, elsewhere (another thread, no running loop) when it is awaited.

    What `begin` raises is raised where the result is awaited.
    """
    try:
        is_here = asyncio.get_running_loop() is loop
    except RuntimeError:  # none runs
        is_here = False
    if not is_here:
        return _once_awaited(loop, partial(begin, *args))
    try:
        return begin(*args)
    except Exception as error:  # noqa: BLE001 - any error belongs to the awaiting caller
        return _failed(error)


async def _once_awaited(
    loop: asyncio.AbstractEventLoop | None, begin: Callable[[], Awaited[T]]
) -> T:
    if loop is not None:
        check_loop(loop)
    return await begin()


def check_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Raise `TaskQueueError` if another loop is running than this one."""
    if asyncio.get_running_loop() is not loop:
        raise TaskQueueError(LOOP_CLOSED if loop.is_closed() else OTHER_LOOP)


def _failed(error: Exception) -> CoroutineFuture[Any]:
    future: CoroutineFuture[Any] = CoroutineFuture()
    future.fail(error)
    return future


def unchanged(value: T) -> T:
    """The value itself, for a caller that needs no conversion."""
    return value
