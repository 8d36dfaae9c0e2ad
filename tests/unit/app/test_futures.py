"""Submits and results that have begun before they are awaited, and pass for the coroutines that they stand in for."""

import asyncio
import contextlib
import inspect
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any
from unittest.mock import create_autospec

import pytest

from kew import (
    QueueConfig,
    QueueFullError,
    QueuePriority,
    StoreUnavailableError,
    TaskAlreadyExistsError,
    TaskFailedError,
    TaskInfo,
    TaskNotFoundError,
    TaskQueueError,
    TaskQueueManager,
)
from kew.app.naming import is_coroutine_function
from kew.app.ports import ReadSettings
from kew.app.submitting.outbox import Outbox
from kew.domain.task import Task
from kew.functions import TaskFunction
from kew.handles import TaskHandle
from tests.support import jobs
from tests.support.answering import answer_instead
from tests.support.asking import end_of

Call = Coroutine[Any, Any, Any]


def submit(manager: TaskQueueManager, task_id: str = "t", queue: str = "q") -> Call:
    return manager.submit_task(task_id, queue, "test", jobs.echo, None, value=task_id)


async def nap() -> None:
    await asyncio.sleep(0.1)


async def awaited(call: Call) -> Any:
    return await call


async def as_a_task(call: Call) -> Any:
    return await asyncio.create_task(call)


async def in_a_group(call: Call) -> Any:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(call)
    return task.result()


async def gathered(call: Call) -> Any:
    return (await asyncio.gather(call))[0]


async def within_a_time(call: Call) -> Any:
    return await asyncio.wait_for(call, 30)


async def from_another_thread(call: Call) -> Any:
    loop = asyncio.get_running_loop()
    submitted: Future[Any] = await asyncio.to_thread(asyncio.run_coroutine_threadsafe, call, loop)
    return await asyncio.wrap_future(submitted)


WAYS = [awaited, as_a_task, in_a_group, gathered, within_a_time, from_another_thread]


@pytest.mark.parametrize("way", WAYS)
async def test_a_submit_and_a_result_may_stand_wherever_a_coroutine_may(
    way: Callable[[Call], Coroutine[Any, Any, Any]],
):
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"), functions=[jobs.echo])
        info = await way(submit(manager))
        assert info.task_id == "t"
        assert await way(TaskHandle[str](manager, info).result()) == "t"
        task = manager.task(queue="q")(jobs.echo)
        assert await (await way(task.submit(value=7))).result() == 7


@pytest.mark.parametrize("way", [awaited, as_a_task, gathered, within_a_time])
async def test_what_is_wrong_is_raised_where_it_is_awaited(
    way: Callable[[Call], Coroutine[Any, Any, Any]],
):
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"), functions=[jobs.echo, jobs.fail])
        await submit(manager)
        for call, error in (
            (submit(manager), TaskAlreadyExistsError),
            (submit(manager, "u", queue="nowhere"), TaskQueueError),
            (submit(manager, ""), TaskQueueError),
            (manager.task()(jobs.echo).submit(), TaskQueueError),
        ):
            with pytest.raises(error):
                await way(call)
        info = await manager.submit_task("f", "q", "test", jobs.fail)
        with pytest.raises(TaskFailedError):
            await way(manager.handle(info).result())
        with pytest.raises(TaskNotFoundError):
            await way(manager.handle(TaskInfo("none", "test", "q", 1)).result())
    with pytest.raises(TaskQueueError, match="initialize"):
        await way(submit(manager))


async def stored(manager: TaskQueueManager, task_id: str) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await manager.get_task_status(task_id)
                return
            except TaskNotFoundError:
                await asyncio.sleep(0)


async def test_a_submit_is_on_its_way_before_it_is_awaited():
    """Also where the store has to be asked first, of another's queue, or told of a function."""
    async with (
        TaskQueueManager("memory://here") as manager,
        TaskQueueManager("memory://here") as other,
    ):
        await manager.create_queue(QueueConfig("q"))
        await other.create_queue(QueueConfig("theirs", priority=QueuePriority.LOW), work=False)
        for call, task_id in ((submit(manager), "t"), (submit(manager, "u", "theirs"), "u")):
            await stored(manager, task_id)
            assert (await call).task_id == task_id
        assert (await manager.get_task_status("u")).priority is QueuePriority.LOW.value


