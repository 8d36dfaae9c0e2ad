"""A share of what Redis holds is damaged at random while tasks are submitted and run.

Every task whose record was left alone completes. What can't be read is counted, listed and removable, and the queue
goes on. The seed decides what is damaged and how; when that meets a task differs from run to run.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from functools import partial
from random import Random
from typing import Any

import attrs
import pytest

from kew import QueueConfig, TaskInfo, TaskQueueManager, TaskStatus
from kew.exceptions import TaskNotFoundError, TaskUnreadableError
from tests.integration.conftest import Managers
from tests.support import jobs
from tests.support.asking import once, status_once
from tests.support.redis_process import connect

TASKS, DAMAGED, SUBMITTERS = 240, 0.25, 4
INDEXES = ("line2", "waiting2", "leases", "ended", "idle", "hungry", "unreadable")


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="kew")


@attrs.define
class Vandal:
    """Another program, which damages records and puts entries of its own into indexes."""

    client: Any
    random: Random
    touched: set[str] = attrs.field(factory=set)

    def damage(self, task_id: str) -> None:
        """This record, in one of several ways, if it is there."""
        raw = self.client.hget("kew:tasks", task_id)
        if raw is None:
            return  # damaged before
        self.touched.add(task_id)
        if self.random.random() < 0.2:
            self.client.hdel("kew:tasks", task_id)
        else:
            self.client.hset("kew:tasks", task_id, self._changed(raw))

    def _changed(self, raw: bytes) -> bytes:
        random = self.random
        match random.randrange(4):
            case 0:
                return random.randbytes(random.randrange(1, 200))
            case 1:
                return raw[: random.randrange(1 + len(raw) // 2)]
            case 2:
                fields = raw.partition(b"\n")[0].split(b" ")
                fields[random.randrange(len(fields))] = b"?"
                return b" ".join(fields) + b"\n"
            case _:
                return b""

    def add_an_entry(self) -> None:
        """An entry of no task, in any index."""
        name, entry = (
            self.random.choice(INDEXES),
            self.random.randbytes(self.random.randrange(1, 40)),
        )
        key, at = f"kew:{{q}}:{name}", self.random.choice((0, 1))
        match name:
            case "line2":
                self.random.choice((self.client.lpush, self.client.rpush))(key, entry)
            case "hungry":
                self.client.hset(key, entry, entry)
            case _:
                self.client.zadd(key, {entry: at})

    def spoil_keys_of(self, queue: str) -> None:
        """Strings in place of all its keys."""
        for key in self.client.keys(f"kew:{{{queue}}}:*"):
            self.client.delete(key)
            self.client.set(key, self.random.randbytes(20))


@pytest.fixture
def client(clean_redis_url: str) -> Iterator[Any]:
    with contextlib.closing(connect(clean_redis_url)) as client:
        yield client


@pytest.mark.parametrize("seed", range(4))
async def test_tasks_of_undamaged_records_complete_and_what_cannot_be_read_is_listed(
    clean_redis_url: str, managers: Managers, client: Any, seed: int
):
    vandal = Vandal(client, Random(seed))
    manager = await managers(clean_redis_url, tick=0.05)
    config = QueueConfig("q", lease=0.5, max_workers=6, max_deliveries=50, max_size=10_000)
    for worker in [await managers(clean_redis_url, tick=0.05) for _ in range(2)]:
        await worker.create_queue(config, functions=[asyncio.sleep, jobs.echo])
    await manager.create_queue(config, work=False)
    await manager.create_queue(QueueConfig("other"))

    async def submit(first: int) -> None:
        for n in range(first, TASKS, SUBMITTERS):
            delay: Any = {"_defer_by": 0.05} if n % 3 == 0 else {}
            seconds = 0.02 * vandal.random.random()
            await manager.submit_task(f"t{n}", "q", "t", asyncio.sleep, None, seconds, **delay)
            if vandal.random.random() < DAMAGED:
                vandal.damage(f"t{max(0, n - vandal.random.randrange(20))}")
            if vandal.random.random() < 0.1:
                vandal.add_an_entry()
            if n == TASKS // 2:
                vandal.spoil_keys_of("other")

    await asyncio.gather(*(submit(first) for first in range(SUBMITTERS)))
    ids = [f"t{n}" for n in range(TASKS)]
    for task_id in ids:
        if task_id not in vandal.touched:
            await once(partial(manager.get_task_status, task_id), has_completed)
    assert len(vandal.touched) > TASKS * DAMAGED / 2
    unreadable = {task_id for task_id in vandal.touched if await is_unreadable(manager, task_id)}
    assert len(unreadable) > TASKS * DAMAGED / 4
    await status_once(manager, lambda now: now["current_workers"] + now["queued_tasks"] == 0)
    listed = await manager.unreadable_tasks("q")
    ended = {entry.decode("utf-8", "replace") for entry in client.zrange("kew:{q}:ended", 0, -1)}
    assert unreadable <= set(listed) | ended, "what had ended before is met when it expires"
    assert (await manager.get_queue_status("q"))["unreadable_tasks"] == len(listed)

    for task_id in listed:
        assert await manager.remove_unreadable_task("q", task_id) is True
    assert await manager.unreadable_tasks("q") == []
    for task_id in sorted(unreadable.intersection(listed)):
        info = await manager.submit_task(task_id, "q", "t", jobs.echo, None, "again")
        assert await manager.handle(info).result(timeout=30) == "again"


def has_completed(info: TaskInfo) -> bool:
    return info.status is TaskStatus.COMPLETED


async def is_unreadable(manager: TaskQueueManager, task_id: str) -> bool:
    """It is reported as unreadable; otherwise it is missing, or its record was replaced when it ended."""
    try:
        await manager.get_task_status(task_id)
    except TaskUnreadableError:
        return True
    except TaskNotFoundError:
        pass
    return False
