"""Steering a queue from another process: draining, purging, overrides and notes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kew import (
    InvalidConfigError,
    QueueConfig,
    QueueDrainingError,
    QueueFullError,
    QueueNotFoundError,
    Rate,
    TaskCancelledError,
    TaskFailedError,
    TaskQueueManager,
)
from kew.app import steering
from tests.support import jobs

SOON = 5.0


@pytest.fixture
async def admin() -> AsyncIterator[TaskQueueManager]:
    """A process that declares nothing."""
    async with TaskQueueManager("memory://steering") as manager:
        yield manager
        await manager.cleanup()


def worker() -> TaskQueueManager:
    return TaskQueueManager("memory://steering")


async def test_a_drained_queue_accepts_nothing_finishes_what_it_has_and_ends_empty(
    admin: TaskQueueManager,
):
    async with worker() as manager:
        await manager.create_queue(QueueConfig("q", max_retries=1, retry_delay=0))
        attempts = 0

        @manager.task(queue="q")
        async def flaky() -> int:
            nonlocal attempts
            attempts += 1
            if attempts == 1:
                raise ValueError("again")
            return attempts

        await admin.pause_queue("q")
        handle = await flaky.submit()
        failed = await flaky.options(task_id="failed").submit()
        assert await failed.cancel()
        await admin.drain_queue("q", note="Eve: moving")
        for submitter in (manager, admin):
            with pytest.raises(
                QueueDrainingError, match=r"await manager.resume_queue\('q'\)"
            ) as one:
                await submitter.submit_task("new", "q", "t", jobs.echo, None, 1)
            assert (one.value.queue, one.value.accepted) == ("q", ())
        with pytest.raises(QueueDrainingError):
            await manager.submit_tasks(
                "q", [{"task_id": "new", "task_type": "t", "task_func": jobs.echo, "args": (1,)}]
            )
        with pytest.raises(QueueDrainingError):
            await admin.replay_task("failed")
        why = await admin.explain("failed")
        assert [reason.code for reason in why.reasons] == ["ended", "draining"]
        assert "(Eve: moving)" in str(why)
        assert "its queue is draining since" in str(await admin.explain(handle))

        await admin.resume_queue("q")
        await admin.drain_queue("q")
        async with asyncio.timeout(SOON):
            assert await handle.result() == 2
        status = await admin.get_queue_status("q")
        assert (status["queued_tasks"], status["current_workers"], status["draining"]) == (
            0,
            0,
            True,
        )
    async with worker() as manager:
        await manager.create_queue(QueueConfig("q", max_size=9))
        with pytest.raises(QueueDrainingError):
            await manager.submit_task("new", "q", "t", jobs.echo, None, 1)
        status = await admin.get_queue_status("q")
        assert (status["max_size"], status["draining"]) == (9, True)
        await admin.resume_queue("q")
        await manager.submit_task("new", "q", "t", jobs.echo, None, 1)


async def test_why_and_since_when_a_queue_is_paused_appears_where_people_look(
    admin: TaskQueueManager,
):
    async with worker() as manager:
        await manager.create_queue(QueueConfig("q"))
        await admin.pause_queue("q", note="Eve: the disk is full")
        await manager.submit_task("t", "q", "t", jobs.echo, None, 1)
        status = await manager.get_queue_status("q")
        assert status["pause_note"] == "Eve: the disk is full"
        assert status["pause_since"].endswith("+00:00")
        assert "(Eve: the disk is full), until resume_queue()" in str(await manager.explain("t"))
        await admin.resume_queue("q")
        status = await manager.get_queue_status("q")
        assert (status["paused"], status["pause_note"], status["pause_since"]) == (False, "", None)
        with pytest.raises(InvalidConfigError, match="note must be one line"):
            await admin.pause_queue("q", note="two\nlines")
        assert (await manager.get_queue_status("q"))["paused"] is False


async def test_a_purge_cancels_what_waits_in_steps_and_those_who_wait_for_it_are_told(
    admin: TaskQueueManager, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(steering, "AT_ONCE", 3)
    async with worker() as manager:
        await manager.create_queue(QueueConfig("q"))
        echo = manager.task(queue="q")(jobs.echo)
        await admin.pause_queue("q")
        handles = [await echo.options(defer_by=n % 2).submit(n) for n in range(8)]
        waiting = asyncio.create_task(handles[5].result())
        await asyncio.sleep(0)
        assert await admin.purge_queue("q") == 8
        assert await admin.purge_queue("q") == 0
        async with asyncio.timeout(SOON):
            with pytest.raises(TaskCancelledError):
                await waiting
    with pytest.raises(QueueNotFoundError):
        await admin.purge_queue("other")
    with pytest.raises(QueueNotFoundError):
        await admin.purge_queue("no queue has this name")


async def test_an_override_of_max_workers_applies_to_a_process_whose_slots_are_all_taken(
    admin: TaskQueueManager,
):
    async with worker() as manager:
        await manager.create_queue(QueueConfig("q", max_workers=1))
        running, is_over = asyncio.Semaphore(0), asyncio.Event()

        @manager.task(queue="q")
        async def wait() -> None:
            running.release()
            await is_over.wait()

        handles = [await wait.submit() for _ in range(3)]
        async with asyncio.timeout(SOON):
            await running.acquire()
            assert (await admin.get_queue_status("q"))["current_workers"] == 1
            await admin.set_overrides("q", max_workers=3)
            await running.acquire()
            await running.acquire()
            is_over.set()
            for handle in handles:
                await handle.result()


async def test_overrides_of_retries_and_timeout_apply_to_tasks_that_say_nothing_else(
    admin: TaskQueueManager,
):
    async with worker() as manager:
        await manager.create_queue(QueueConfig("q", max_circuit_breaker_failures=None))
        attempts = dict.fromkeys(("plain", "own"), 0)

        @manager.task(queue="q")
        async def plain() -> None:
            attempts["plain"] += 1
            await asyncio.Event().wait()

        @manager.task(queue="q", task_timeout=0.1, max_retries=0)
        async def own() -> None:
            attempts["own"] += 1
            await asyncio.Event().wait()

        await admin.set_overrides("q", max_retries=2, retry_delay=0, task_timeout=0.02)
        async with asyncio.timeout(SOON):
            with pytest.raises(TaskFailedError, match=r"timed out after 0.02 s"):
                await (await plain.submit()).result()
            with pytest.raises(TaskFailedError, match=r"timed out after 0.1 s"):
                await (await own.submit()).result()
        assert attempts == {"plain": 3, "own": 1}


async def test_an_override_says_who_set_it_and_when(admin: TaskQueueManager):
    async with TaskQueueManager("memory://steering", process_name="web") as manager:
        await manager.create_queue(QueueConfig("q", max_workers=8))
        before = datetime.now(UTC)
        await manager.set_overrides("q", max_workers=2, max_retries=1)
        await admin.queue("q").set_overrides(by="ada@ops-1", max_workers=2, max_retries=5)
        found = await admin.overrides("q")
        assert {name: (each.value, each.by) for name, each in found.items()} == {
            "max_workers": (2, "web"),
            "max_retries": (5, "ada@ops-1"),
        }
        times = [each.set_time for each in found.values()]
        assert all(at is not None and abs(at - before) < timedelta(minutes=1) for at in times)
        shown = (await admin.get_queue_status("q"))["overrides"]["max_retries"]
        assert shown["by"] == "ada@ops-1"
        assert datetime.fromisoformat(shown["set_time"]) == found["max_retries"].set_time


@pytest.mark.parametrize("by", ["two\nlines", "x" * 501, 7])
async def test_who_sets_an_override_is_named_in_one_line(admin: TaskQueueManager, by: Any):
    with pytest.raises(InvalidConfigError, match=r"by must be one line of at most 500"):
        await admin.set_overrides("q", by=by, max_workers=2)


async def test_overrides_survive_the_end_of_all_processes_and_another_declaration(
    admin: TaskQueueManager,
):
    async with worker() as manager:
        await manager.create_queue(QueueConfig("q", max_workers=8))
        await admin.set_overrides("q", max_workers=2, rate=Rate(5, per=1))
    await admin.set_overrides("q", max_circuit_breaker_failures=None)
    async with worker() as manager:
        await manager.create_queue(QueueConfig("q", max_workers=16, max_retries=4))
        found = await manager.overrides("q")
        assert {name: (each.value, each.declared) for name, each in found.items()} == {
            "max_workers": (2, 16),
            "rate": ((Rate(5, per=1),), ()),
            "max_circuit_breaker_failures": (None, 3),
        }
        status = await manager.get_queue_status("q")
        assert status["max_workers"] == 2
        shown = json.loads(json.dumps(status))["overrides"]
        assert {name: (each["value"], each["declared"]) for name, each in shown.items()} == {
            "max_workers": (2, 16),
            "rate": ([{"count": 5, "per": 1.0, "burst": None}], []),
            "max_circuit_breaker_failures": (None, 3),
        }
        await manager.remove_overrides("q", "rate")
        assert set(await admin.overrides("q")) == {"max_workers", "max_circuit_breaker_failures"}
        await admin.remove_overrides("q")
        assert await admin.overrides("q") == {}
        assert (await manager.get_queue_status("q"))["max_workers"] == 16


async def test_a_full_queue_has_room_once_its_max_size_is_raised(admin: TaskQueueManager):
    async with worker() as manager:
        await manager.create_queue(QueueConfig("q", max_size=1), work=False)
        await manager.submit_task("one", "q", "t", jobs.echo, None)
        with pytest.raises(QueueFullError):
            await manager.submit_task("two", "q", "t", jobs.echo, None)
        await admin.set_overrides("q", max_size=2)
        await manager.submit_task("two", "q", "t", jobs.echo, None)
        assert (await admin.get_queue_status("q"))["max_size"] == 2


async def test_a_draining_queue_takes_no_max_size_and_keeps_draining(admin: TaskQueueManager):
    async with worker() as manager:
        await manager.create_queue(QueueConfig("q", max_size=7), work=False)
        await admin.set_overrides("q", max_workers=2)
        await admin.drain_queue("q")
        with pytest.raises(InvalidConfigError, match="is draining"):
            await admin.set_overrides("q", max_size=9)
        await admin.remove_overrides("q")
        status = await admin.get_queue_status("q")
        assert (status["draining"], status["max_size"], status["overrides"]) == (True, 7, {})


async def test_a_wrong_override_changes_nothing(admin: TaskQueueManager):
    async with worker() as manager:
        await manager.create_queue(QueueConfig("q"))
        with pytest.raises(InvalidConfigError, match="max_workers must be a whole number"):
            await admin.set_overrides("q", max_retries=3, max_workers=0)
        with pytest.raises(InvalidConfigError, match="can't be overridden"):
            await admin.set_overrides("q", lease=3)  # type: ignore[call-arg]
        with pytest.raises(InvalidConfigError, match="can't be overridden"):
            await admin.remove_overrides("q", "lease")
        assert await admin.overrides("q") == {}
    for name in ("other", "no queue has this name"):
        with pytest.raises(QueueNotFoundError):
            await admin.overrides(name)
        with pytest.raises(QueueNotFoundError):
            await admin.remove_overrides(name)
    with pytest.raises(QueueNotFoundError):
        await admin.set_overrides("other", max_workers=2)


async def test_a_process_that_starts_later_obeys_what_was_overridden_before(
    admin: TaskQueueManager,
):
    """Its retries, its slots and its timeout, though its own declaration changes nothing that it could hear of."""
    async with worker() as first:
        await first.create_queue(QueueConfig("q", max_retries=3), work=False)
        await admin.set_overrides("q", max_retries=0)
        async with worker() as manager:

            @manager.task(queue="q")
            async def fail() -> None:
                raise ValueError("boom")

            await manager.create_queue(QueueConfig("q", max_retries=3))
            failing = await fail.submit()
            with pytest.raises(TaskFailedError):
                await failing.result(timeout=SOON)
            assert (await failing.status()).attempt == 1


async def test_a_handle_on_a_queue_steers_it_without_declaring_it(admin: TaskQueueManager):
    handle = admin.queue("q")
    assert (handle.name, repr(handle)) == ("q", "<QueueHandle 'q'>")
    with pytest.raises(QueueNotFoundError):
        await handle.running()
    async with worker() as manager:
        await manager.create_queue(QueueConfig("q"))
        is_running, is_over = asyncio.Event(), asyncio.Event()

        @manager.task(queue="q", task_type="waits")
        async def wait() -> None:
            is_running.set()
            await is_over.wait()

        @manager.task(queue="q", max_retries=0)
        async def fail() -> None:
            raise ValueError("boom")

        running, failing = await wait.submit(), await fail.submit()
        async with asyncio.timeout(SOON):
            with pytest.raises(TaskFailedError):
                await failing.result()
            await is_running.wait()
        name = manager.register(wait)
        for filters in ({}, {"task_type": "waits"}, {"function": name}):
            assert [info.task_id for info in await handle.running(**filters)] == [running.task_id]
        assert await handle.running(task_type="other") == []
        assert await handle.running(function="other") == []
        page = await handle.failed(limit=5)
        assert [letter.task_id for letter in page.tasks] == [failing.task_id]
        await handle.pause(note="Eve")
        await handle.drain(note="Bob")
        status = await handle.status()
        assert (status["pause_note"], status["drain_note"]) == ("Eve", "Bob")
        await handle.set_overrides(max_workers=3)
        assert set(await handle.overrides()) == {"max_workers"}
        await handle.remove_overrides()
        assert await handle.overrides() == {}
        await handle.resume()
        await handle.reset_breaker()
        assert await handle.purge() == 0
        is_over.set()
    assert (await handle.status())["processes"] == []
