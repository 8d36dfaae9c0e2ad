"""`python -m benchmarks.processes`: what many processes on one Redis cost it, idle and busy.

The processes are managers in one Python process, each with its own connections, presence and subscription, so Redis
sees what as many processes would do. What is counted doesn't depend on how busy this machine is: commands, bytes,
connections, memory. `--processes 1,10,100` says how many, `--seconds` for how long they are watched while nothing
happens, and `--tasks` how many tasks are then submitted to them, one after another.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import platform
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import attrs
import redis

from kew import QueueConfig, TaskQueueManager
from kew.handles import TaskHandle
from tests.support.redis_process import ProcessRedis, connect, server_version
from tests.support.redis_source import any_binary

QUEUE: Final = QueueConfig("q", max_workers=1000, max_size=1_000_000)
OURS: Final = ("info", "client", "config")
SETTLES: Final = 3.0  # seconds after the start, until what begins has begun
HEADER: Final = (
    "| processes | connections | memory of them, KiB each | idle: commands /s each | idle: bytes /s each "
    "| per task: commands | calls | notifications | bytes |"
)


async def echo(value: int) -> int:
    """Return it."""
    return value


@attrs.frozen
class Counted:
    """What a Redis has done so far."""

    commands: int  # those inside functions included
    calls: int
    notifications: int
    transferred: int  # bytes, both ways

    def since(self, before: Counted) -> Counted:
        """The difference."""
        each = zip(attrs.astuple(self), attrs.astuple(before), strict=True)
        return Counted(*(later - earlier for later, earlier in each))


def counted(client: redis.Redis) -> Counted:
    """What it says of itself now. Its own commands are left out, but not their bytes."""
    stats: dict[str, Any] = client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): int(each["calls"]) for name, each in stats.items()}
    network: dict[str, Any] = client.info("stats")
    return Counted(
        commands=sum(n for name, n in calls.items() if name.partition("|")[0] not in OURS),
        calls=calls.get("fcall", 0),
        notifications=calls.get("publish", 0),
        transferred=network["total_net_input_bytes"] + network["total_net_output_bytes"],
    )


@contextlib.asynccontextmanager
async def serving(url: str, processes: int) -> AsyncIterator[None]:
    """So many processes that work on one queue."""
    async with contextlib.AsyncExitStack() as stack:
        for number in range(processes):
            manager = TaskQueueManager(url, process_name=f"p{number}")
            await stack.enter_async_context(manager)
            await manager.create_queue(QUEUE, functions=[echo])
        await asyncio.sleep(SETTLES)
        yield


async def work(url: str, client: redis.Redis, tasks: int) -> tuple[float, Counted]:
    """Have tasks run, one after another: how long that takes, and what Redis does meanwhile."""
    async with TaskQueueManager(url) as manager:
        await manager.create_queue(QUEUE, work=False, functions=[echo])
        loop = asyncio.get_running_loop()
        began, before = loop.time(), counted(client)
        for number in range(tasks):
            info = await manager.submit_task(f"t-{number}", "q", "t", echo, None, number)
            assert await TaskHandle[int](manager, info).result() == number
        return loop.time() - began, counted(client).since(before)


async def row(processes: int, seconds: float, tasks: int) -> str:
    """A row of the table."""
    server = ProcessRedis(binary=any_binary()).start()
    try:
        with contextlib.closing(connect(server.url)) as client:
            async with serving(server.url, processes):
                memory = client.info("memory")["mem_clients_normal"] / 1024
                connections = client.info("clients")["connected_clients"] - 1
                before = counted(client)
                own = counted(client).since(before)
                before = counted(client)
                await asyncio.sleep(seconds)
                idle = counted(client).since(before).since(own)
                took, busy = await work(server.url, client, tasks)
                busy = busy.since(own)
    finally:
        server.stop()
    share = took / seconds  # of what is done in that time anyway

    def per_task(name: str) -> float:
        total: float = getattr(busy, name) - share * getattr(idle, name)
        return total / tasks

    of_each = [idle.commands / seconds / processes, idle.transferred / seconds / processes]
    figures = [
        *(f"{processes:,}", f"{connections:,}", f"{memory / processes:.1f}"),
        *(f"{of_each[0]:.2f}", f"{of_each[1]:.0f}"),
        *(f"{per_task(name):.1f}" for name in ("commands", "calls", "notifications")),
        f"{per_task('transferred'):,.0f}",
    ]
    return f"| {' | '.join(figures)} |"


async def table(processes: Sequence[int], seconds: float, tasks: int) -> None:
    """Print it."""
    server = ProcessRedis(binary=any_binary()).start()
    version = server_version(server.url)
    server.stop()
    today = datetime.now(UTC).date()
    print(f"{today}, Redis {version}, {platform.system()} {platform.machine()}", end=", ")
    print(f"Python {platform.python_version()}, {seconds:g} s idle, {tasks} tasks\n")
    print(HEADER)
    print("|" + " --- |" * HEADER.count(" | ") + " --- |")
    for count in processes:
        print(await row(count, seconds, tasks), flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", default="1,10,100")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--tasks", type=int, default=200)
    given = parser.parse_args()
    counts = [int(each) for each in given.processes.split(",")]
    asyncio.run(table(counts, given.seconds, given.tasks))


if __name__ == "__main__":
    main()
