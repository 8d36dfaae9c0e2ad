"""How soon work is begun by a process that could begin it: it is told, and need not look."""

import asyncio
import contextlib
from typing import Any

from kew import QueueConfig, TaskQueueManager
from kew.app.ports import Announce
from kew.domain.requests import ClaimRequest
from tests.integration.conftest import Managers
from tests.support import jobs
from tests.support.asking import record_of

SECONDS_WITHOUT_A_LOOK = 10.0  # an idle worker looks by itself this seldom here


async def test_a_worker_that_runs_what_it_submitted_is_told_of_what_others_submit(
    store_url: str, managers: Managers
):
    worker = await managers(store_url, tick=SECONDS_WITHOUT_A_LOOK)
    submitter = await managers(store_url)
    await worker.create_queue(QueueConfig("q", max_workers=2), functions=[jobs.echo])
    await submitter.create_queue(QueueConfig("q", max_workers=2), work=False)
    await asyncio.sleep(0.1)  # until the worker has found nothing
    held = await worker.submit_task("held", "q", "t", asyncio.sleep, None, 60)
    async with asyncio.timeout(SECONDS_WITHOUT_A_LOOK / 2):
        await submitter.submit_task("other", "q", "t", jobs.echo, None, value="now")
        await record_of(submitter, "q", "other")
    assert await worker.cancel_task(held.task_id)


BARRIERS: dict[str, asyncio.Barrier] = {}


async def meet() -> None:
    """It ends once all of them run at the same time."""
    await BARRIERS["started"].wait()


async def test_sixty_tasks_start_in_sixty_idle_processes_without_a_poll(clean_redis_url: str):
    BARRIERS["started"] = asyncio.Barrier(60)
    async with contextlib.AsyncExitStack() as stack:
        processes = []
        for _ in range(60):
            manager = await stack.enter_async_context(
                TaskQueueManager(clean_redis_url, tick=SECONDS_WITHOUT_A_LOOK)
            )
            config = QueueConfig("q", max_workers=100, max_workers_per_process=1)
            await manager.create_queue(config, functions=[meet])
            processes.append(manager)
        tasks: list[Any] = [
            {"task_id": f"t{n}", "task_type": "test", "task_func": meet} for n in range(60)
        ]
        submitter = processes[-1]
        infos = await submitter.submit_tasks("q", tasks)
        async with asyncio.timeout(SECONDS_WITHOUT_A_LOOK / 2):
            await asyncio.gather(*(submitter.handle(info).result() for info in infos))


async def test_killed_idle_processes_delay_no_live_one(clean_redis_url: str):
    async with TaskQueueManager(clean_redis_url, tick=SECONDS_WITHOUT_A_LOOK) as manager:
        store = manager._parts.store
        await manager.create_queue(QueueConfig("q"), work=False)
        function = f"{jobs.__name__}:echo"
        for n in range(45):
            await store.do(Announce("q", f"dead{n}", [function], 60_000))
            claim = ClaimRequest(incarnation=f"dead{n}", lane=1, sequence=1, want=1, lease_ms=1_000)
            assert (await store.claim("q", claim)).tasks == ()
        async with TaskQueueManager(clean_redis_url, tick=SECONDS_WITHOUT_A_LOOK) as worker:
            await worker.create_queue(QueueConfig("q"), functions=[jobs.echo])
            info = await manager.submit_task("t", "q", "test", jobs.echo, None, 7)
            async with asyncio.timeout(SECONDS_WITHOUT_A_LOOK / 2):
                assert await manager.handle(info).result() == 7
