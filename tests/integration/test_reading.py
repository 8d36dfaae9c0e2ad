"""What reads a queue in Redis leaves every key as it was."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from kew import QueueConfig, QueueNotFoundError, TaskNotFoundError, TaskQueueManager
from tests.support import jobs
from tests.support.redis_process import connect as plain_client


def dump(url: str) -> dict[Any, Any]:
    with contextlib.closing(plain_client(url)) as client:
        keys: Any = client.keys("*")
        return {key: client.dump(key) for key in keys}


async def read_all(manager: TaskQueueManager, queue: str) -> None:
    await manager.get_queue_names()
    await manager.get_ongoing_tasks()
    await manager.get_queue_status(queue)
    assert [each async for each in manager.failed_tasks(queue)] == []


async def test_commands_on_a_queue_that_there_is_not_leave_no_key(clean_redis_url: str):
    async with TaskQueueManager(clean_redis_url) as manager:
        for ask in (
            lambda: read_all(manager, "nowhere"),
            lambda: manager.pause_queue("nowhere"),
            lambda: manager.resume_queue("nowhere"),
            lambda: manager.reset_breaker("nowhere"),
            lambda: manager.record_failure("nowhere"),
        ):
            with pytest.raises(QueueNotFoundError):
                await ask()
        for about in (manager.get_task_status, manager.cancel_task, manager.replay_task):
            with pytest.raises(TaskNotFoundError):
                await about("nobody")
        assert dump(clean_redis_url) == {}


async def test_reading_changes_no_key(clean_redis_url: str):
    async with TaskQueueManager(clean_redis_url) as web:
        await web.create_queue(QueueConfig("q"), work=False)
        await web.submit_task("t", "q", "t", jobs.echo, None, 1)
        before = dump(clean_redis_url)
        await read_all(web, "q")
        await web.get_task_status("t")
        async with TaskQueueManager(clean_redis_url) as other:
            await other.create_queue(QueueConfig("q", max_retries=9), work=False)
            await read_all(other, "q")
        assert dump(clean_redis_url) == before
