"""One manager and several event loops: each call says what is wrong, and harms nothing in the right one."""

import asyncio
import gc
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from kew import QueueConfig, TaskQueueError, TaskQueueManager, TaskStatus
from tests.support import jobs

QUEUE = QueueConfig("q", lease=1.0)


@pytest.fixture
def store_url(request: pytest.FixtureRequest, store_url: str) -> str:
    """Private memory would hide what is left of an earlier event loop."""
    return f"memory://{id(request.node)}" if store_url.startswith("memory") else store_url


async def ended(manager: TaskQueueManager, task_id: str) -> TaskStatus:
    async with asyncio.timeout(30):
        while True:
            status = (await manager.get_task_status(task_id)).status
            if status in (TaskStatus.COMPLETED, TaskStatus.FAILED):
                return status
            await asyncio.sleep(0.01)


def submit(manager: TaskQueueManager, task_id: str) -> Coroutine[Any, Any, Any]:
    return manager.submit_task(task_id, "q", "t", jobs.echo, None, task_id)


async def test_every_call_from_another_loop_says_so_and_the_right_one_goes_on(store_url: str):
    def calls(manager: TaskQueueManager) -> list[Any]:
        return [
            lambda: submit(manager, "late"),
            lambda: manager.submit_tasks("q", []),
            lambda: manager.get_task_status("t"),
            lambda: manager.get_queue_status("q"),
            lambda: manager.get_queue_names(),
            lambda: manager.cancel_task("t"),
            lambda: manager.pause_queue("q"),
            lambda: manager.create_queue(QueueConfig("other")),
            lambda: manager.cleanup(),
            lambda: manager.initialize(),
            lambda: manager.shutdown(),
        ]

    async def elsewhere(manager: TaskQueueManager) -> list[str]:
        told = []
        for each in calls(manager):
            with pytest.raises(TaskQueueError) as caught:
                await each()
            told.append(str(caught.value))
        return told

    async with TaskQueueManager(store_url) as manager:
        await manager.create_queue(QUEUE, functions=[jobs.echo])
        told: list[str] = []
        thread = threading.Thread(target=lambda: told.extend(asyncio.run(elsewhere(manager))))
        thread.start()
        await asyncio.to_thread(thread.join)
        assert len(told) == len(calls(manager))
        assert {"another event loop" in each for each in told} == {True}
        await submit(manager, "t")
        assert await ended(manager, "t") is TaskStatus.COMPLETED
        assert (await manager.get_queue_status("q"))["paused"] is False


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("shuts_down", [True, False])
def test_a_program_whose_loop_ended_without_a_shutdown_can_begin_anew(
    store_url: str, shuts_down: bool
):
    manager = TaskQueueManager(store_url)

    async def first() -> None:
        await manager.initialize()
        await manager.create_queue(QUEUE, functions=[jobs.echo])
        await submit(manager, "first")
        assert await ended(manager, "first") is TaskStatus.COMPLETED

    async def second() -> None:
        with pytest.raises(TaskQueueError, match="is closed"):
            await submit(manager, "too early")
        if shuts_down:
            await manager.shutdown()
        await manager.initialize()
        await manager.create_queue(QUEUE)
        assert (await manager.get_task_status("first")).result == "first"
        for n in range(3):
            await submit(manager, f"second-{n}")
            assert await ended(manager, f"second-{n}") is TaskStatus.COMPLETED
        await manager.shutdown()

    asyncio.run(first())
    asyncio.run(second())
    gc.collect()  # the sockets that the first loop left behind
