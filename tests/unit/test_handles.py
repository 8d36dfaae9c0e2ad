"""What decorated functions and handles tell a person who got something wrong."""

import asyncio
import threading
import time
from typing import Any

import pytest

from kew import InvalidConfigError, QueueConfig, TaskCancelledError, TaskQueueManager


@pytest.fixture
async def manager():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        yield manager


def decorated(manager):
    @manager.task(queue="q")
    async def work(seconds: float) -> None:
        await asyncio.sleep(seconds)

    return work


async def test_a_wait_that_was_too_short_names_the_task_and_where_to_look(manager):
    handle = await decorated(manager).options(task_id="slow").submit(60)
    with pytest.raises(TimeoutError) as caught:
        await handle.result(timeout=0.01)
    assert "'slow' had not ended after 0.01 s" in str(caught.value)
    assert "get_queue_status('q')" in str(caught.value)
    assert await handle.cancel()


async def test_a_mistyped_option_is_named_beside_those_that_there_are(manager):
    with pytest.raises(TypeError, match=r"no 'delay', but task_id, queue, .*defer_by"):
        decorated(manager).options(delay=3)


async def test_a_decorated_function_says_what_it_is(manager):
    work = decorated(manager)
    assert repr(work) == "<TaskFunction 'work' for queue 'q'>"
    assert repr(work.options(queue="other")) == "<TaskFunction 'work' for queue 'other'>"


async def test_a_decorator_without_its_keywords_says_how_it_is_written(manager):
    task: Any = manager.task
    for written in (len, "q"):
        with pytest.raises(TypeError, match=r"@manager\.task\(queue=\.\.\.\)"):
            task(written)


async def test_a_name_is_no_queue_and_the_error_says_what_is(manager):
    with pytest.raises(InvalidConfigError, match=r"QueueConfig\('mails'\), not 'orders'"):
        await manager.create_queue("orders")


async def test_cancelling_twice_is_true_twice(manager):
    handle = await decorated(manager).options(defer_by=3600).submit(0)
    assert [await handle.cancel(), await handle.cancel()] == [True, True]
    with pytest.raises(TaskCancelledError):
        await handle.result(timeout=5)


async def test_a_cancelled_thread_that_returns_has_completed(manager):
    started = threading.Event()

    @manager.task(queue="q")
    def sleeper() -> str:
        started.set()
        time.sleep(0.1)
        return "done"

    handle = await sleeper.submit()
    await asyncio.to_thread(started.wait, 5)
    assert await handle.cancel()
    assert await handle.result(timeout=5) == "done"
