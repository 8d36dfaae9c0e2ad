"""Whether a process is live and ready, as a probe asks: with the store there, silent, and gone."""

from __future__ import annotations

import asyncio

from kew import Parts, QueueConfig, TaskQueueManager
from kew.adapters.clocks import SystemClock
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.store import MemoryStore
from kew.compat import override
from kew.domain.config import TICK
from kew.domain.requests import ClaimRequest, Grant
from tests.integration.conftest import Managers
from tests.support import jobs
from tests.support.proxy import Proxy

QUEUE = QueueConfig("q", max_workers=4, lease=3)


async def test_a_process_is_live_and_ready_while_the_store_answers(
    store_url: str, managers: Managers
):
    manager = await managers(store_url, process_name="web-1")
    await manager.create_queue(QUEUE, functions=[jobs.echo])
    health = await manager.health()
    assert (health.live, health.ready, health.process) == (True, True, "web-1")
    assert health.reasons == ()
    assert health.store_seconds is not None
    assert health.to_dict()["reasons"] == []


async def test_a_process_that_only_submits_is_ready_while_the_store_answers(
    store_url: str, managers: Managers
):
    manager = await managers(store_url)
    assert (await manager.health()).ready


async def test_a_manager_that_has_not_begun_or_has_ended_is_not_ready():
    manager = TaskQueueManager("memory://")
    before = await manager.health()
    assert (before.live, before.ready, before.process) == (True, False, None)
    assert "initialize" in before.reasons[0]
    async with manager:
        assert (await manager.health()).ready
    assert not (await manager.health()).ready


async def test_a_process_that_shuts_down_is_live_and_no_longer_ready(managers: Managers):
    manager = await managers("memory://")
    await manager.create_queue(QUEUE)
    begun, end = asyncio.Event(), asyncio.Event()

    async def waits() -> None:
        begun.set()
        await end.wait()

    await manager.submit_task("t", "q", "t", waits)
    await begun.wait()
    ending = asyncio.create_task(manager.shutdown())
    await asyncio.sleep(0)
    health = await manager.health()
    end.set()
    await ending
    assert (health.live, health.ready) == (True, False)
    assert health.reasons == ("it is shutting down",)


async def test_a_claim_loop_that_ended_makes_a_process_neither_live_nor_ready(managers: Managers):
    manager = await managers("memory://")
    await manager.create_queue(QUEUE)
    [claims] = [one for one in asyncio.all_tasks() if one.get_name() == "kew-claims-q"]
    claims.cancel()
    await asyncio.wait([claims])
    health = await manager.health()
    assert (health.live, health.ready) == (False, False)
    assert health.reasons == ("queue q: its claim loop has ended",)


async def test_a_socket_that_goes_silent_under_load_makes_it_unready_and_work_resumes_by_itself(
    clean_redis_url: str, managers: Managers
):
    ended = asyncio.Semaphore(0)

    async def counts() -> None:
        ended.release()

    async with Proxy(clean_redis_url, lambda _: None) as proxy:
        manager = await managers(f"{proxy.url}?socket_timeout=6")
        await manager.create_queue(QUEUE)
        submit = manager.task(queue="q")(counts).submit
        await asyncio.gather(*(submit() for _ in range(100)))
        await ended.acquire()
        proxy.silence()
        waiting = asyncio.gather(*(submit() for _ in range(20)))
        async with asyncio.timeout(TICK):
            health = await manager.health()
        assert (health.live, health.ready) == (True, False)
        assert any("no answer" in reason for reason in health.reasons)
        async with asyncio.timeout(60):
            await waiting
            for _ in range(119):
                await ended.acquire()
            while not (await manager.health()).ready:
                pass
        await manager.shutdown()


class Deaf(MemoryStore):
    """Its claims have no answer until it hears; everything else has."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.hears = asyncio.Event()

    @override
    async def claim(self, queue: str, request: ClaimRequest) -> Grant:
        await self.hears.wait()
        return await super().claim(queue, request)


async def test_a_claim_without_an_answer_makes_it_unready_although_the_store_answers(
    managers: Managers,
):
    store = Deaf()
    parts = Parts(store=store, wakeup=MemoryWakeup(store.namespace.hub))
    manager = await managers("", parts=parts)
    await manager.create_queue(QUEUE)
    await asyncio.sleep(0.1)
    assert (await manager.health()).ready
    health = await manager.health(timeout=0.05)
    assert (health.live, health.ready) == (True, False)
    assert health.reasons[0].startswith("queue q: a claim has had no answer for 0.1")
    assert health.store_seconds is not None
    store.hears.set()
    await asyncio.sleep(0)
    await manager._here().workers["q"].drain()
    assert (await manager.health(timeout=0.05)).ready


async def test_a_redis_that_cannot_be_reached_makes_it_unready(
    clean_redis_url: str, managers: Managers
):
    proxy = Proxy(clean_redis_url, lambda _: None)
    async with proxy:
        manager = await managers(proxy.url)
        await manager.create_queue(QUEUE)
    health = await manager.health()
    assert (health.live, health.ready, health.store_seconds) == (True, False, None)
    assert health.reasons[0].startswith("the store can't be used: ")
