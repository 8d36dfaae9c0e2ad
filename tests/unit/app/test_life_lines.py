"""What a process logs about its own life and, at DEBUG, about each task."""

from __future__ import annotations

import asyncio
import logging

import pytest

import kew
from kew import Linear, QueueConfig, Rate, TaskFailedError, TaskQueueManager
from kew.domain.incarnations import place_of


def lines(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == level]


async def returns() -> int:
    return 1


async def raises() -> None:
    raise ValueError("no room")


async def test_a_managers_life_is_logged_at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="kew")
    async with TaskQueueManager("memory://") as manager:
        (ready,) = lines(caplog, logging.INFO)
        name = f"{place_of(one)} ({one})" if (one := manager._here().incarnation) else ""
        assert ready == f"memory://: ready as process {name}, namespace kew, kew {kew.__version__}"
        await manager.create_queue(QueueConfig("q", max_workers=3), functions=[returns])
        assert lines(caplog, logging.INFO)[1:] == [
            "queue q: this process works on it, up to 3 at once (max_workers 3, max_size 1000)"
        ]
    assert lines(caplog, logging.INFO)[2:] == [
        "memory://: shutting down: 0 tasks run here",
        "memory://: shut down",
    ]


async def test_a_process_that_only_submits_does_not_say_that_it_works(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="kew")
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
    assert not [one for one in lines(caplog, logging.INFO) if "works on it" in one]


async def test_an_idle_shutdown_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="kew")
    manager = TaskQueueManager("memory://")
    await manager.initialize()
    await asyncio.gather(manager.shutdown(), manager.shutdown())
    assert lines(caplog, logging.INFO).count("memory://: shut down") == 1


async def test_each_attempt_is_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="kew")
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"), functions=[returns, raises])
        good = await manager.submit_task("good", "q", "t", returns)
        await manager.handle(good).result()
        bad = await manager.submit_task("bad", "q", "t", raises)
        with pytest.raises(TaskFailedError):
            await manager.handle(bad).result()
    shown = [one for one in lines(caplog, logging.DEBUG) if one.startswith("task ")]
    assert [one.partition("): ")[2] for one in shown] == [
        "attempt 1 begins",
        "attempt 1 ended",
        "attempt 1 begins",
        "attempt 1 ended with an error",
    ]
    assert shown[0].startswith("task good (queue q, ")


async def test_a_failed_attempt_says_which_retry_comes_when(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, logger="kew")
    async with TaskQueueManager("memory://") as manager:
        config = QueueConfig("q", max_retries=2, backoff=Linear(0.01, step=0.01))
        await manager.create_queue(config, functions=[raises])
        task = await manager.submit_task("bad", "q", "t", raises)
        with pytest.raises(TaskFailedError):
            await manager.handle(task).result()
    shown = [one.partition("): ")[2] for one in lines(caplog, logging.WARNING) if "bad" in one]
    assert shown == [
        "attempt 1 failed; retry 1 of 2 in 10 ms: ValueError: no room",
        "attempt 2 failed; retry 2 of 2 in 20 ms: ValueError: no room",
        "attempt 3 failed for good: ValueError: no room",
    ]


async def test_a_working_queue_is_logged_with_all_its_limits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="kew")
    async with TaskQueueManager("memory://") as manager:
        config = QueueConfig(
            "q", max_workers=8, max_workers_per_process=2, rate=(Rate(100, per=60), Rate(5))
        )
        await manager.create_queue(config)
    assert lines(caplog, logging.INFO)[1] == (
        "queue q: this process works on it, up to 2 at once "
        "(max_workers 8, max_size 1000, rate 100 per 60 s, rate 5 per 1 s)"
    )


async def test_a_shutdown_says_how_many_tasks_run_and_how_long_they_get(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="kew")
    begun = asyncio.Event()

    async def waits() -> None:
        begun.set()
        await asyncio.Event().wait()

    manager = TaskQueueManager("memory://")
    await manager.initialize()
    await manager.create_queue(QueueConfig("q"))
    await manager.submit_task("a", "q", "t", waits)
    await begun.wait()
    await manager.shutdown(timeout=0.01)
    assert "memory://: shutting down: 1 task run here, which get 0.01 s" in lines(
        caplog, logging.INFO
    )


async def test_a_breaker_that_was_seen_to_open_is_logged_when_it_closes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="kew")
    async with TaskQueueManager("memory://") as manager:
        config = QueueConfig("q", max_circuit_breaker_failures=1)
        await manager.create_queue(config, functions=[returns, raises])
        closed = "queue q: an attempt succeeded, so its circuit breaker is closed again"
        for number in range(2):
            bad = await manager.submit_task(f"bad{number}", "q", "t", raises)
            with pytest.raises(TaskFailedError):
                await manager.handle(bad).result()
            assert caplog.messages.count(closed) == number
            await manager.reset_breaker("q")
            good = await manager.submit_task(f"good{number}", "q", "t", returns)
            await manager.handle(good).result()
            assert caplog.messages.count(closed) == number + 1
        await manager.handle(await manager.submit_task("more", "q", "t", returns)).result()
    assert caplog.messages.count(closed) == 2
