"""Keys at the boundary: sixteen clients share a queue of 1,000 keys, some of them vanish with what they hold.

On Redis in real time, on the memory store with a clock that the clients move on.

No key ever has more holders than it may, and no window has more starts of it than its rate allows.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from random import Random

import pytest

from kew.adapters.memory.namespace import Namespace
from kew.adapters.memory.store import MemoryStore
from kew.adapters.redis.address import address
from kew.adapters.redis.store import RedisStore
from kew.app.ports import Announce, Declare, TaskStore
from kew.domain.config import Settings
from kew.domain.events import Succeeded
from kew.domain.requests import ClaimRequest, Settlement, Word
from tests.support.scene import SteppedClock, call, group

PROCESSES, KEYS, TASKS = 16, 1_000, 10_000
WORKERS, RATE = 1, (2, 1_500, 0)
LEASE_MS = 1_500
Q = "boundary"

Pause = Callable[[int], Awaitable[None]]  # others go on for so many ms; 0: for a moment


class Runs:
    """When each lease of a key began and ended at the latest, by the store's clock (ms)."""

    def __init__(self) -> None:
        self.by_key: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.done: set[str] = set()
        self.killed = 0

    def starts_too_many(self) -> list[str]:
        count, per, _ = RATE
        return [
            key
            for key, runs in self.by_key.items()
            for start, _ in runs
            if sum(start <= other < start + per for other, _ in runs) > count
        ]

    def holders_too_many(self) -> list[str]:
        return [
            key
            for key, runs in self.by_key.items()
            for start, _ in runs
            if sum(begin <= start < end for begin, end in runs) > WORKERS
        ]


async def process(store: TaskStore, number: int, runs: Runs, pause: Pause) -> None:
    """One client: it claims and settles; now and then it dies, and another begins in its place."""
    random, life, sequence, name = Random(number), 0, 0, ""
    while len(runs.done) < TASKS:
        if not name:
            life, sequence, name = life + 1, 0, f"p{number}x{life}"
            await store.do(Announce(Q, name, ("f",), 600_000))
        sequence += 1
        grant = await store.claim(
            Q, ClaimRequest(incarnation=name, lane=0, sequence=sequence, want=20, lease_ms=LEASE_MS)
        )
        await pause(0)
        if grant.tasks and random.random() < 0.02:
            runs.killed += len(grant.tasks)
            for task in grant.tasks:
                runs.by_key[task.call.key].append((task.started_at, task.started_at + LEASE_MS))
            name = ""
            continue
        outcomes = [
            Settlement(task_id=task.id, lease=task.lease, event=Succeeded(b""))
            for task in grant.tasks
        ]
        settled = await store.settle(Q, outcomes) if outcomes else None
        for task, outcome in zip(grant.tasks, settled.outcomes if settled else (), strict=True):
            assert outcome.word is Word.DONE
            assert settled is not None
            runs.by_key[task.call.key].append((task.started_at, settled.now_ms))
            runs.done.add(task.id)
        if not grant.tasks:
            await pause(20)


async def share(stores: Sequence[TaskStore], pause: Pause) -> None:
    """Each store is a client's. All of them together work until nothing is left to do."""
    settings = Settings(
        max_workers=10_000,
        max_size=100_000,
        max_deliveries=100,
        key_workers=WORKERS,
        key_rate=(RATE,),
    )
    await stores[0].do(Declare(Q, settings, "one"))
    for first in range(0, TASKS, KEYS):
        calls = [call(f"t{first + n}", key=f"k{n}", function="f") for n in range(KEYS)]
        await stores[0].submit(Q, [group(*calls)])
    runs = Runs()
    async with asyncio.TaskGroup() as processes:
        for number, store in enumerate(stores):
            processes.create_task(process(store, number, runs, pause))
    assert len(runs.done) == TASKS
    assert runs.killed > 0
    assert runs.starts_too_many() == []
    assert runs.holders_too_many() == []


@pytest.mark.no_cover
@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_no_key_ever_exceeds_its_limits_whatever_becomes_of_its_processes(
    clean_redis_url: str,
):
    async def pause(ms: int) -> None:
        if ms:
            await asyncio.sleep(ms / 1000)

    stores = [RedisStore(address(clean_redis_url)) for _ in range(PROCESSES)]
    await share(stores, pause)
    for store in stores:
        await store.close()


@pytest.mark.no_cover
@pytest.mark.timeout(180)
async def test_no_key_of_the_memory_store_does_either():
    clock, namespace = SteppedClock(), Namespace()

    async def pause(ms: int) -> None:
        clock.now += ms + 1
        await asyncio.sleep(0)

    await share([MemoryStore(clock, namespace) for _ in range(PROCESSES)], pause)
