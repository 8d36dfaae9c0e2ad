"""Things that callers share, one at a time: taken at once where one is free, else waited for in turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Pool(Generic[T]):
    """What was given back last is taken first. `free` is what can be taken at once."""

    def __init__(self, things: Iterable[T]) -> None:
        self.free = list(things)
        self._waiting: deque[asyncio.Future[T]] = deque()

    def take(self) -> T:
        """One that is free."""
        return self.free.pop()

    async def taken(self) -> T:
        """The next one that is given back."""
        turn: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(turn.result())  # it was handed over in the same moment
            raise

    def give(self, thing: T) -> None:
        """Hand it over to whoever has waited longest, or let it be free."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(thing)
                return
        self.free.append(thing)