async def test_the_arguments_are_those_of_the_call_whatever_becomes_of_them_until_it_is_awaited():
    async with (
        TaskQueueManager("memory://here") as manager,
        TaskQueueManager("memory://here") as other,
    ):
        await manager.create_queue(QueueConfig("q"))
        await other.create_queue(QueueConfig("theirs"), functions=[jobs.echo])
        for queue in ("q", "q", "theirs", "theirs"):
            given = [1]
            call = manager.submit_task(f"{queue}-{id(given)}", queue, "t", jobs.echo, None, given)
            given.append(2)
            assert await manager.handle(await call).result() == [1]


@pytest.mark.parametrize("waits", [True, False])
async def test_whoever_waits_for_a_store_that_is_asked_first_is_told_at_a_shutdown(waits: bool):
    async with TaskQueueManager("memory://") as manager:
        asked = asyncio.Event()

        async def silent(_: ReadSettings) -> Any:
            asked.set()
            await asyncio.Event().wait()

        answer_instead(manager._parts.store, ReadSettings, silent)
        submitting = asyncio.ensure_future(submit(manager, "t", "theirs"))
        if waits:
            await asked.wait()
        await manager.shutdown(timeout=0.05 if waits else 0)
        with pytest.raises(StoreUnavailableError):
            await asyncio.wait_for(submitting, 5)


async def test_what_stands_for_a_coroutine_is_used_once_like_one():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"), functions=[jobs.echo])
        call = submit(manager)
        assert (await asyncio.create_task(call)).task_id == "t"
        with pytest.raises(RuntimeError, match="reuse"):
            await asyncio.create_task(call)
        assert (await call).task_id == "t"


async def test_a_result_that_nobody_will_await_is_not_waited_for():
    """It was closed, or its task was cancelled before its first step."""
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        handle: TaskHandle[Any] = manager.handle(await submit(manager))
        handle.result().close()
        asyncio.create_task(handle.result()).cancel()
        await asyncio.sleep(0.01)
        assert manager._ready().results._waiting == {}
        submit(manager, "u").close()
        await stored(manager, "u")


@pytest.mark.parametrize(
    "error", [StopIteration(7), SystemExit(3), asyncio.CancelledError(), ValueError("no")]
)
async def test_whoever_cannot_be_told_is_told_why_and_nobody_else(error: BaseException):
    """What decodes a result is the user's: whatever it raises belongs to those who wait, and stops nothing else."""

    def told(record: Task) -> Any:
        if record.call.id == "bad":
            raise error
        return record.call.id

    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"), functions=[jobs.echo])
        ids = ("a", "bad", "b", "bad")
        waiting = [asyncio.ensure_future(submit(manager, each)) for each in ("a", "bad", "b")]
        await asyncio.gather(*waiting)
        answers = [manager._wait_for_end("q", each, told) for each in ids]
        raised = RuntimeError if isinstance(error, StopIteration) else type(error)
        for each, answer in zip(ids, answers, strict=True):
            if each == "bad":
                with pytest.raises(raised):
                    await answer
            else:
                assert await answer == each
        assert await manager.handle(await submit(manager, "later")).result(timeout=30) == "later"


async def test_a_result_is_decoded_in_the_context_of_whoever_waits_for_it():
    tenant: ContextVar[str] = ContextVar("tenant")

    async def wait_as(manager: TaskQueueManager, name: str) -> str:
        tenant.set(name)
        return await manager._wait_for_end("q", "t", lambda _: tenant.get())

    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"), functions=[jobs.echo])
        await submit(manager)
        for _ in range(2):  # told by the one who ran it, then by the store
            waiting = (wait_as(manager, name) for name in ("ada", "bob"))
            assert await asyncio.gather(*waiting) == ["ada", "bob"]


@pytest.mark.parametrize(("count", "trips"), [(70, 6), (2, 1), (19, 2)])
async def test_full_round_trips_do_not_wait_for_each_other_up_to_six(
    monkeypatch: pytest.MonkeyPatch, count: int, trips: int
):
    monkeypatch.setattr(Outbox, "most_tasks", 10)
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        on_their_way, go_on = [0], asyncio.Event()
        store_it = manager._parts.store.submit

        async def held(*call: Any) -> Any:
            on_their_way[0] += 1
            await go_on.wait()
            return await store_it(*call)

        manager._parts.store.submit = held  # type: ignore[assignment,method-assign]
        calls = [submit(manager, f"t{n}") for n in range(count)]
        await asyncio.sleep(0.02)
        assert on_their_way == [trips]
        go_on.set()
        assert len(await asyncio.gather(*calls)) == count


