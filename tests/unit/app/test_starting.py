"""From grant to start: whatever fails in between costs no slot and no lease, and nothing of the others."""

import asyncio
import gc
import inspect
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kew import QueueConfig, TaskContext, TaskFailedError, TaskInfo, TaskQueueManager
from kew.app.spawning import spawn
from kew.app.working import context, runner
from kew.app.working.admission import Admission
from kew.app.working.executor import Executor
from kew.app.working.keeper import Keeper
from kew.app.working.reporter import Reporter
from kew.app.working.runner import Runner
from kew.app.working.runs import Run
from kew.domain.task import Task
from kew.testing import SimulatedManager, run
from kew.testing.manager import InstantThreads

LEASE = 3600.0

STEPS: list[tuple[Any, str]] = [
    (Runner, "_start"),
    (Keeper, "occupy"),
    (Admission, "start"),
    (Runner, "_attend"),
    (Executor, "timeout_of"),
    (Keeper, "watch_one"),
    (runner, "spawn"),
    (Run, "is_stopped"),
    (context, "enter"),
    (Reporter, "started"),
    (InstantThreads, "run"),
]


@pytest.fixture(autouse=True)
def no_coroutine_is_left() -> Iterator[None]:
    """Every coroutine is awaited or closed: the garbage collector would find it in some later test."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(one.message) for one in seen if "never awaited" in str(one.message)] == []


class Failing:
    """Fails at its first calls, then does what it replaces. It closes the coroutines that it gets and will not run."""

    def __init__(self, instead_of: Callable[..., Any], error: BaseException, times: int) -> None:
        self._original = instead_of
        self._error = error
        self.left = times

    def function(self) -> Callable[..., Any]:
        def failing(*args: Any, **kwargs: Any) -> Any:
            if self.left:
                self.left -= 1
                for coroutine in filter(inspect.iscoroutine, args):
                    coroutine.close()
                raise self._error
            return self._original(*args, **kwargs)

        return failing


def works(number: int) -> tuple[int, int]:
    return number, TaskContext.current().attempt


@pytest.mark.parametrize("kind", [RuntimeError, RecursionError])
@pytest.mark.parametrize(
    ("owner", "name"), STEPS, ids=lambda value: getattr(value, "__name__", value)
)
def test_what_fails_between_grant_and_start_releases_the_lease_at_once(
    monkeypatch, caplog, owner, name, kind
):
    error = kind("out of order")
    failing = Failing(getattr(owner, name), error, times=2)

    async def scenario(manager: SimulatedManager) -> list[tuple[int, int]]:
        await manager.create_queue(QueueConfig("q", max_workers=4, lease=LEASE), functions=[works])
        tasks = [
            {"task_id": f"t{n}", "task_type": "t", "task_func": works, "args": [n]}
            for n in range(4)
        ]
        monkeypatch.setattr(owner, name, failing.function())
        infos = await manager.submit_tasks("q", tasks)
        await manager.drain(within=10)
        status = await manager.get_queue_status("q")
        assert (status["current_workers"], status["queued_tasks"]) == (0, 0)
        return [await manager.handle(info).result() for info in infos]

    def started(info: TaskInfo) -> None:
        """Without it no hook is called."""

    caplog.set_level(logging.ERROR, logger="kew")
    results = run(scenario, on_task_start=started)
    monkeypatch.undo()
    assert [number for number, _ in results] == [0, 1, 2, 3]
    assert not failing.left
    told = [message for message in caplog.messages if "could not be started" in message]
    assert told
    assert str(error) in told[0]
    assert len([attempt for _, attempt in results if attempt > 1]) >= 1


def two_arguments(loop: asyncio.AbstractEventLoop, coro: Any) -> Any:
    return asyncio.Task(coro, loop=loop)


def raising(loop: asyncio.AbstractEventLoop, coro: Any, **more: Any) -> Any:
    raise ZeroDivisionError("a broken tool")


def forgetful(loop: asyncio.AbstractEventLoop, coro: Any, **more: Any) -> None:
    """It makes the task and doesn't return it."""
    KEPT.append(asyncio.Task(coro, loop=loop, **more))


def idle(loop: asyncio.AbstractEventLoop, coro: Any, **more: Any) -> None:
    """It makes no task at all."""


KEPT: list[asyncio.Task[Any]] = []


