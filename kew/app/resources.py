"""The process-wide resources: each opened once, by the first that needs it, and closed at shutdown.

Each lives in an asyncio task of its own, which enters and leaves its context manager: so a caller that is cancelled
while it waits stops nothing for others, and an event loop that cancels all of its tasks closes the resources too.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import Any, Final

from kew.app.injection import injection_of, managed
from kew.app.spawning import clean_context, running_loop, spawn
from kew.domain.errors import InvalidConfigError, TaskQueueError
from kew.log import logger

GRACE: Final = 5.0
"""Seconds that a resource gets at least to close, and once more after it was cancelled."""
IS_CLOSED: Final = "this manager is shutting down, so {0} is not opened any more"

_opening: ContextVar[Held | None] = ContextVar("kew_opening", default=None)


class Held:
    """A resource that is open, or is being opened."""

    def __init__(self, name: str, factory: Callable[..., Any]) -> None:
        self.name = name
        self._factory = factory
        self._value: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._ending = asyncio.Event()
        self.waits_for: Held | None = None
        self.task: asyncio.Task[None] | None = None

    def begin(self, on_open: Callable[[], None], on_end: Callable[[], None]) -> None:
        """Open it. `on_end` follows its end, and also an opening that failed."""
        own = clean_context()
        own.run(_opening.set, self)
        self.task = spawn(self._live(on_open), name=f"kew-resource-{self.name}", context=own)
        self.task.add_done_callback(lambda _: on_end())

    async def value(self) -> Any:
        """The resource. Raises what its opening raises."""
        if self._value.done():
            return self._value.result()
        waiting = _opening.get()
        if waiting is not None:
            waiting.waits_for = self
            _refuse_circle(waiting)
        try:
            return await asyncio.shield(self._value)
        finally:
            if waiting is not None:
                waiting.waits_for = None

    async def _live(self, on_open: Callable[[], None]) -> None:
        try:
            async with _entered(self._factory) as value:
                self._value.set_result(value)
                on_open()
                with contextlib.suppress(asyncio.CancelledError):  # as asyncio.run does at its end
                    await self._ending.wait()
        except BaseException as error:
            if running_loop() is None:
                raise
            if self._value.done():
                logger.exception("resource %s failed to close", self.name)
            else:
                self._failed(error)
            if not isinstance(error, Exception | asyncio.CancelledError):
                raise

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError):
            error = TaskQueueError(IS_CLOSED.format(f"resource {self.name}"))
        self._value.set_exception(error)
        self._value.exception()  # its callers, if any are left, raise it

    async def close(self, timeout: float) -> None:
        """Close it, or give up opening it; if it takes more than `timeout` seconds, cancel it."""
        self._ending.set()
        if self.task is None:
            return
        if not self._value.done():
            self.task.cancel()
        for _ in range(2):
            await asyncio.wait([self.task], timeout=timeout)
            if self.task.done():
                return
            logger.warning("resource %s: not closed after %g s: cancelled", self.name, timeout)
            self.task.cancel()


def _refuse_circle(first: Held) -> None:
    circle, held = [first.name], first.waits_for
    while held is not None:
        circle.append(held.name)
        if held is first:
            raise InvalidConfigError(
                f"resources need each other, so none can be opened: {' -> '.join(circle)}"
            )
        held = held.waits_for


@contextlib.asynccontextmanager
async def _entered(factory: Callable[..., Any]) -> AsyncIterator[Any]:
    """What the factory makes: entered if it is a context manager, awaited if it can be."""
    async with contextlib.AsyncExitStack() as stack:
        injection = injection_of(factory)
        provided: dict[str, Any] = {}
        if injection is not None:
            scope = injection.scope((), {})
            stack.push_async_callback(scope.close, None)
            provided = await scope.open()
        made = managed(factory)(**provided)
        if hasattr(type(made), "__aenter__"):
            yield await stack.enter_async_context(made)
        elif hasattr(type(made), "__enter__"):
            yield stack.enter_context(made)
        else:
            yield await made if inspect.isawaitable(made) else made


class Resources:
    """The resources of one process, in the order in which they were opened."""

    def __init__(self) -> None:
        self._held: dict[object, Held] = {}
        self._is_closed = False

    async def get(self, key: object, name: str, factory: Callable[..., Any]) -> Any:
        """The resource of that key, opened if it isn't yet. Raises what its opening raises."""
        held = self._held.get(key)
        if held is None:
            if self._is_closed:
                raise TaskQueueError(IS_CLOSED.format(f"resource {name}"))
            held = self._held[key] = Held(name, factory)
            held.begin(lambda: self._opened(key), lambda: self._ended(key))
        return await held.value()

    def _opened(self, key: object) -> None:
        self._held[key] = self._held.pop(key)  # behind those that it needed for that

    def _ended(self, key: object) -> None:
        self._held.pop(key, None)

    def __bool__(self) -> bool:
        return bool(self._held)

    async def close(self, timeout: float = GRACE) -> None:
        """Close all, the last one first, and open none any more."""
        self._is_closed = True
        for held in reversed(list(self._held.values())):
            await held.close(timeout)