async def test_where_the_loop_is_another_it_begins_once_it_is_awaited_in_its_own():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"), functions=[jobs.echo])
        made = await asyncio.to_thread(submit, manager)
        await asyncio.sleep(0.05)
        with pytest.raises(TaskNotFoundError):
            await manager.get_task_status("t")
        assert (await made).task_id == "t"

        def in_a_loop_of_its_own(main: asyncio.AbstractEventLoop) -> TaskInfo:
            async def ask() -> TaskInfo:
                call = submit(manager, "u")
                info: TaskInfo = await asyncio.wrap_future(
                    asyncio.run_coroutine_threadsafe(call, main)
                )
                return info

            return asyncio.run(ask())

        info = await asyncio.to_thread(in_a_loop_of_its_own, asyncio.get_running_loop())
        assert await TaskHandle[str](manager, info).result() == "u"


def test_a_loop_that_runs_only_now_and_then_will_do():
    loop = asyncio.new_event_loop()
    try:
        manager = TaskQueueManager("memory://")
        loop.run_until_complete(manager.initialize())
        loop.run_until_complete(manager.create_queue(QueueConfig("q"), functions=[jobs.echo]))
        info = loop.run_until_complete(submit(manager))
        assert loop.run_until_complete(manager.handle(info).result()) == "t"
        loop.run_until_complete(manager.shutdown())
    finally:
        loop.close()


@pytest.mark.parametrize("turns", [0, 1])
async def test_whoever_is_cancelled_leaves_the_submit_on_its_way_and_the_task_alone(turns: int):
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"), functions=[jobs.echo])
        store_it = manager._parts.store.submit

        async def slowly(*call: Any) -> Any:
            await asyncio.sleep(0.02)
            return await store_it(*call)

        manager._parts.store.submit = slowly  # type: ignore[assignment,method-assign]
        submitting = asyncio.create_task(submit(manager))
        for _ in range(turns):
            await asyncio.sleep(0)
        submitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submitting
        await asyncio.sleep(0.05)
        assert (await end_of(manager, "t")).result == "t"
        handle = manager.handle(await manager.submit_task("s", "q", "test", nap))
        waiting = asyncio.create_task(handle.result())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await handle.result(timeout=30)
        assert manager._ready().results._waiting == {}


async def test_a_full_queue_is_asked_once_why_for_all_that_it_refuses_at_a_moment():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q", max_size=3), work=False)
        store, looks = manager._parts.store, 0
        do = store.do

        async def counted(read: ReadSettings) -> Any:
            nonlocal looks
            looks += 1
            return await do(read)

        answer_instead(store, ReadSettings, counted)
        told = await asyncio.gather(
            *(submit(manager, f"t{n}") for n in range(50)), return_exceptions=True
        )
        refused = [error for error in told if isinstance(error, QueueFullError)]
        assert len(refused) == 47
        assert len(set(map(id, refused))) == 47
        assert {error.max_size for error in refused} == {3}
        assert looks == 1


async def test_callers_of_a_full_queue_are_told_so_at_a_shutdown_that_does_not_wait():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q", max_size=1), work=False)
        asked = asyncio.Event()

        async def silent(_: ReadSettings) -> Any:
            asked.set()
            await asyncio.Event().wait()

        answer_instead(manager._parts.store, ReadSettings, silent)
        await submit(manager)
        refused = asyncio.ensure_future(submit(manager, "u"))
        await asked.wait()
        await manager.shutdown(timeout=0.05)
        with pytest.raises(QueueFullError):
            await asyncio.wait_for(refused, 5)


def test_they_are_taken_for_the_coroutine_functions_that_they_look_like():
    for method in (TaskQueueManager.submit_task, TaskHandle.result, TaskFunction.submit):
        assert is_coroutine_function(method)
        if sys.version_info >= (3, 12):
            assert inspect.iscoroutinefunction(method)
    mock: Any = create_autospec(TaskQueueManager)
    with contextlib.closing(mock.submit_task(mock, "t", "q", "test", jobs.echo)) as call:
        assert inspect.isawaitable(call)
