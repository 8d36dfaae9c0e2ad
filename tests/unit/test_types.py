"""What type checkers make of calls that are awaited: `make check` runs mypy over this file, pytest the code."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, assert_type

from kew import QueueConfig, TaskFunction, TaskInfo, TaskQueueManager
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
        results = await asyncio.gather(number.result(), text.result(timeout=30))
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
        assert_type(await asyncio.wait_for(count.submit("abc"), 30), TaskHandle[int])
        assert_type(await manager.handle(info).result(), Any)


async def test_a_call_of_a_decorated_function_has_the_type_of_a_call_of_the_function():
    manager = TaskQueueManager("memory://")

    @manager.task(queue="q")
    async def count(text: str) -> int:
        return len(text)

    @manager.task(queue="q")
    def shout(text: str) -> str:
        return text.upper()

    @manager.task(queue="q")
    def later(text: str) -> Awaitable[int]:
        return count(text)

    assert_type(count("ab"), Coroutine[object, None, int]).close()
    assert_type(await count("ab"), int)
    assert_type(shout("ab"), str)
    assert_type(await count.options(queue="r")("ab"), int)
    assert_type(await later("ab"), int)
    plainly: TaskFunction[[str], int] = count
    assert_type(await plainly("ab"), Any)

    async with manager:
        await manager.create_queue(QueueConfig("q"))
        assert_type(await plainly.submit("ab"), TaskHandle[int])
        handle = await later.submit("ab")
        assert_type(handle, TaskHandle[int])
        assert await handle.result(timeout=30) == 2


async def test_calls_of_decorated_functions_are_awaited_together_like_any_coroutines():
    manager = TaskQueueManager("memory://")

    @manager.task(queue="q")
    async def count(text: str) -> int:
        return len(text)

    @manager.task(queue="q")
    async def shout(text: str) -> str:
        return text.upper()

    both = await asyncio.gather(count("ab"), shout("ab"))
    assert_type(both, tuple[int, str])
    assert list(both) == [2, "AB"]
    coroutine: Callable[[str], Coroutine[Any, Any, int]] = count
    assert await coroutine("ab") == 2


def test_what_another_manager_decorates_keeps_its_types():
    manager, other = TaskQueueManager("memory://"), TaskQueueManager("memory://")

    @manager.task(queue="q")
    async def count(text: str) -> int:
        return len(text)

    again = other.task(queue="r")(count)
    assert_type(again("ab"), Coroutine[object, None, int]).close()
    assert again.queue == "r"
