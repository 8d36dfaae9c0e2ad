"""Every store that the contracts are held against, with its clock in the test's hand.

The Redis store's clock is one Lua include; here it is replaced by one that reads a key, which the test writes. On a
Cluster no key is in every slot, so there the library of each primary keeps it in a variable.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from redis import asyncio as aredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.store import MemoryStore
from kew.adapters.redis import RedisStore, RedisWakeup, where
from kew.adapters.redis.cluster import connect
from kew.adapters.redis.library import UNNAMED, Library
from kew.adapters.sqlite.address import Address
from kew.adapters.sqlite.notifying import SqliteWakeup
from kew.adapters.sqlite.store import SqliteStore
from kew.app.partitions import PartitionedStore, PartitionedWakeup
from tests.support.clusters import Cluster
from tests.support.scene import START_MS, Scene, SteppedClock

CLOCK_KEY = "test:clock"
CLOCK_FROM_A_KEY = f"""
local function clock_ms()
  return tonumber(redis.call('GET', '{CLOCK_KEY}'))
end
"""
CLOCK_FROM_A_FUNCTION = f"""
local test_now = {START_MS}
redis.register_function{{function_name = '{UNNAMED}_clock', callback = function(keys, args)
  test_now = tonumber(args[1])
end}}
local function clock_ms()
  return test_now
end
"""


def raw_client(url: str) -> Any:
    """A client of the test's own, which reads and writes keys as they are. `Any`: its stubs promise text, not bytes."""
    return aredis.Redis.from_url(url, retry=Retry(NoBackoff(), 0))


def memory_scene() -> Scene:
    """The memory store."""
    clock = SteppedClock()
    store = MemoryStore(clock)

    async def set_clock(now: int) -> None:
        clock.now = now

    return Scene(
        store=store, set_clock=set_clock, new_wakeup=lambda: MemoryWakeup(store.namespace.hub)
    )


def partitioned_scene(
    stores: Sequence[MemoryStore] = (), clock: SteppedClock | None = None
) -> Scene:
    """A namespace whose partitions are these memory stores; without any, three new ones."""
    clock = clock or SteppedClock()
    stores = stores or [MemoryStore(clock) for _ in range(3)]

    async def set_clock(now: int) -> None:
        clock.now = now

    return Scene(
        store=PartitionedStore(stores),
        set_clock=set_clock,
        new_wakeup=lambda: PartitionedWakeup(
            [MemoryWakeup(store.namespace.hub) for store in stores]
        ),
    )


def sqlite_scene(path: Path) -> Scene:
    """The SQLite store on a new file, which isn't synced: none of these tests survives a power failure."""
    clock = SteppedClock()
    where = Address(str(path), "off")

    async def set_clock(now: int) -> None:
        clock.now = now

    return Scene(
        store=SqliteStore(where, "kew", clock),
        set_clock=set_clock,
        new_wakeup=lambda: SqliteWakeup(where.path, "kew"),
    )


@contextlib.asynccontextmanager
async def redis_scene(url: str, server_url: str = "") -> AsyncIterator[Scene]:
    """The Redis store by this URL, its clock read from a key of the server behind it."""
    client = raw_client(server_url or url)
    address = where(url)

    async def set_clock(now: int) -> None:
        await client.set(CLOCK_KEY, now)

    await set_clock(START_MS)
    try:
        yield Scene(
            store=RedisStore(address, library=Library({"now": CLOCK_FROM_A_KEY})),
            set_clock=set_clock,
            new_wakeup=lambda: RedisWakeup(address),
        )
    finally:
        await client.aclose()


@contextlib.asynccontextmanager
async def cluster_scene(cluster: Cluster, partitions: int) -> AsyncIterator[Scene]:
    """The Redis store on a Cluster, its clock set in each primary."""
    library = Library({"now": CLOCK_FROM_A_FUNCTION})
    stores, wakeup = connect(f"{cluster.url}?partitions={partitions}", library=library)
    clients = [raw_client(node.url) for node in cluster.primaries()]

    async def set_clock(now: int) -> None:
        for client in clients:
            await client.execute_command("FCALL", f"{library.name}_clock", 0, now)

    for client in clients:
        with contextlib.suppress(ResponseError):  # it has it already
            await client.execute_command("FUNCTION", "LOAD", library.text)
    await set_clock(START_MS)
    try:
        yield Scene(store=PartitionedStore(stores), set_clock=set_clock, new_wakeup=wakeup.again)
    finally:
        for client in clients:
            await client.aclose()
