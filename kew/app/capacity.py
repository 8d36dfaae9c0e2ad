"""A manager's `max_concurrency`: how many tasks all its queues may run at once, served by the queues' priority."""

from __future__ import annotations

from typing import Protocol


class Server(Protocol):
    """A queue's worker, as far as sharing capacity goes."""

    priority: int
    unmet: int  # slots that it would use if it had them; 0: it knows of no waiting work

    def load(self) -> int:
        """Slots in use or reserved."""
        ...

    def wake(self) -> None:
        """Look for work now."""


class Capacity:
    """Slots shared by the workers of one process; `total` None: no bound."""

    def __init__(self, total: int | None = None) -> None:
        self._total = total
        self._servers: list[Server] = []

    def join(self, server: Server) -> None:
        """Share with this worker from now on."""
        self._servers.append(server)

    def leave(self, server: Server) -> None:
        """Share with it no more."""
        if server in self._servers:
            self._servers.remove(server)

    def offer(self, server: Server, want: int, *, settling: int = 0) -> int:
        """How many of `want` slots it may use now; `settling` of its own are about to be free.

        What queues of a higher priority are known to want is left for them.
        """
        if self._total is None:
            return want
        free = self._total - sum(each.load() for each in self._servers) + settling
        free -= sum(each.unmet for each in self._servers if each.priority < server.priority)
        given = max(0, min(want, free))
        server.unmet = want - given
        return given

    def freed(self) -> None:
        """Slots became free: those who starve look for work, by priority."""
        if self._total is not None:
            for server in sorted(self._servers, key=lambda each: each.priority):
                if server.unmet:
                    server.wake()
