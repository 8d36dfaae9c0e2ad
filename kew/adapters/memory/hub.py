"""Notifications within one process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kew.app.ports import Notice, Wakeup
from kew.compat import override
from kew.domain.errors import StoreUnsuitableError


class Hub:
    """Who listens in this namespace: managers of one event loop, since nothing here is safe between threads."""

    def __init__(self) -> None:
        self._listeners: dict[str, Callable[[Notice], None]] = {}
        self._of_loop: asyncio.AbstractEventLoop | None = None

    def add(self, incarnation: str, deliver: Callable[[Notice], None]) -> None:
        """Deliver to `incarnation` from now on. Raises `StoreUnsuitableError` where another loop's managers listen."""
        loop = asyncio.get_running_loop()
        if self._of_loop is not loop:
            if self._of_loop is not None and not self._of_loop.is_closed() and self._listeners:
                raise StoreUnsuitableError(
                    "a memory:// store is for the managers of one event loop, and those of another one use it; "
                    "give each loop a name of its own (memory://name), or use Redis"
                )
            self._listeners.clear()  # whoever is left ended with its loop
            self._of_loop = loop
        self._listeners[incarnation] = deliver

    def remove(self, incarnation: str) -> None:
        """Deliver no more to it."""
        self._listeners.pop(incarnation, None)

    def tell(self, incarnation: str, notice: Notice) -> bool:
        """Deliver soon; False: nobody of that name listens."""
        deliver = self._listeners.get(incarnation)
        if deliver is None:
            return False
        asyncio.get_running_loop().call_soon(deliver, notice)
        return True


class MemoryWakeup(Wakeup):
    """One listener of a hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._incarnation = ""

    @override
    async def listen(self, incarnation: str, deliver: Callable[[Notice], None]) -> None:
        self._incarnation = incarnation
        self._hub.add(incarnation, deliver)

    @override
    async def close(self) -> None:
        self._hub.remove(self._incarnation)
