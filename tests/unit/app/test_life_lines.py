"""What a process logs about its own life and, at DEBUG, about each task."""

from __future__ import annotations

import asyncio
import logging

import pytest

from kew import Linear, QueueConfig, TaskFailedError, TaskQueueManager


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
        assert ready.startswith("memory://: ready as process ")
        await manager.create_queue(QueueConfig("q", max_workers=3), functions=[returns])
        assert lines(caplog, logging.INFO)[1:] == [
            "queue q: this process works on it, up to 3 at once"
        ]
    assert lines(caplog, logging.INFO)[2:] == ["memory://: shut down"]


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
