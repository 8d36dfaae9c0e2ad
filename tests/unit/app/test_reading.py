"""A process that reads, steers or submits changes nothing for the processes that work."""

from __future__ import annotations

import asyncio
import logging

import attrs
import pytest

from kew import QueueConfig, QueueNotFoundError, QueuePriority, TaskNotFoundError, TaskQueueManager
from kew.adapters.memory.connecting import _shared as shared
from kew.adapters.memory.namespace import Namespace
from kew.app import maintainer as maintaining
from kew.app.inspector import purged
from kew.app.ports import ReadSettings
from kew.domain.snapshot import Snapshot
from kew.domain.task import TaskStatus
from tests.support import jobs

OWN = QueueConfig(
    "q", max_retries=5, max_circuit_breaker_failures=9, max_workers=7, priority=QueuePriority.HIGH
)


def everything(name: str) -> dict[str, tuple[Snapshot, dict[str, int], dict[str, None]]]:
    """All that a memory store remembers, but the time at which it was read last."""
    namespace: Namespace = shared[name, "kew"]
    return {
        queue: (known.indexed.snapshot(), dict(known.presence), dict(known.idle))
        for queue, known in namespace.queues.items()
    }


async def settings_of(manager: TaskQueueManager) -> tuple[int, int]:
    found = await manager._parts.store.do(ReadSettings("q"))
    assert found is not None
    return found.settings.max_retries, found.settings.max_workers


async def test_a_process_that_does_not_work_never_changes_the_settings(
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.INFO, logger="kew")
    async with (
        TaskQueueManager("memory://settings") as worker,
        TaskQueueManager("memory://settings") as web,
    ):
        await worker.create_queue(OWN)
        await web.create_queue(QueueConfig("q"), work=False)
        assert await settings_of(web) == (5, 7)
        assert "max_retries 0 -> 5" in caplog.text
        assert "WARNING" not in caplog.text
        info = await web.submit_task("t", "q", "t", jobs.echo, None, 1)
        assert info.priority == QueuePriority.HIGH
        assert (await web.get_queue_status("q"))["processes"] == [worker._here().incarnation]


async def test_it_creates_a_queue_that_there_is_not_and_its_settings_last_until_a_worker_comes():
    async with (
        TaskQueueManager("memory://first") as worker,
        TaskQueueManager("memory://first") as web,
    ):
        await web.create_queue(QueueConfig("q", max_retries=1, max_workers=2), work=False)
        assert await settings_of(web) == (1, 2)
        assert (await web.get_queue_status("q"))["processes"] == []
        await worker.create_queue(OWN)
        assert await settings_of(web) == (5, 7)
        await (
            web.cleanup()
        )  # all processes bring the queue back, and none of them overrides another


async def test_it_follows_what_a_worker_declares_later(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(maintaining, "FOLLOWED_EVERY", 0.01)
    async with (
        TaskQueueManager("memory://later") as worker,
        TaskQueueManager("memory://later") as web,
    ):
        await web.create_queue(QueueConfig("q"), work=False)
        await worker.create_queue(OWN)
        async with asyncio.timeout(30):
            while web._served["q"].maintainer.priority != QueuePriority.HIGH:  # noqa: ASYNC110 - no event to wait for
                await asyncio.sleep(0.01)


async def test_a_queue_that_the_store_lost_is_brought_back_without_overriding_another():
    async with (
        TaskQueueManager("memory://lost") as worker,
        TaskQueueManager("memory://lost") as web,
    ):
        await web.create_queue(QueueConfig("q"), work=False)
        await purged(worker._parts.store, "q")
        await worker.create_queue(OWN, functions=[jobs.echo])
        handle = web.handle(await web.submit_task("t", "q", "t", jobs.echo, None, 1))
        assert await handle.result(timeout=30) == 1
        assert await settings_of(web) == (5, 7)


async def test_a_queue_that_the_store_lost_gets_the_settings_back_that_were_in_force():
    async with (
        TaskQueueManager("memory://forgot") as worker,
        TaskQueueManager("memory://forgot") as web,
    ):
        await worker.create_queue(OWN, functions=[jobs.echo])
        await web.create_queue(QueueConfig("q"), work=False)
        web._parts.store.namespace.queues.clear()  # type: ignore[attr-defined]
        await web.submit_task("t", "q", "t", jobs.echo, None, 1)
        assert await settings_of(web) == (5, 7)


async def test_every_command_works_on_a_queue_of_others_and_leaves_its_settings():
    async with (
        TaskQueueManager("memory://steered") as worker,
        TaskQueueManager("memory://steered") as admin,
    ):
        await worker.create_queue(
            attrs.evolve(OWN, max_circuit_breaker_failures=2), functions=[jobs.echo]
        )
        await admin.record_failure("q")
        assert (await admin.get_queue_status("q"))["consecutive_failures"] == 1
        await admin.record_failure("q")
        assert (await admin.get_queue_status("q"))["circuit_breaker_status"] == "open"
        await worker.submit_task("t", "q", "t", jobs.echo, None, 1)
        await admin.reset_breaker("q")
        assert (await admin.get_queue_status("q"))["circuit_breaker_status"] == "closed"
        assert await admin.handle(await admin.get_task_status("t")).result(timeout=30) == 1
        await admin.pause_queue("q")
        await worker.submit_task("u", "q", "t", jobs.echo, None, 1)
        assert await admin.cancel_task("u")
        assert await admin.replay_task("u")
        await admin.resume_queue("q")
        assert await admin.handle(await admin.get_task_status("u")).result(timeout=30) == 1
        assert [each async for each in admin.failed_tasks("q")] == []
        assert await settings_of(admin) == (5, 7)
        assert (await admin.get_queue_status("q"))["processes"] == [worker._here().incarnation]


@pytest.mark.parametrize("url", ["memory://nothing"])
async def test_commands_on_a_queue_that_there_is_not_leave_nothing_behind(url: str):
    async with TaskQueueManager(url) as manager:
        for ask in (
            manager.get_queue_status,
            manager.pause_queue,
            manager.resume_queue,
            manager.reset_breaker,
            manager.record_failure,
        ):
            with pytest.raises(QueueNotFoundError):
                await ask("nowhere")
        with pytest.raises(QueueNotFoundError):
            [each async for each in manager.failed_tasks("nowhere")]
        for about in (manager.get_task_status, manager.cancel_task, manager.replay_task):
            with pytest.raises(TaskNotFoundError):
                await about("nobody")
        assert await manager.get_ongoing_tasks() == []
        assert await manager.get_queue_names() == []
        assert everything("nothing") == {}


async def test_reading_leaves_the_store_as_it_was():
    async with (
        TaskQueueManager("memory://read") as worker,
        TaskQueueManager("memory://read") as reader,
    ):
        await worker.create_queue(OWN, functions=[jobs.echo])
        handle = worker.handle(await worker.submit_task("t", "q", "t", jobs.echo, None, 1))
        await handle.result(timeout=30)
        await worker.pause_queue("q")
        await worker.submit_task("u", "q", "t", jobs.echo, None, 1)
        before = everything("read")
        await reader.get_queue_status("q")
        await reader.get_task_status("u")
        await reader.get_ongoing_tasks()
        await reader.get_queue_names()
        assert [each async for each in reader.failed_tasks("q")] == []
        assert everything("read") == before
        assert (await reader.get_task_status("u")).status is TaskStatus.QUEUED
