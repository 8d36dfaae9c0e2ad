"""One call at a time for all that want it done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Whoever asks while a call is under way shares how that one ends, an error too.

    Where the one that made it is cancelled, another makes it again. So nobody waits for more than one call and its own.
    """

    def __init__(self, call: Callable[[], Awaitable[T]]) -> None:
        self._call = call
        self._underway: asyncio.Future[T] | None = None

    async def __call__(self) -> T:
        """What the call returns. Raises what it raises."""
        while self._underway is not None:
            underway = self._underway
            await asyncio.wait({underway})  # unlike `await`, it doesn't cancel it for the others
            if not underway.cancelled():
                return underway.result()
        return await self._made()

    async def _made(self) -> T:
        self._underway = underway = asyncio.get_running_loop().create_future()
        try:
            result = await self._call()
        except Exception as error:
            underway.set_exception(error)
            underway.exception()  # it is raised here, and need not be asked for by others
            raise
        else:
            underway.set_result(result)
            return result
        finally:
            self._underway = None
            underway.cancel()  # unless it has ended
