"""Notifications within one process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kew.app.notices import Notice, Wakeup
from kew.compat import override
from kew.domain.errors import StoreUnsuitableError


class Hub:
    """The listeners of a namespace: managers of one event loop, since this is not thread-safe."""

    def __init__(self) -> None:
        self._listeners: dict[str, Callable[[Notice], None]] = {}
        self._of_loop: asyncio.AbstractEventLoop | None = None

    def add(self, incarnation: str, deliver: Callable[[Notice], None]) -> None:
        """Deliver to `incarnation` from now on. Raises `StoreUnsuitableError` if managers of another loop listen."""
        loop = asyncio.get_running_loop()
        if self._of_loop is not loop:
            if self._of_loop is not None and not self._of_loop.is_closed() and self._listeners:
                raise StoreUnsuitableError(
                    "managers of another event loop use this memory:// store; "
                    "give each event loop its own store (memory://name), or use Redis"
                )
            self._listeners.clear()  # the remaining listeners ended with their loop
            self._of_loop = loop
        self._listeners[incarnation] = deliver

    def remove(self, incarnation: str) -> None:
        """Deliver nothing to it any more."""
        self._listeners.pop(incarnation, None)

    def notify(self, incarnation: str, notice: Notice) -> bool:
        """Deliver soon. False: no process of that name listens."""
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
