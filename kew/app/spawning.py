"""Starting asyncio tasks: at once if Python can, in a clean context, under any task factory."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, ContextVar
from typing import Any, Final, TypeVar, cast

from kew.log import PROCESS, logger

T = TypeVar("T")
IS_EAGER = sys.version_info >= (3, 12)
UNSET: Final = object()

CARRIED: Final[list[ContextVar[Any]]] = [PROCESS]
"""Variables that a clean context keeps: they name the (simulated) process that runs, not the caller."""


def clean_context() -> Context:
    """A context without the caller's variables: no request, log binding or trace of the code that happens to run."""
    context = Context()
    for variable in CARRIED:
        if (value := variable.get(UNSET)) is not UNSET:
            context.run(variable.set, value)
    return context


def spawn(
    work: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
) -> asyncio.Task[T]:
    """A task of the running loop. From Python 3.12 on it takes its first step now, unless the loop has a factory.

    Work that can't be started, because the loop is closed for instance, is closed. An error in whose traceback it
    stays would otherwise keep it until the garbage collector finds it, and Python warns that it was never awaited.
    """
    try:
        loop = asyncio.get_running_loop()
        if IS_EAGER and loop.get_task_factory() is None:
            more: dict[str, Any] = {"eager_start": True}
            return asyncio.Task(work, loop=loop, name=name, context=context, **more)
        try:
            made: object = loop.create_task(work, name=name, context=context)
        except TypeError:
            made = _made_by_two_arguments(loop, work, name, context)
        except Exception as error:  # noqa: BLE001 - logged
            made = error
        if isinstance(made, asyncio.Task):
            return made
        return _instead_of(made, loop, work, name, context)
    except BaseException:
        if inspect.getcoroutinestate(work) == inspect.CORO_CREATED:
            work.close()
        raise


def _made_by_two_arguments(
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, T],
    name: str | None,
    context: Context | None,
) -> object:
    """What a factory makes that accepts the loop and the coroutine alone, as many do; or its error.

    (asyncio passes `context` on to a factory only where one is given, so that such factories work elsewhere.)
    """
    if inspect.getcoroutinestate(work) != inspect.CORO_CREATED:
        raise
    try:
        task = loop.create_task(work) if context is None else context.run(loop.create_task, work)
    except Exception as error:  # noqa: BLE001 - logged
        return error
    if name is not None and hasattr(task, "set_name"):
        task.set_name(name)
    return task


def _instead_of(
    made: object,
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, T],
    name: str | None,
    context: Context | None,
) -> asyncio.Task[T]:
    """What to use if a factory failed or returned no task: the task that it made nevertheless, or else a new one."""
    if asyncio.isfuture(made):
        return cast("asyncio.Task[T]", made)
    error = made if isinstance(made, Exception) else TypeError(f"it returned {made!r}")
    for task in asyncio.all_tasks(loop):
        if task.get_coro() is work:
            return task
    if inspect.getcoroutinestate(work) != inspect.CORO_CREATED:
        raise error
    _blame(loop.get_task_factory(), error)
    return asyncio.Task(work, loop=loop, name=name, context=context)


_blamed: set[int] = set()


def _blame(factory: object, error: Exception) -> None:
    """Log once for each factory."""
    if id(factory) not in _blamed:
        _blamed.add(id(factory))
        logger.error(
            "the event loop's task factory %r failed: kew uses asyncio.Task instead",
            factory,
            exc_info=error,
        )


class Owned:
    """Background tasks with an owner, in clean contexts. An error is logged under `who`; `on_end` follows each end.

    `context`: a clean one of which each gets a copy; None: each gets one made of the caller's.
    """

    def __init__(
        self, who: str, on_end: Callable[[], None], context: Context | None = None
    ) -> None:
        self._context = context
        self._who = who
        self._on_end = on_end
        self._tasks: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[asyncio.Task[None]]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this in the background."""
        context = clean_context() if self._context is None else self._context.copy()
        task = spawn(work, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._on_end()
        if not task.cancelled() and task.exception() is not None:
            logger.error("%s: %r", self._who, task.exception(), exc_info=task.exception())


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop of this thread, if one runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def retrieve_later() -> None:
    """Keep asyncio from logging what the current task is about to raise, as an exception that was never retrieved."""
    task = asyncio.current_task()
    if task is not None:
        task.add_done_callback(asyncio.Task.exception)
