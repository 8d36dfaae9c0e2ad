"""The clocks that ship: nothing stands still here, and every wait is for the store's own clock to pass an instant."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kew.adapters.clocks import SystemClock
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.store import MemoryStore
from kew.adapters.redis import connect
from kew.adapters.redis.cluster import connect as connect_cluster
from kew.adapters.sqlite import connecting
from kew.app.partitions import PartitionedStore
from kew.domain.task import Task, TaskStatus
from tests.contracts.conftest import CLUSTER, STORES, urls_of
from tests.support.clusters import Cluster
from tests.support.scene import Scene, Worker


async def nobody_sets_it(now: int) -> None:
    raise AssertionError("this clock is the host's")


@pytest.fixture(params=[store for store in STORES if store != "partitions"])
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    """A store with the clock that it ships with."""
    if request.param == "memory":
        memory = MemoryStore(SystemClock())
        made = Scene(
            store=memory,
            set_clock=nobody_sets_it,
            new_wakeup=lambda: MemoryWakeup(memory.namespace.hub),
        )
    elif request.param == "sqlite":
        sqlite, listener = connecting.connect(f"sqlite://{tmp_path}/kew.db", "kew", SystemClock())
        made = Scene(store=sqlite, set_clock=nobody_sets_it, new_wakeup=lambda: listener)
    elif request.param == CLUSTER:
        cluster: Cluster = request.getfixturevalue("cluster")
        cluster.clear()
        stores, listening = connect_cluster(f"{cluster.url}?partitions=3")
        made = Scene(
            store=PartitionedStore(stores), set_clock=nobody_sets_it, new_wakeup=lambda: listening
        )
    else:
        redis, wakeup = connect(urls_of(request, request.param)[0])
        made = Scene(store=redis, set_clock=nobody_sets_it, new_wakeup=lambda: wakeup)
    await made.store.open()
    yield made
    await made.close()


async def store_ms(scene: Scene) -> int:
    return (await scene.status()).now_ms


async def pass_instant(scene: Scene, instant: int) -> None:
    """Return once the store's clock says `instant` or later."""
    async with asyncio.timeout(30):
        while (now := await store_ms(scene)) < instant:  # noqa: ASYNC110 - a clock has no event
            await asyncio.sleep((instant - now) / 1000)


async def claim_one(worker: Worker, **options: int) -> Task:
    (task,) = await worker.claim(1, **options)
    return task


async def test_the_stores_clock_tells_milliseconds_since_1970(scene: Scene):
    await scene.declare()
    before = time.time_ns() // 1_000_000
    now = await store_ms(scene)
    assert before - 1 <= now <= time.time_ns() // 1_000_000 + 1


async def test_the_stores_clock_goes_on(scene: Scene):
    await scene.declare()
    first = await store_ms(scene)
    await pass_instant(scene, first + 30)
    assert first + 30 <= await store_ms(scene) < first + 10_000


async def test_a_deferred_task_is_claimed_once_its_time_has_come_and_not_before(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await scene.submit("a", delay_ms=150)
    grant = await worker.ask()
    if not grant.tasks:  # else this machine slept for longer than that
        assert grant.wait_ms is not None
        assert 0 < grant.wait_ms <= 150
    due_at = (await scene.task("a")).ready_at
    await pass_instant(scene, due_at)
    (task,) = grant.tasks or await worker.claim()
    assert task.started_at >= due_at


async def test_a_lease_ends_by_the_stores_clock_and_its_task_is_taken_back(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    task = await claim_one(await scene.worker("w1"), lease_ms=100)
    assert task.lease_until == task.started_at + 100
    await pass_instant(scene, task.lease_until)
    again = await claim_one(await scene.worker("w2"))
    assert (again.id, again.losses) == ("a", 1)
    assert again.started_at >= task.lease_until


async def test_an_extended_lease_lasts_from_the_moment_of_extending(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await claim_one(worker, lease_ms=60_000)
    await pass_instant(scene, task.started_at + 20)
    await worker.extend(task, lease_ms=60_000)
    assert (await scene.task("a")).lease_until >= task.lease_until + 20


async def test_an_open_breaker_lets_a_probe_through_after_its_reset_time(scene: Scene):
    await scene.declare(breaker_failures=1, breaker_reset_ms=120)
    await scene.submit("a", "b")
    worker = await scene.worker()
    await worker.fail(await claim_one(worker))
    opened_at = (await scene.status()).state.breaker.opened_at
    await pass_instant(scene, opened_at + 120)
    assert [task.id for task in await worker.claim(5)] == ["b"]


async def test_an_ended_task_expires_by_the_stores_clock(scene: Scene):
    await scene.declare(task_ttl_ms=80)
    await scene.submit("a")
    await scene.cancel("a")
    found = await scene.find("a")
    if found is not None:
        assert found.status is TaskStatus.CANCELLED
        await pass_instant(scene, found.expires_at)
    assert await scene.find("a") is None
    assert (await scene.sweep()).removed == 1


async def test_a_presence_ends_by_the_stores_clock(scene: Scene):
    await scene.declare()
    await scene.worker("w1", ttl_ms=100)
    await pass_instant(scene, await store_ms(scene) + 100)
    assert list((await scene.status()).workers) == []
