"""No page and no command scans the keyspace or walks tasks: what they execute doesn't grow with what there is.

Redis counts the commands, with those inside of functions, and the bytes that it sends.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest

from kew import PerKey, QueueConfig, TaskQueueManager
from tests.support.commands import kew
from tests.support.redis_process import connect
from tests.unit.web.serving import served

FEW, MANY = 250, 2_000  # tasks of each kind; more than are on a page
GROWS_BY = 1.3
SCANS = {"cmdstat_keys", "cmdstat_scan"}
PATHS = (
    *("queues", "processes", "schedules", "tasks/w0", "tasks/w0/explain"),
    *("tasks/d0", "tasks/c0", "queues/mails", "queues/mails/history"),
    *(
        "queues/mails/tasks",
        "queues/mails/tasks?state=waiting",
        "queues/mails/tasks?state=waiting&key=k1",
    ),
    *("queues/mails/tasks?state=deferred", "queues/mails/tasks?state=failed"),
    *("queues/mails/dead-letters", "queues/mails/dead-letter-groups", "queues/mails/key-limits"),
    "queues/mails/breaker-history",
)
COMMANDS = (
    *("status", "queue show mails", "stats mails", "task ls mails", "task ls", "why w0"),
    *("dead ls mails", "dead groups mails", "key ls mails", "key show mails k1", "process ls"),
)


async def works(number: int = 0) -> None: ...


async def fails(number: int = 0) -> None:
    raise RuntimeError("it failed")


@attrs.frozen
class Counted:
    """What each read asks of a Redis: how many commands it executes, and how many bytes it sends."""

    client: Any
    found: dict[str, tuple[int, int]] = attrs.field(factory=dict)

    async def of(self, name: str, read: Callable[[], Awaitable[None]]) -> None:
        await read()  # once, for what is loaded at the first time
        self.client.config_resetstat()
        await read()
        stats, sent = self.client.info("commandstats"), self.client.info("stats")
        assert not SCANS & stats.keys(), name
        executed = sum(each["calls"] for each in stats.values())
        self.found[name] = (executed, sent["total_net_output_bytes"])


async def open_tasks(manager: TaskQueueManager) -> int:
    """How many wait or run."""
    status = await manager.get_queue_status("mails")
    return int(status["queued_tasks"] + status["current_workers"])


async def fill(manager: TaskQueueManager, number: int) -> None:
    """So many tasks that have completed, that failed, that wait, with keys and without; and limits of as many keys."""
    config = QueueConfig(
        "mails",
        per_key=PerKey(max_workers=1),
        max_size=10 * number,
        max_workers=50,
        max_retries=0,
        max_circuit_breaker_failures=None,
    )
    await manager.create_queue(config, functions=[works, fails])
    for prefix, function in (("c", works), ("d", fails)):
        tasks = [{"task_id": f"{prefix}{n}", "task_func": function} for n in range(number)]
        await manager.submit_tasks("mails", [{**each, "task_type": "t"} for each in tasks])
    async with asyncio.timeout(60):
        while await open_tasks(manager):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await manager.pause_queue("mails")
    waiting = [
        {
            "task_id": f"w{n}",
            "task_func": works,
            "task_type": "t",
            "key": f"k{n}" if n % 2 else None,
            "defer_by": 3600 if n % 3 == 0 else 0,
        }
        for n in range(number)
    ]
    await manager.submit_tasks("mails", waiting)
    for n in range(number):
        await manager.set_key_limit("mails", f"k{n}", max_workers=2)


async def counts(url: str, number: int) -> dict[str, tuple[int, int]]:
    """What each read takes, with so many tasks of each kind."""
    counted = Counted(connect(url))
    async with TaskQueueManager(url) as manager:
        await fill(manager, number)
        async with served(manager) as client:
            for path in PATHS:

                async def read(path: str = path) -> None:
                    assert (await client.get(f"/api/{path}")).status_code == 200, path

                await counted.of(path, read)
        for words in COMMANDS:

            async def command(words: str = words) -> None:
                printed = await kew(*words.split(), url=url)
                assert printed.code == 0, printed.err

            await counted.of(f"kew {words}", command)
    counted.client.close()
    return counted.found


@pytest.mark.slow(10)
async def test_what_a_read_executes_does_not_grow_with_tasks_and_keys(private_redis):
    few = await counts(private_redis().url, FEW)
    many = await counts(private_redis().url, MANY)
    grown = {
        name: (few[name], many[name])
        for name in few
        if any(
            b > GROWS_BY * a + 20 * unit
            for a, b, unit in zip(few[name], many[name], (1, 500), strict=True)
        )
    }
    assert grown == {}
