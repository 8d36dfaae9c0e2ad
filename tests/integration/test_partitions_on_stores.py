"""Reservations are records of a store: Redis and a file keep them, and give them back, as memory does."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kew.adapters.redis import RedisStore, where
from kew.adapters.redis.library import Library
from kew.adapters.sqlite.address import Address
from kew.adapters.sqlite.store import SqliteStore
from kew.app.partitions import PartitionedStore
from kew.app.partitions.reserving import GIVEN_BACK_AFTER_MS
from kew.app.ports import Cancel, Declare, Find, Forget, Queues, TaskStore
from kew.domain.config import Settings
from kew.domain.requests import LifeRef, Word
from kew.domain.task import Task
from tests.conftest import VERSIONS
from tests.support.partitions import Partitions
from tests.support.redis_source import RedisPool
from tests.support.scene import START_MS, SteppedClock, call, group
from tests.support.stores import CLOCK_FROM_A_KEY, CLOCK_KEY, raw_client

STORES = ["sqlite", pytest.param("redis", marks=pytest.mark.redis)]


@contextlib.asynccontextmanager
async def stores_of(
    kind: str, path: Path, url: str
) -> AsyncIterator[tuple[list[TaskStore], SteppedClock]]:
    """Three stores, and the clock of those that are files."""
    clock = SteppedClock()
    if kind == "sqlite":
        addresses = [Address(str(path / f"{n}.db"), "off") for n in range(3)]
        yield [SqliteStore(address, "kew", clock) for address in addresses], clock
    else:
        library = Library({"now": CLOCK_FROM_A_KEY})
        yield [RedisStore(where(url), f"part{n}", library=library) for n in range(3)], clock


@pytest.fixture(params=STORES)
async def router(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[PartitionedStore, SteppedClock, str]]:
    """A router over three stores with a queue in each."""
    url = ""
    if request.param == "redis":
        pool: RedisPool = request.getfixturevalue("redis_pool")
        server = pool.of_version(VERSIONS[next(iter(VERSIONS))])
        server.clear()
        url = server.url
        await set_clock(url, START_MS)
    async with stores_of(request.param, tmp_path, url) as (stores, clock):
        made = PartitionedStore(stores)
        await made.open()
        yield made, clock, url
        await made.close()


async def set_clock(url: str, now: int) -> None:
    client = raw_client(url)
    await client.set(CLOCK_KEY, now)
    await client.aclose()


async def test_ids_are_reserved_given_back_and_used_again(
    router: tuple[PartitionedStore, SteppedClock, str],
):
    store, clock, url = router
    names = Partitions()
    queues, task_id, spare = (
        [names.queue_in(n) for n in range(3)],
        names.id_at(0),
        names.id_at(0, "x"),
    )
    for queue in queues:
        await store.do(Declare(queue, Settings(), queue))
    assert await store.do(Queues()) == sorted(queues)

    async def submit(place: int, nonce: str) -> Word:
        answer = await store.submit(queues[place], [group(call(task_id, nonce=nonce))])
        return answer.outcomes[0].word

    for n, place in enumerate((1, 2, 0, 1)):
        assert await submit(place, f"n{n}") is Word.DONE
        assert await submit(place, f"n{n}") is Word.SAME
        assert await submit((place + 1) % 3, "another") is Word.DUPLICATE
        (task,) = await store.do(Find([task_id]))
        assert isinstance(task, Task)
        assert task.queue == queues[place]
        await store.do(Cancel(task.queue, task_id, task.life))
        assert await store.do(Forget(task.queue, [LifeRef(task_id, task.life)])) == [Word.DONE]

    await store.reservations.reserve([spare], 1)
    assert await store.do(Find([spare])) == [None]
    later = START_MS + GIVEN_BACK_AFTER_MS
    for now in (later, later + GIVEN_BACK_AFTER_MS):
        clock.now = now
        if url:
            await set_clock(url, now)
        for number in range(3):
            await store.reservations.tend(number)
    for part in store.stores:
        assert await part.do(Find([spare, task_id])) == [None, None], (
            "neither is reserved, nor blocked"
        )
