"""The two sides of a copy to a Cluster or from one: a namespace whose keys have the same names on both."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Protocol

import attrs

from kew.adapters.redis.address import Address
from kew.adapters.redis.cluster.node import Node
from kew.adapters.redis.cluster.store import PartitionStore
from kew.adapters.redis.copying import (
    PIECE,
    Entry,
    Kind,
    Server,
    digest_of,
    words,
)
from kew.adapters.redis.keys import Keys
from kew.adapters.redis.library import Argument
from kew.adapters.redis.records import queue_of
from kew.adapters.redis.wire import packed
from kew.app.ports import Find, StoreError
from kew.compat import override
from kew.domain.errors import StoreUnavailableError, StoreUnsuitableError
from kew.domain.partitions import LAYOUT_ID, RESERVED, laid_out, partition_of

SHARED: Final = ("tasks", "contents", "queues", "schedules")  # of all queues, and copied
NOT_COPIED: Final = ("processes", "copying", "confirmed")
Routed = tuple[str, Entry]  # an entry, and the queue that it belongs to


@attrs.frozen(order=True)
class Name:
    """A key, wherever it is. `queue` "": one of the whole namespace."""

    queue: str
    part: bytes

    def __str__(self) -> str:
        return f"{self.queue}: {self.part.decode(errors='replace')}" if self.queue else self.shared

    @property
    def shared(self) -> str:
        """Of the whole namespace: which one."""
        return self.part.decode(errors="replace")


class Reserving(Protocol):
    """What reserves ids in their homes."""

    async def reserve(self, ids: Sequence[str], partition: int) -> Sequence[str]:
        """Reserve ids for a partition. Returns those that are in use elsewhere."""


class Router(Protocol):
    """The store above the partitions: opening it says in each of them which one it is."""

    @property
    def reservations(self) -> Reserving: ...
    async def open(self) -> None: ...
    async def close(self) -> None: ...


class Partition(Server):
    """A partition, at whichever node serves it."""

    def __init__(self, store: PartitionStore) -> None:
        super().__init__(store.address)
        self._store = store

    @override
    async def call(self, *command: Argument) -> Any:
        try:
            return await self._store.functions.questions.call(packed(*command))
        except StoreError as error:
            raise StoreUnavailableError(str(error)) from error


class Side:
    """A namespace on one server."""

    def __init__(self, servers: Sequence[Server], keys: Sequence[Keys], shown: str) -> None:
        self.servers = servers
        self.keys = keys
        self.shown = shown
        self.namespace = keys[0].namespace

    @classmethod
    def of_server(cls, address: Address, namespace: str) -> Side:
        """That of a single server."""
        return cls([Server(address)], [Keys(namespace)], f"{address.where}/{address.database}")

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Disconnect."""
        for server in self.servers:
            server.close()

    async def check_layout(self) -> None:
        """Raises `StoreUnsuitableError` if the namespace has another number of partitions."""

    async def prepare(self) -> None:
        """Be ready for entries."""

    async def reserve(self, ids: Sequence[str], partition: int) -> Sequence[str]:
        """The ids that can't be used there."""
        return ()

    async def processes(self) -> int:
        """How many listen to its notifications."""
        return await self.servers[0].processes(self.keys[0])

    async def all_keys(self) -> Sequence[bytes]:
        """Its keys."""
        return await self.servers[0].keys(self.keys[0])

    def named(self, key: bytes) -> Name:
        """What a key is called, wherever it is."""
        _, _, rest = key.partition(b":")
        queue, is_of_queue, part = rest.partition(b"}:")
        return Name(queue[1:].decode(), part) if is_of_queue else Name("", rest)

    # --- keys

    async def names(self) -> list[Name]:
        """What there is to copy."""
        found = {self.named(key) for key in await self.all_keys()}
        for name in found:
            if not name.queue and name.shared not in (*SHARED, *NOT_COPIED):
                raise StoreUnsuitableError(f"{name} at {self.shown} is no key that this kew knows")
        copied = [name for name in found if name.queue != RESERVED and name.queue]
        return [Name("", each.encode()) for each in SHARED if Name("", each.encode()) in found] + [
            *sorted(copied)
        ]

    def places(self, name: Name) -> list[tuple[Server, bytes]]:
        """Where it is: its keys, with the server of each."""
        if not name.queue:
            keys = [keys.key(name.shared).encode() for keys in self.keys]
            return list(zip(self.servers, keys, strict=True))
        place = partition_of(name.queue, len(self.keys))
        start = self.keys[place].key("state", name.queue).encode().removesuffix(b"state")
        return [(self.servers[place], start + name.part)]

    async def kind(self, name: Name) -> Kind | None:
        """Its type."""
        kinds = [await server.kind(key) for server, key in self.places(name)]
        return next((kind for kind in kinds if kind is not None), None)

    # --- entries

    async def pieces(self, name: Name) -> AsyncIterator[list[Routed]]:
        """Its entries, a piece at a time, without those that partitions have for themselves."""
        for server, key in self.places(name):
            async for piece in server.pieces(key):
                queues = [name.queue] * len(piece)
                if not name.queue:
                    tasks = key.removesuffix(name.part) + b"tasks"
                    queues = await self._queues_of(server, tasks, name.shared, piece)
                pairs = zip(queues, piece, strict=True)
                yield [(queue, entry) for queue, entry in pairs if queue != RESERVED]

    async def _queues_of(
        self, server: Server, tasks: bytes, part: str, piece: Sequence[Entry]
    ) -> list[str]:
        try:
            if part == "queues":
                return [entry[0].decode() for entry in piece]
            if part == "schedules":
                return [entry[1].partition(b"\n")[0].split(b" ")[5].decode() for entry in piece]
            records: list[bytes | None] = [entry[-1] for entry in piece]
            if part == "contents" and piece:  # what belongs to no task is left where it is
                records = await server.call("HMGET", tasks, *(entry[0] for entry in piece))
            return [RESERVED if raw is None else queue_of(raw) for raw in records]
        except (IndexError, UnicodeDecodeError) as error:
            raise StoreUnsuitableError(
                f"{part} at {self.shown} has an entry that names no queue: remove it"
            ) from error

    async def count(self, name: Name) -> int:
        """How many entries it has."""
        if not name.queue:
            return (await self.digest(name))[0]
        ((server, key),) = self.places(name)
        return await server.count(key)

    async def digest(self, name: Name) -> tuple[int, str]:
        """How many entries it has, and a digest of them."""
        if name.queue:
            ((server, key),) = self.places(name)
            return await server.digest(key)
        seen = set[bytes]()
        async for piece in self.pieces(name):
            seen.update(digest_of(entry) for _, entry in piece)
        return len(seen), hashlib.blake2b(b"".join(sorted(seen))).hexdigest()

    async def clear(self, name: Name) -> None:
        """Remove a queue's key. The others have entries of the partitions, and keep what is written again."""
        if name.queue:
            ((server, key),) = self.places(name)
            await server.call("UNLINK", key)

    async def write(self, name: Name, kind: Kind, piece: Sequence[Routed]) -> None:
        """Add entries."""
        places = self.places(name)
        by_place: dict[int, list[Entry]] = {}
        for queue, entry in piece:
            place = 0 if name.queue else partition_of(queue, len(self.keys))
            by_place.setdefault(place, []).append(entry)
        for place, entries in by_place.items():
            server, key = places[place]
            await server.call(kind.add, key, *words(kind, entries))

    # --- the mark of an unfinished copy

    async def mark(self, *command: str) -> Any:
        """The answer to such a command for the mark: GET, SET with its value, or DEL."""
        return await self.servers[0].call(command[0], self.keys[0].copy_mark, *command[1:])


