"""Repeating an operation of the store until it is answered: the same call with the same identity, so it is safe."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from kew.app.ports import Ambiguous, StoreError
from kew.domain.errors import StoreUnavailableError
from kew.log import logger

T = TypeVar("T")
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
PATIENCE = 4.0  # seconds, for an answer that somebody waits for


def pauses() -> Iterator[float]:
    """Seconds before each repeat, without end."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)


async def until_answered(what: str, call: Callable[[], Awaitable[T]]) -> T:
    """The answer, however long it takes; cancelling ends the repeating, not a call that is under way in the store."""
    again, is_away = pauses(), False
    while True:
        try:
            answer = await call()
        except StoreError as error:
            if not is_away:
                logger.warning("%s: no answer from the store, repeating: %s", what, error)
            is_away = True
            await asyncio.sleep(next(again))
        else:
            if is_away:
                logger.warning("%s: the store answers again", what)
            return answer


async def asked(call: Callable[[], Awaitable[T]], *, patience: float = PATIENCE) -> T:
    """The store's answer to a question or a repeatable request, asked for `patience` seconds.

    Then `StoreUnavailableError`.
    """
    loop, again = asyncio.get_running_loop(), pauses()
    give_up_at = loop.time() + patience
    while True:
        try:
            return await call()
        except StoreError as error:
            pause = next(again)
            if loop.time() + pause > give_up_at:
                is_open = isinstance(error, Ambiguous)
                done = "may or may not have been done" if is_open else "not done"
                message = f"no answer from the store ({done}): {error}"
                raise StoreUnavailableError(message) from error
        await asyncio.sleep(pause)
