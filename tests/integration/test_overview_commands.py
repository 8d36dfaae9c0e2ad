"""How many commands the overview of many queues takes."""

import asyncio

from kew import QueueConfig, TaskQueueManager
from kew.adapters.redis.pool import Pool
from kew.web.overview import Overview

QUEUES = 100


async def job(number: int = 0) -> None: ...


async def test_the_overview_of_a_hundred_queues_takes_few_commands(clean_redis_url, monkeypatch):
    async with TaskQueueManager(clean_redis_url) as manager:
        for number in range(QUEUES):
            await manager.create_queue(QueueConfig(f"q{number:03}"), work=False)
        function = manager.task(queue="q007")(job)
        await asyncio.gather(*(function.submit(number) for number in range(50)))
        sent: list[object] = []
        call = Pool.call

        def counted(pool, command, *more):
            sent.append(command)
            return call(pool, command, *more)

        monkeypatch.setattr(Pool, "call", counted)
        overview = Overview()
        found = await overview.read(manager)
        assert len(sent) == 2 * (1 + QUEUES / 25)
        sent.clear()
        await overview.read(manager)  # the histories are those of half a minute ago
        assert len(sent) == 1 + QUEUES / 25
        assert [row["name"] for row in found["queues"]] == [f"q{n:03}" for n in range(QUEUES)]
        row = found["queues"][7]
        assert row["queued_tasks"] == sum(row["history"]["submitted"]) == 50
        assert len(row["history"]["wait_p95"]) == 60