@pytest.mark.parametrize("factory", [two_arguments, raising, forgetful, idle])
async def test_tasks_run_under_any_task_factory(factory, caplog):
    loop = asyncio.get_running_loop()
    async with TaskQueueManager("memory://") as manager:
        loop.set_task_factory(factory)
        try:
            await manager.create_queue(QueueConfig("q", max_workers=2), functions=[works])
            work = manager.task(queue="q")(works)
            handles = [await work.submit(n) for n in range(5)]
            results = [await handle.result() for handle in handles]
        finally:
            loop.set_task_factory(None)
        status = await manager.get_queue_status("q")
    assert results == [(n, 1) for n in range(5)]
    assert status["current_workers"] == 0
    if factory in (raising, idle):
        blamed = [message for message in caplog.messages if "task factory" in message]
        assert len(blamed) == 1


def test_work_that_no_loop_can_start_is_closed():
    async def work() -> None:
        """It never begins."""

    begun = work()
    with pytest.raises(RuntimeError, match="no running event loop"):
        spawn(begun)
    assert inspect.getcoroutinestate(begun) == inspect.CORO_CLOSED


async def test_a_start_hook_that_cancels_its_asyncio_task_does_not_touch_the_attempt():
    def cancels(info: TaskInfo) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    async def awaits(number: int) -> int:
        await asyncio.sleep(0)
        return number

    async with TaskQueueManager("memory://", on_task_start=cancels) as manager:
        await manager.create_queue(QueueConfig("q"))
        work = manager.task(queue="q")(awaits)
        async with asyncio.timeout(30):
            assert await (await work.submit(7)).result() == 7


async def test_a_run_that_is_cancelled_before_its_first_step_is_released_and_runs_again():
    cancelled = 0

    def cancels_one(loop: asyncio.AbstractEventLoop, coro: Any) -> Any:
        nonlocal cancelled
        task = asyncio.Task(coro, loop=loop)
        if coro.__qualname__.endswith("_attend") and not cancelled:
            cancelled += 1
            task.cancel()
        return task

    loop = asyncio.get_running_loop()
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q", max_workers=1, lease=0.3), functions=[works])
        loop.set_task_factory(cancels_one)
        try:
            info = await manager.submit_task("t", "q", "t", works, None, 7)
            result = await manager.handle(info).result(timeout=30)
        finally:
            loop.set_task_factory(None)
    assert result == (7, 2)
    assert cancelled == 1


def test_a_task_that_can_never_be_started_fails_with_the_reason_and_delays_no_other(monkeypatch):
    failed: list[tuple[str, str, BaseException]] = []
    original = Executor.timeout_of

    def fails_for_one(self: Executor, task: Task) -> float:
        if task.id == "bad":
            raise RuntimeError("no room")
        return original(self, task)

    def on_fail(info: TaskInfo, error: BaseException) -> None:
        failed.append((info.task_id, info.status.value, error))

    async def scenario(manager: SimulatedManager) -> tuple[str, int]:
        await manager.create_queue(
            QueueConfig("q", max_workers=1, lease=LEASE, max_deliveries=2), functions=[works]
        )
        monkeypatch.setattr(Executor, "timeout_of", fails_for_one)
        bad = await manager.submit_task("bad", "q", "t", works, None, 1)
        good = await manager.submit_task("good", "q", "t", works, None, 2)
        assert await manager.handle(good).result() == (2, 1)
        with pytest.raises(TaskFailedError) as raised:
            await manager.handle(bad).result()
        status = await manager.get_queue_status("q")
        return str(raised.value), status["current_workers"]

    told, held = run(scenario, on_task_fail=on_fail)
    assert (
        "it could not be started, and was delivered 3 times, more often than max_deliveries allows: "
        "RuntimeError: no room" in told
    )
    assert held == 0
    ((task_id, status, error),) = failed
    assert (task_id, status, str(error)) == ("bad", "failed", "no room")


def test_a_lack_of_threads_costs_no_delivery(monkeypatch):
    failing = Failing(InstantThreads.run, RuntimeError("can't start new thread"), times=5)

    async def scenario(manager: SimulatedManager) -> object:
        await manager.create_queue(
            QueueConfig("q", lease=LEASE, max_deliveries=0), functions=[works]
        )
        monkeypatch.setattr(InstantThreads, "run", failing.function())
        return await manager.handle(
            await manager.submit_task("t", "q", "t", works, None, 1)
        ).result()

    assert run(scenario) == (1, 6)
