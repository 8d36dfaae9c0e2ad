"""One call at a time, shared by all callers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Callers that arrive during a call share its result or error.

    If the caller that made the call is cancelled, another makes it again. So a caller waits for one call at most before
    its own.
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
            underway.exception()  # it is raised here; other callers need not retrieve it
            raise
        else:
            underway.set_result(result)
            return result
        finally:
            self._underway = None
            underway.cancel()  # unless it has ended
