"""What decorated functions and handles tell a person who got something wrong."""

import asyncio
import math
import threading
import time
from typing import Any

import pytest

from kew import (
    InvalidConfigError,
    InvalidTaskError,
    QueueConfig,
    TaskCancelledError,
    TaskNotFoundError,
    TaskQueueError,
    TaskQueueManager,
)
from tests.support import jobs


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
    assert "'slow' did not end within 0.01 s" in str(caught.value)
    assert "explain('slow')" in str(caught.value)
    assert await handle.cancel()


async def test_a_wait_of_no_time_at_all_tells_whether_it_has_ended(manager):
    handle = await decorated(manager).submit(0)
    await handle.result(timeout=30)
    for timeout in (0, -1.0):
        assert await handle.result(timeout=timeout) is None
        with pytest.raises(TimeoutError):
            await (await decorated(manager).submit(60)).result(timeout=timeout)


async def test_a_mistyped_option_is_named_beside_those_that_there_are(manager):
    with pytest.raises(TypeError, match=r"no option 'delay'; it takes task_id, queue, .*defer_by"):
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
        await handle.result(timeout=30)


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
    assert await handle.result(timeout=30) == "done"


async def test_an_option_among_the_arguments_is_told_apart_from_them(manager):
    work = decorated(manager)
    for name, option in (
        ("_defer_by", "defer_by"),
        ("task_id", "task_id"),
        ("_token", "token"),
        ("priority", "priority"),
    ):
        with pytest.raises(InvalidTaskError, match=rf"\.options\({option}=5\)\.submit\(\.\.\.\)"):
            await work.submit(1, **{name: 5})
    takes_all = manager.task(queue="q")(options_as_arguments)
    with pytest.raises(InvalidTaskError, match=r"\.options\(defer_by=\.\.\.\)\.submit\(\.\.\.\)"):
        await takes_all.submit(priority=1, _defer_by=5)


async def options_as_arguments(priority: int, **others: int) -> list[int]:
    return [priority, *others.values()]


async def test_an_argument_that_is_called_like_an_option_is_the_functions(manager):
    handle = await manager.task(queue="q")(options_as_arguments).submit(priority=3, task_id=4)
    assert await handle.result(timeout=30) == [3, 4]


@pytest.mark.parametrize(
    "label", ["x" * 256, "é" * 128, "\N{GRINNING FACE}" * 64], ids=["x", "é", "face"]
)
async def test_the_longest_task_type_has_an_id_of_its_own(manager, label: str):
    assert len(label.encode()) == 256
    work = manager.task(queue="q", task_type=label)(jobs.echo)
    first, second = await work.submit(1), await work.submit(2)
    assert first.task_id != second.task_id
    assert first.task_id.startswith(label[:50])
    assert await second.result(timeout=30) == 2


@pytest.mark.parametrize("timeout", ["a", [], True, float("nan")])
async def test_a_wait_refuses_what_is_no_number_of_seconds(manager, timeout: Any):
    handle = await decorated(manager).submit(0)
    with pytest.raises(InvalidConfigError, match="timeout must be 0 or more seconds"):
        await handle.result(timeout=timeout)


async def test_a_wait_takes_any_number_of_seconds(manager):
    handle = await decorated(manager).options(defer_by=0.05).submit(0)
    for too_short in (0, -1, -math.inf, -(10**400)):
        with pytest.raises(TimeoutError):
            await handle.result(timeout=too_short)
    for long_enough in (60, math.inf, 10**400):
        assert await handle.result(timeout=long_enough) is None


@pytest.mark.parametrize("given", [None, 7])
async def test_a_handle_wants_an_id_or_a_status(manager, given: Any):
    with pytest.raises(InvalidConfigError, match=r"takes a task's id or its TaskInfo, not"):
        manager.handle(given)


async def test_a_handle_is_made_of_an_id_without_asking_the_store(manager):
    await manager.submit_task("t", "q", "test", jobs.echo, None, 5)
    handle = manager.handle("t")
    with pytest.raises(TaskQueueError, match=r"await handle\.status\(\)"):
        _ = handle.info
    assert await handle.result(timeout=30) == 5
    assert (await handle.status()).task_id == "t"
    with pytest.raises(TaskNotFoundError):
        await manager.handle("another").result()
