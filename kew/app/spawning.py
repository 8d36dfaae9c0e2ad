"""Starting an asyncio task at once, where Python can.

Its first step runs now, and one that never waits needs no turn.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context
from typing import Any, TypeVar

from kew.log import logger

T = TypeVar("T")
IS_EAGER = sys.version_info >= (3, 12)


def spawn(
    work: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
) -> asyncio.Task[T]:
    """A task of the running loop; eager from Python 3.12 on, unless the loop makes tasks of its own kind."""
    loop = asyncio.get_running_loop()
    if IS_EAGER and loop.get_task_factory() is None:
        more: dict[str, Any] = {"eager_start": True}
        return asyncio.Task(work, loop=loop, name=name, context=context, **more)
    return loop.create_task(work, name=name, context=context)


class Owned:
    """Background tasks that somebody owns: what one raises is logged under `who`, and `on_end` is called after each."""

    def __init__(self, who: str, on_end: Callable[[], None]) -> None:
        self._who = who
        self._on_end = on_end
        self._tasks: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[asyncio.Task[None]]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this in the background."""
        task = spawn(work)
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
