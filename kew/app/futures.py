"""Calls that begin at once and are awaited like coroutines, without the task and the frames that a coroutine costs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, ParamSpec, TypeVar

from kew.app.spawning import running_loop
from kew.compat import override

P = ParamSpec("P")
T = TypeVar("T")


class CoroutineFuture(asyncio.Future[T], Coroutine[Any, Any, T]):
    """A future that may stand where a coroutine is wanted, as what an `async def` returned could.

    `await`, `gather` and `wait_for` take it as the future that it is; `create_task`, `TaskGroup` and
    `run_coroutine_threadsafe`, which refuse futures, as a coroutine.
    """

    __slots__ = ("_steps",)

    @override
    def send(self, value: Any, /) -> Any:
        return self._stepping().send(value)

    @override
    def throw(self, *error: Any) -> Any:
        return self._stepping().throw(*error)

    @override
    def close(self) -> None:
        """What has begun goes on: there is no frame to leave."""

    def _stepping(self) -> Generator[Any, None, T]:
        try:
            return self._steps
        except AttributeError:
            self._steps: Generator[Any, None, T] = self.__await__()
            return self._steps


def begun(
    loop: asyncio.AbstractEventLoop | None,
    begin: Callable[P, Coroutine[Any, Any, T]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Coroutine[Any, Any, T]:
    """What `begin` begins: at once in the loop that it belongs to, elsewhere once it is awaited.

    Elsewhere is another thread, or no running loop. What `begin` raises is raised where it is awaited.
    """
    if running_loop() is not loop:
        return _once_awaited(partial(begin, *args, **kwargs))
    try:
        return begin(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to whoever awaits
        return raising(error)


async def _once_awaited(begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return await begin()


async def raising(error: Exception) -> Any:
    """Raise it where this is awaited."""
    raise error


def itself(value: T) -> T:
    """What a caller is told where it is told the value as it is."""
    return value
