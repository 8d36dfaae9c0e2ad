"""Repeating an operation of the store until it is answered: the same call with the same identity, so it is safe."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from kew.app.ports import StoreError

T = TypeVar("T")
logger = logging.getLogger("kew")
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0


async def until_answered(what: str, call: Callable[[], Awaitable[T]]) -> T:
    """The answer, however long it takes; cancelling ends the repeating, not a call that is under way in the store."""
    pause = FIRST_PAUSE
    while True:
        try:
            answer = await call()
        except StoreError as error:
            if pause == FIRST_PAUSE:
                logger.warning("%s: no answer from the store, repeating: %s", what, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        else:
            if pause != FIRST_PAUSE:
                logger.warning("%s: the store answers again", what)
            return answer
