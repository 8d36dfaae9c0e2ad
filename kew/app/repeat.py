"""Repeating an operation of the store until it is answered: the same call with the same identity, so it is safe."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from kew.app.ports import Ambiguous, Damaged, Operation, StoreError, TaskStore
from kew.domain.errors import StoreUnavailableError, StoreUnsuitableError
from kew.log import logger

T = TypeVar("T")
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
PATIENCE = 4.0  # seconds to repeat a request for which a caller waits


def pauses() -> Iterator[float]:
    """Seconds before each repeat, without end."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)


class Failures:
    """Logs the first of the failures in a row, unless the store's adapter logs the outage that it belongs to."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._is_logged = False

    def add(self, error: Exception) -> None:
        """The operation failed."""
        if self._is_logged or getattr(error, "is_logged", False):
            logger.debug("%s, repeating: %r", self._what, error)
        else:
            self._is_logged = True
            logger.warning("%s, repeating: %s", self._what, str(error) or repr(error))

    def end(self) -> None:
        """It succeeded."""
        if self._is_logged:
            self._is_logged = False
            logger.warning("%s: it worked again", self._what)


async def until_answered(what: str, call: Callable[[], Awaitable[T]]) -> T:
    """The answer, however long it takes. Cancelling it ends the repeating, not a call in flight."""
    try:
        return await call()
    except StoreError as error:
        failures = Failures(f"{what}: no answer from the store")
        failures.add(error)
    for pause in pauses():
        await asyncio.sleep(pause)
        try:
            answer = await call()
        except StoreError as error:
            failures.add(error)
        else:
            failures.end()
            return answer
    raise AssertionError("the pauses have no end")


async def ask(store: TaskStore, operation: Operation[T], *, patience: float = PATIENCE) -> T:
    """The store's answer to an operation, which is repeated as `answered` does, if it may be repeated."""
    return await answered(
        lambda: store.do(operation), patience=patience if operation.may_repeat else 0.0
    )


async def answered(call: Callable[[], Awaitable[T]], *, patience: float = PATIENCE) -> T:
    """The store's answer to a repeatable request, which is repeated for `patience` seconds.

    Then it raises `StoreUnavailableError`. Raises `StoreUnsuitableError` at once if a key of the store was overwritten.
    """
    loop, again = asyncio.get_running_loop(), pauses()
    give_up_at = loop.time() + patience
    while True:
        try:
            return await call()
        except Damaged as error:
            raise StoreUnsuitableError(str(error)) from error
        except StoreError as error:
            pause = next(again)
            if loop.time() + pause > give_up_at:
                is_open = isinstance(error, Ambiguous)
                done = "may or may not have been done" if is_open else "not done"
                message = f"no answer from the store ({done}): {error}"
                raise StoreUnavailableError(message) from error
        await asyncio.sleep(pause)
