"""Who blocks the event loop is named, with its stack."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from kew import QueueConfig, TaskQueueManager
from kew.adapters.watchdog import ThreadWatchdog


def blocked(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if "has been blocked" in r.getMessage()]


async def hog() -> None:
    time.sleep(1.0)  # noqa: ASYNC251 - what the watchdog is for


async def test_a_task_that_blocks_the_loop_is_named_with_its_stack(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "kew"):
        async with TaskQueueManager("memory://", max_loop_lag=0.01) as manager:
            await manager.create_queue(QueueConfig("q"))
            handle = await manager.task(queue="q")(hog).options(task_id="the-hog").submit()
            await handle.result(timeout=30)
    assert any("the-hog" in line and "in hog" in line for line in blocked(caplog))


async def test_a_blockage_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    watchdog = ThreadWatchdog()
    watchdog.start(0.1)
    with caplog.at_level(logging.WARNING, "kew"):
        time.sleep(1.0)  # noqa: ASYNC251 - what the watchdog is for
        watchdog.close()
    assert len(blocked(caplog)) == 1


async def test_a_loop_that_turns_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    watchdog = ThreadWatchdog()
    watchdog.start(5.0)
    with caplog.at_level(logging.WARNING, "kew"):
        await asyncio.sleep(0.2)
        watchdog.close()
    assert blocked(caplog) == []


def test_a_loop_that_does_not_run_is_not_blocked(caplog: pytest.LogCaptureFixture) -> None:
    watchdog = ThreadWatchdog()

    async def start() -> None:
        watchdog.start(0.02)

    with caplog.at_level(logging.WARNING, "kew"), asyncio.Runner() as runner:
        runner.run(start())
        time.sleep(0.3)
        watchdog.close()
    assert blocked(caplog) == []