class ClusterSide(Side):
    """A namespace on a Cluster. `router` None: it has one partition."""

    def __init__(self, stores: Sequence[PartitionStore], router: Router | None) -> None:
        self._stores = stores
        self._router = router
        self._is_prepared = False
        servers, keys = [Partition(store) for store in stores], [store.keys for store in stores]
        super().__init__(servers, keys, f"{stores[0].address.where}?partitions={len(stores)}")

    @override
    async def open(self) -> None:
        for store in self._stores:
            await store.open()

    @override
    async def close(self) -> None:
        if self._router is not None and self._is_prepared:
            await self._router.close()
        for store in self._stores:
            await store.close()

    @override
    async def check_layout(self) -> None:
        try:
            (record,) = await self._stores[0].do(Find([LAYOUT_ID]))
        except StoreError as error:
            raise StoreUnavailableError(str(error)) from error
        layout = laid_out(record)
        found = 1 if layout is None else layout.partitions
        if found != len(self._stores):
            raise StoreUnsuitableError(
                f"the namespace {self.namespace} at {self.shown} has {found} partitions: "
                f"end its URL with ?partitions={found}"
            )

    @override
    async def prepare(self) -> None:
        if self._router is not None:
            await self._router.open()
            self._is_prepared = True

    @override
    async def reserve(self, ids: Sequence[str], partition: int) -> Sequence[str]:
        if self._router is None:
            return ()
        try:
            return await self._router.reservations.reserve(ids, partition)
        except StoreError as error:
            raise StoreUnavailableError(str(error)) from error

    @override
    async def processes(self) -> int:
        pattern = f"{{{self.namespace}:*}}:to:*"
        told = await self._of_each_node("PUBSUB", "SHARDCHANNELS", pattern)
        return len({channel.rpartition(b":")[2] for channels in told for channel in channels})

    @override
    async def all_keys(self) -> Sequence[bytes]:
        found = set[bytes]()
        for node in self._nodes():
            cursor = b"0"
            while True:
                cursor, some = await self._ask(
                    node, "SCAN", cursor, "MATCH", f"{{{self.namespace}:*}}:*", "COUNT", PIECE
                )
                found.update(some)
                if cursor == b"0":
                    break
        return sorted(found)

    @override
    def named(self, key: bytes) -> Name:
        _, _, rest = key.partition(b"}:")
        if not rest.startswith(b"q:"):
            return Name("", rest)
        queue, _, part = rest.removeprefix(b"q:").partition(b":")
        return Name(queue.decode(), part)

    def _nodes(self) -> list[Node]:
        """The primaries that serve the partitions."""
        return self._stores[0].primaries()

    async def _of_each_node(self, *command: Argument) -> list[Any]:
        return [await self._ask(node, *command) for node in self._nodes()]

    async def _ask(self, node: Node, *command: Argument) -> Any:
        try:
            return await node.pools.questions.call(packed(*command))
        except StoreError as error:
            raise StoreUnavailableError(str(error)) from error
