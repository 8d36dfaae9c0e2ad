"""A Redis that comes back with what it had some time ago, or with nothing, while processes go on."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest

from kew import QueueConfig, TaskQueueManager
from kew.exceptions import TaskUnreadableError
from tests.conftest import PrivateRedis
from tests.support import jobs
from tests.support.asking import end_of, status_once, submit
from tests.support.redis_process import ProcessRedis, connect

WELL_BELOW_A_RENEWAL = 5.0  # seconds; a presence is renewed every 20 s
QUIET: Any = {"max_circuit_breaker_failures": None}


@attrs.frozen
class Losing:
    """A server that can go back to a snapshot, and a manager."""

    server: ProcessRedis
    manager: TaskQueueManager

    def take_snapshot(self) -> None:
        with contextlib.closing(connect(self.server.url)) as client:
            client.save()

    def go_back(self) -> None:
        """Lose what was written since the snapshot."""
        self.server.kill()
        self.server.start()


@pytest.fixture
async def losing(private_redis: PrivateRedis, tmp_path: Any) -> AsyncIterator[Losing]:
    server = private_redis(directory=tmp_path, save="", appendonly="no")
    async with TaskQueueManager(server.url, tick=0.5) as manager:
        yield Losing(server, manager)


@pytest.mark.redis
async def test_a_function_whose_announcement_was_lost_runs_again_at_once(losing: Losing):
    manager = losing.manager
    await manager.create_queue(QueueConfig("q", max_workers=2), functions=[jobs.work])
    losing.take_snapshot()
    manager.register(jobs.echo)
    await submit(manager, "before", jobs.echo)
    assert (await end_of(manager, "before")).status == "completed"
    losing.go_back()
    await submit(manager, "after", jobs.echo)
    assert (await end_of(manager, "after", WELL_BELOW_A_RENEWAL)).status == "completed"


@pytest.mark.redis
async def test_a_closure_whose_completion_was_lost_ends_and_says_why(losing: Losing):
    manager = losing.manager
    await manager.create_queue(QueueConfig("q", lease=1.0))
    await submit(manager, "t", functools.partial(jobs.echo, 1), _defer_by=0.3)
    losing.take_snapshot()
    assert (await end_of(manager, "t")).status == "completed"
    losing.go_back()
    await asyncio.sleep(0)
    info = await end_of(manager, "t", WELL_BELOW_A_RENEWAL)
    assert info.status == "failed"
    assert "released it after its task had ended" in str(info.error)
    assert "the store lost its outcome" in str(info.error)


@pytest.mark.redis
async def test_settings_that_another_process_declares_after_a_loss_hold_for_all(losing: Losing):
    manager = losing.manager
    await manager.create_queue(QueueConfig("q", max_retries=0, **QUIET), functions=[jobs.fail])
    async with TaskQueueManager(losing.server.url) as other:
        losing.server.clear()
        await other.create_queue(
            QueueConfig("q", max_retries=2, retry_delay=0.01, **QUIET), work=False
        )
        await submit(other, "first", jobs.fail)  # its claim brings the news
        await end_of(other, "first")
        await submit(other, "second", jobs.fail)
        assert (await end_of(other, "second")).attempt == 3


# --- what is stored beside the records


LARGE = "x" * 5_000


async def lost_contents(url: str, manager: TaskQueueManager) -> None:
    """Three tasks wait; Redis has lost the payload of the second."""
    await manager.create_queue(QueueConfig("q"), work=False)
    for task_id, value in (("a", 1), ("b", LARGE), ("c", LARGE)):
        await submit(manager, task_id, jobs.echo, value=value)
    with contextlib.closing(connect(url)) as client:
        assert client.hlen("kew:contents") == 2
        client.hdel("kew:contents", "b")


@pytest.mark.parametrize("change", ["lost", "cut short"])
async def test_a_task_whose_payload_is_lost_is_set_aside_and_the_others_run(
    clean_redis_url: str, caplog: pytest.LogCaptureFixture, change: str
):
    caplog.set_level(logging.CRITICAL, logger="kew")
    async with (
        TaskQueueManager(clean_redis_url) as manager,
        TaskQueueManager(clean_redis_url) as worker,
    ):
        await lost_contents(clean_redis_url, manager)
        if change == "cut short":
            with contextlib.closing(connect(clean_redis_url)) as client:
                client.hset("kew:contents", "b", "xx")
        await worker.create_queue(QueueConfig("q"), functions=[jobs.echo])
        assert (await end_of(manager, "a")).status == "completed"
        assert (await end_of(manager, "c")).result == LARGE
        await status_once(manager, lambda now: now["unreadable_tasks"] == 1)
        await status_once(manager, lambda now: now["current_workers"] == 0)
        assert await manager.unreadable_tasks("q") == ["b"]
        with pytest.raises(TaskUnreadableError):
            await manager.get_task_status("b")
        assert await manager.remove_unreadable_task("q", "b") is True
        with contextlib.closing(connect(clean_redis_url)) as client:
            assert client.hkeys("kew:contents") == [b"c"]  # its result


async def test_a_result_that_is_lost_is_an_error_of_this_task_alone(
    clean_redis_url: str, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.CRITICAL, logger="kew")
    async with TaskQueueManager(clean_redis_url) as manager:
        await manager.create_queue(QueueConfig("q"), functions=[jobs.echo])
        for task_id in ("a", "b"):
            await submit(manager, task_id, jobs.echo, value=LARGE)
            await end_of(manager, task_id)
        with contextlib.closing(connect(clean_redis_url)) as client:
            client.hdel("kew:contents", "a")
        with pytest.raises(TaskUnreadableError, match="result is missing"):
            await manager.get_task_status("a")
        assert (await end_of(manager, "b")).result == LARGE
        await status_once(manager, lambda now: now["unreadable_tasks"] == 1)


async def test_nothing_is_left_beside_the_records_of_a_purged_namespace(clean_redis_url: str):
    async with TaskQueueManager(clean_redis_url) as manager:
        await lost_contents(clean_redis_url, manager)
        await manager.cancel_task("c")
        await manager.cleanup()
        with contextlib.closing(connect(clean_redis_url)) as client:
            assert client.exists("kew:tasks", "kew:contents") == 0
