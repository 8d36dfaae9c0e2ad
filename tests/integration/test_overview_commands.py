"""What the overview of many queues, and a scrape of their metrics, ask of Redis.

`KEW_OVERVIEW_TASKS` sets how many tasks wait in the queues: the default is what CI runs. With 1000000 it takes some
minutes, and prints (`-s`) how long Redis and the process are busy.
"""

import os
import sys
import time
from collections.abc import Awaitable
from typing import Any, TypeVar

import attrs
import pytest

from kew import QueueConfig, TaskQueueManager
from kew.adapters.redis.pool import Pool
from kew.metrics.exporting import exposition
from kew.web.overview import Overview
from tests.support.redis_process import connect

QUEUES = 100
TASKS = int(os.environ.get("KEW_OVERVIEW_TASKS", "5000"))
KEYS = 50  # of each second queue
ROUNDS = 5
OTHERS = 2  # commands of the manager itself, meanwhile
HISTORY = "900 900 890 4 3 1 2 0 0 50 " + " ".join([",".join(["32"] * 28)] * 2)
A = TypeVar("A")


async def job(number: int = 0) -> None: ...


@attrs.define
class Watched:
    """A Redis, and what one call asks of it."""

    client: Any
    sent: list[object] = attrs.field(factory=list)

    async def call(self, name: str, answer: Awaitable[A]) -> tuple[int, int, A]:
        """How many commands it sends, how many these execute, and the answer. Prints how long they take."""
        self.sent.clear()
        self.client.config_resetstat()
        self.client.slowlog_reset()
        started, used = time.perf_counter(), time.process_time()
        found = await answer
        wall, used = time.perf_counter() - started, time.process_time() - used
        stats = self.client.info("commandstats")
        slowest = max(each["duration"] for each in self.client.slowlog_get(200))
        calls = {key: each for key, each in stats.items() if key.startswith("cmdstat_fcall")}
        busy = sum(each["usec"] for each in calls.values())
        executed = sum(each["calls"] for key, each in stats.items() if key not in calls)
        sys.stdout.write(
            f"{name}: {len(self.sent)} commands, which execute {executed}; Redis is busy for {busy / 1000:.1f} ms, "
            f"with one for {slowest / 1000:.1f} ms at most, this process for {1000 * used:.1f} ms; "
            f"{1000 * wall:.1f} ms in all\n"
        )
        return len(self.sent), executed, found


@pytest.fixture
def watched(private_redis, monkeypatch):
    server = private_redis()
    client = connect(server.url)
    client.config_set("slowlog-log-slower-than", 0)
    client.config_set("slowlog-max-len", 1_000)
    made = Watched(client)
    call = Pool.call

    def counted(pool, command, *more):
        made.sent.append(command)
        return call(pool, command, *more)

    monkeypatch.setattr(Pool, "call", counted)
    yield server.url, made
    client.close()


async def fill(manager: TaskQueueManager, client: Any) -> None:
    """Tasks in each queue, every tenth of them deferred, with keys in every other queue, and the history of an hour."""
    function = manager.task(name="job")(job)
    minute = int(client.time()[0]) // 60
    hour = {f"m{minute - n}": HISTORY for n in range(1, 61)}
    for queue in (f"q{n:03}" for n in range(QUEUES)):
        config = QueueConfig(queue, max_size=TASKS)
        await manager.create_queue(config, work=False)
        client.hset(f"kew:{{{queue}}}:history", mapping=hour)
        is_keyed = int(queue[1:]) % 2
        await manager.submit_tasks(
            queue,
            [
                {
                    "task_func": function,
                    "args": (n,),
                    "key": f"k{n % KEYS}" if is_keyed else None,
                    "defer_by": 0 if n % 10 else 3600,
                }
                for n in range(TASKS // QUEUES)
            ],
        )


async def test_the_overview_of_a_hundred_queues_takes_few_commands(watched):
    url, redis = watched
    async with TaskQueueManager(url) as manager:
        await fill(manager, redis.client)
        overview = Overview()
        sent, executed, found = await redis.call("overview", overview.read(manager))
        assert 0 <= sent - 2 * (1 + QUEUES / 25) <= OTHERS
        assert executed < 60 * QUEUES
        assert [row["name"] for row in found["queues"]] == [f"q{n:03}" for n in range(QUEUES)]
        for row in found["queues"]:
            assert row["queued_tasks"] == TASKS // QUEUES
            assert sum(row["history"]["submitted"]) >= 59 * 900
            assert len(row["history"]["wait_p95"]) == 60
        for _ in range(ROUNDS):
            # The histories are those of half a minute ago.
            sent, executed, _ = await redis.call("overview again", overview.read(manager))
            assert 0 <= sent - (1 + QUEUES / 25) <= OTHERS
        for _ in range(ROUNDS):
            sent, executed, text = await redis.call("scrape", exposition(manager))
            assert 0 <= sent - (1 + QUEUES / 25) <= OTHERS
            assert text.count(b"kew_queue_slots{") == QUEUES
