"""What calls are sent over, whatever keeps it: a connection with its commands, and who has such connections."""

from __future__ import annotations

from typing import Any, Protocol

from kew.adapters.redis.wire import Wire
from kew.app.ports import Refused


class LibraryMissing(Refused):
    """The server doesn't have the library: it is new, lost its memory, or was flushed."""


class Link:
    """A connection in a pool. `load`: commands under way, of which `abandoned` are those whose caller has gone."""

    __slots__ = ("abandoned", "generation", "load", "pool", "wire")

    def __init__(self, pool: Connections, wire: Wire, generation: int) -> None:
        self.pool = pool
        self.wire = wire
        self.generation = generation
        self.load = 0
        self.abandoned = 0


class Connections(Protocol):
    """What calls are sent over: the pool of one server, or those of the nodes of a Cluster. `Pool` says the details."""

    async def call(self, request: bytes, within: float | None = None) -> Any: ...

    def at_hand(self) -> Link | None: ...

    def release(self, link: Link, reply: Any) -> None: ...

    def abandon(self, link: Link) -> None: ...

    def unsent(self, link: Link) -> None: ...

    def give_up_at(self, within: float | None = None) -> float: ...

    def store_error_of(self, error: Exception, within: float | None = None) -> Exception: ...

    def open(self) -> None: ...

    async def close(self) -> None: ...

    async def warm(self, count: int) -> None: ...
