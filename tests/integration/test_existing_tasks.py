"""An id that is in use leads to the task that has it."""

import copy
import pickle
from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs
import pytest

from kew import (
    QueueConfig,
    TaskAlreadyExistsError,
    TaskCancelledError,
    TaskHandle,
    TaskNotFoundError,
    TaskQueueError,
    TaskQueueManager,
)
from tests.support import jobs


@attrs.frozen
class Point:
    x: int


async def mirrored(point: Point) -> Point:
    return Point(-point.x)


@pytest.fixture
async def manager(store_url: str) -> AsyncIterator[TaskQueueManager]:
    async with TaskQueueManager(store_url) as one:
        await one.create_queue(QueueConfig("q"))
        await one.create_queue(QueueConfig("other"))
        yield one


async def existing(submit: Callable[[], Any]) -> TaskHandle[Any]:
    with pytest.raises(TaskAlreadyExistsError, match=r"error\.handle") as caught:
        await submit()
    handle = caught.value.handle
    assert isinstance(handle, TaskHandle)
    return handle


async def test_a_decorated_functions_submit_leads_to_a_typed_handle(manager):
    work = manager.task(queue="q")(mirrored).options(task_id="a")
    await work.submit(Point(1))
    handle = await existing(lambda: work.submit(Point(2)))
    assert handle.task_id == "a"
    assert await handle.result(timeout=30) == Point(-1)


async def test_the_plain_way_and_a_batch_lead_to_one_as_well(manager):
    await manager.submit_task("a", "q", "t", mirrored, None, Point(1))
    handle = await existing(lambda: manager.submit_task("a", "q", "t", mirrored, None, Point(2)))
    assert await handle.result() == Point(-1)
    tasks = [
        {"task_id": "b", "task_type": "t", "task_func": jobs.echo, "args": [1]},
        {"task_id": "a", "task_type": "t", "task_func": mirrored, "args": [Point(2)]},
    ]
    handle = await existing(lambda: manager.submit_tasks("q", tasks))
    assert handle.task_id == "a"
    assert await handle.result(timeout=30) == Point(-1)
    with pytest.raises(TaskNotFoundError):
        await manager.get_task_status("b")


async def test_a_closures_submit_leads_to_one_as_well(manager):
    await manager.submit_task("a", "q", "t", mirrored, None, Point(1))
    handle = await existing(lambda: manager.submit_task("a", "q", "t", lambda: None))
    assert await handle.result(timeout=30) == Point(-1)


async def test_the_result_is_that_of_the_existing_tasks_own_function(manager):
    async def numbered(number: int) -> int:
        return number

    await manager.submit_task("a", "q", "t", mirrored, None, Point(1))
    handle = await existing(lambda: manager.submit_task("a", "q", "t", numbered, None, 1))
    assert await handle.result(timeout=30) == Point(-1)


async def test_the_result_is_plain_data_if_the_existing_tasks_function_is_not_known_here(
    manager, store_url
):
    await manager.submit_task("a", "q", "t", mirrored, None, Point(1))
    async with TaskQueueManager(store_url) as other:
        await other.create_queue(QueueConfig("q"), work=False)
        handle = await existing(lambda: other.submit_task("a", "q", "t", jobs.echo, None, 1))
        assert await handle.result(timeout=30) == {"x": -1}


async def test_the_existing_task_may_be_in_another_queue(manager):
    work = manager.task(queue="q")(mirrored).options(task_id="a")
    await work.options(queue="other").submit(Point(1))
    handle = await existing(lambda: work.submit(Point(1)))
    assert await handle.result(timeout=30) == Point(-1)
    assert handle.info.queue_name == "other"
    assert repr(handle) == "<TaskHandle 'a' in 'other'>"


async def test_its_status_is_known_once_it_was_asked_for(manager):
    work = manager.task(queue="q")(mirrored).options(task_id="a", defer_by=3600)
    await work.submit(Point(1))
    handle = await existing(lambda: work.submit(Point(1)))
    assert repr(handle) == "<TaskHandle 'a'>"
    with pytest.raises(TaskQueueError, match=r"await handle\.status\(\)"):
        _ = handle.info
    with pytest.raises(TimeoutError, match="'a' did not end within"):
        await handle.result(timeout=0)
    assert (await handle.status()).queue_name == handle.info.queue_name == "q"
    assert await handle.cancel()
    with pytest.raises(TaskCancelledError):
        await handle.result(timeout=30)


async def test_an_id_that_appears_twice_in_a_batch_leads_to_nothing(manager):
    task = {"task_id": "a", "task_type": "t", "task_func": jobs.echo}
    with pytest.raises(TaskAlreadyExistsError) as caught:
        await manager.submit_tasks("q", [task, task])
    assert caught.value.handle is None


async def test_the_error_can_be_pickled_without_its_handle(manager):
    work = manager.task(queue="q")(mirrored).options(task_id="a")
    await work.submit(Point(1))
    with pytest.raises(TaskAlreadyExistsError) as caught:
        await work.submit(Point(1))
    for copied in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
        assert str(copied) == str(caught.value)
        assert (copied.task_id, copied.handle) == ("a", None)
