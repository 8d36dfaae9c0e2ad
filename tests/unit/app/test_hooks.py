"""Hooks that can't be called, and hooks that fail."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from kew import InvalidConfigError, QueueConfig, TaskInfo, TaskQueueManager
from kew.app.working.hook_calls import MANY_WAITING, MOST_HOOKS
from kew.app.working.hooks import Hooks
from tests.support.tasks import task

UNUSED: Any = None


@pytest.mark.parametrize("name", ["on_task_start", "on_task_complete", "on_task_fail"])
def test_a_hook_that_cannot_be_called_is_refused_by_name(name):
    hooks: dict[str, Any] = {name: "print"}
    with pytest.raises(InvalidConfigError, match=f"{name} must be callable or None, not 'print'"):
        TaskQueueManager("memory://", **hooks)


async def test_a_hook_that_fails_is_logged_by_its_name(caplog):
    def broken(info):
        raise RuntimeError("a bug")

    async with TaskQueueManager("memory://", on_task_start=broken) as manager:
        await manager.create_queue(QueueConfig("q"))
        work = manager.task(queue="q")(len)
        await (await work.options(task_id="t").submit("four")).result(timeout=30)
    named = "test_a_hook_that_fails_is_logged_by_its_name.<locals>.broken"
    assert any(
        message.startswith("task t (queue q, ") and message.endswith(f": the hook {named} failed")
        for message in caplog.messages
    )


async def test_on_task_start_is_not_called_for_what_is_told_to_stop_before_it_begins():
    told: list[str] = []
    began: list[str] = []

    async def work(name: str) -> None:
        began.append(name)
        time.sleep(0.002)  # noqa: ASYNC251 - it keeps the loop, so that most are not let in

    manager = TaskQueueManager(
        "memory://", on_task_start=lambda info: told.append(info.task_id), max_loop_lag=0.005
    )
    async with manager:
        await manager.create_queue(QueueConfig("q", max_workers=100), functions=[work])
        batch = [
            {"task_id": str(n), "task_type": "t", "task_func": work, "args": [str(n)]}
            for n in range(100)
        ]
        await manager.submit_tasks("q", batch)
        await manager.shutdown(wait=False)
    assert 0 < len(began) < 100
    assert told == began


async def test_a_task_that_blocks_the_event_loop_is_named_with_its_queue_and_function():
    names: list[str] = []

    async def work() -> None:
        current = asyncio.current_task()
        assert current is not None
        names.append(current.get_name())

    async with TaskQueueManager("memory://") as manager:
        manager.register(work, name="jobs:work")
        await manager.create_queue(QueueConfig("q"))
        info = await manager.submit_task("t", "q", "t", work)
        await manager.handle(info).result(timeout=30)
    assert names == ["task t (queue q, jobs:work)"]


async def test_a_bounded_number_of_completion_hooks_runs_at_once_and_all_are_called(caplog):
    now = most = 0
    may_end = asyncio.Event()
    called: list[str] = []

    async def slow(info: TaskInfo) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await may_end.wait()
        now -= 1
        called.append(info.task_id)

    count = MOST_HOOKS + MANY_WAITING + 50
    async with TaskQueueManager("memory://", on_task_complete=slow) as manager:
        await manager.create_queue(QueueConfig("q", max_workers=2000), functions=[fine])
        tasks = [{"task_id": str(n), "task_type": "t", "task_func": fine} for n in range(count)]
        await manager.submit_tasks("q", tasks)
        await until(manager, count)
        may_end.set()
    assert sorted(called, key=int) == [str(n) for n in range(count)]
    assert most == MOST_HOOKS
    assert sum("hooks wait for their turn" in message for message in caplog.messages) == 1


async def test_a_shutdown_that_can_wait_no_longer_says_how_many_hooks_it_left(caplog):
    async def forever(info: TaskInfo) -> None:
        await asyncio.sleep(60)

    count = MOST_HOOKS + 7
    manager = TaskQueueManager("memory://", on_task_complete=forever)
    await manager.initialize()
    await manager.create_queue(QueueConfig("q", max_workers=200), functions=[fine])
    tasks = [{"task_id": str(n), "task_type": "t", "task_func": fine} for n in range(count)]
    await manager.submit_tasks("q", tasks)
    await until(manager, count)
    await manager.shutdown(timeout=0.01)
    assert (
        f"hooks: {MOST_HOOKS} still ran after 1 s and were cancelled; 7 more were not called"
        in (caplog.messages)
    )


async def fine() -> None:
    """A task that a hook is called for."""


async def until(manager: TaskQueueManager, completed: int) -> None:
    ends = (
        manager.handle(await manager.get_task_status(str(n))).result(timeout=30)
        for n in range(completed)
    )
    async for end in ends:
        await end


def thrown_away(code: Coroutine[Any, Any, Any]) -> None:
    """Run it up to its first wait, as a loop does that is then gone."""

    async def begin() -> None:
        code.send(None)

    asyncio.run(begin())
    code.close()


@pytest.mark.parametrize("error", [RuntimeError("in a finally"), asyncio.CancelledError()])
def test_a_hook_that_is_thrown_away_with_its_loop_is_not_logged(caplog, error):
    """Whatever its own clean-up raises: no event loop is there to ask about it."""

    class Forever:
        def __await__(self):
            yield

    async def hook(info: TaskInfo) -> None:
        try:
            await Forever()
        finally:
            raise error

    with pytest.raises(type(error)):
        thrown_away(Hooks(on_task_start=hook).started(task(), UNUSED))
    assert caplog.messages == []
