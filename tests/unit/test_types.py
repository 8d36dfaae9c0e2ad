"""What type checkers make of calls that are awaited: `make check` runs mypy over this file, pytest the code."""

import asyncio
from typing import Any, assert_type

from kew import QueueConfig, TaskInfo, TaskQueueManager
from kew.handles import TaskHandle


async def test_what_is_awaited_has_its_type_however_it_is_awaited():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))

        @manager.task(queue="q")
        async def count(text: str) -> int:
            return len(text)

        @manager.task(queue="q")
        def shout(text: str) -> str:
            return text.upper()

        number, text = await asyncio.gather(count.submit("ab"), shout.submit("ab"))
        assert_type(number, TaskHandle[int])
        assert_type(text, TaskHandle[str])
        results = await asyncio.gather(number.result(), text.result(timeout=5))
        assert_type(results, tuple[int, str])
        assert list(results) == [2, "AB"]

        info = await manager.submit_task("a", "q", "t", shout, None, "ab")
        assert_type(info, TaskInfo)
        task = asyncio.create_task(manager.submit_task("b", "q", "t", shout, None, "ab"))
        assert_type(task, asyncio.Task[TaskInfo])
        await task
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(text.result())
        assert_type(waiting.result(), str)
        assert_type(await asyncio.wait_for(count.submit("abc"), 5), TaskHandle[int])
        assert_type(await manager.handle(info).result(), Any)
