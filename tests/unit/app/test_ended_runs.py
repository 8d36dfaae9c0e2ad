"""What is left of runs that have ended."""

import asyncio
import gc
import weakref

from kew import QueueConfig, TaskQueueManager
from kew.app.working.runs import Run


async def fine() -> None: ...


def runs() -> list[Run]:
    return [each for each in gc.get_objects() if isinstance(each, Run)]


async def test_ended_runs_are_freed_without_the_garbage_collector():
    """A cycle in each of them cost a worker a third of its speed."""
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        earlier = weakref.WeakSet(runs())  # of other tests, whose failures may keep them
        gc.disable()
        try:
            for number in range(20):
                await manager.submit_task(f"t-{number}", "q", "fine", fine, None)
            async with asyncio.timeout(30):
                while (await manager.get_task_status("t-19")).status != "completed":  # noqa: ASYNC110 - it is asked
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
            assert sum(each not in earlier for each in runs()) <= 2
        finally:
            gc.enable()
