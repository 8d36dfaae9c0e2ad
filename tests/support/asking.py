"""Asking a manager until it says what a test waits for, always with a deadline."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from kew import TaskCancelledError, TaskFailedError, TaskInfo, TaskQueueManager
from kew.app.submitting.futures import unchanged
from kew.domain.task import Task
from kew.handles import TaskHandle

SECONDS = 90.0


async def submit(
    manager: TaskQueueManager,
    task_id: str,
    function: Callable[..., Any],
    queue: str = "q",
    **kwargs: Any,
) -> TaskInfo:
    """Submit a call with the queue's own priority."""
    return await manager.submit_task(task_id, queue, "test", function, None, **kwargs)


async def end_of(manager: TaskQueueManager, task_id: str, seconds: float = SECONDS) -> TaskInfo:
    """The task's status once it has ended, however it did."""
    info = await manager.get_task_status(task_id)
    with contextlib.suppress(TaskFailedError, TaskCancelledError):
        await TaskHandle[Any](manager, info).result(timeout=seconds)
    return await manager.get_task_status(task_id)


async def once(
    ask: Callable[[], Awaitable[Any]], is_so: Callable[[Any], object], seconds: float = SECONDS
) -> Any:
    """The first answer that `is_so`, asking often."""
    answer = None
    try:
        async with asyncio.timeout(seconds):
            while not is_so(answer := await ask()):  # noqa: ASYNC110 - the store can't set an event
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s; the last answer: {answer}") from None
    return answer


async def status_once(
    manager: TaskQueueManager, is_so: Callable[[dict[str, Any]], object], seconds: float = SECONDS
) -> dict[str, Any]:
    """The status of the queue "q" once it `is_so`."""
    status: dict[str, Any] = await once(lambda: manager.get_queue_status("q"), is_so, seconds)
    return status


async def record_of(manager: TaskQueueManager, queue: str, task_id: str) -> Task:
    """The task's record once it has ended."""
    return await manager._wait_for_end(queue, task_id, unchanged)
