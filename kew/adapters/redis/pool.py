"""Things that callers share, one at a time: taken at once where one is free, else waited for in turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Pool(Generic[T]):
    """`free` is what can be taken at once, from its end."""

    def __init__(self, things: Iterable[T]) -> None:
        self.free = list(things)
        self._waiting: deque[asyncio.Future[T]] = deque()

    def take(self) -> T:
        """The free one that was given last. Raises IndexError where none is."""
        return self.free.pop()

    async def taken(self) -> T:
        """The next one that is given, for those who wait in turn."""
        turn: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(turn.result())  # it was handed over in the same moment
            raise

    def give(self, thing: T) -> None:
        """Hand it over to whoever has waited longest, or let it be the next to be taken."""
        if not self._waiting or not self._handed_over(thing):
            self.free.append(thing)

    def give_last(self, thing: T) -> None:
        """The same, but it is taken after all others that are free."""
        if not self._handed_over(thing):
            self.free.insert(0, thing)

    def _handed_over(self, thing: T) -> bool:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(thing)
                return True
        return False
