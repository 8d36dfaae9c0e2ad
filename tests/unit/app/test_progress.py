"""`context.progress()`: a plain call that costs the store next to nothing, from coroutines and from threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kew import (
    InvalidProgressError,
    QueueConfig,
    TaskContext,
    TaskFailedError,
    TaskHandle,
    TaskProgress,
    TaskQueueManager,
    current_task,
)
from kew.adapters.memory.store import MemoryStore
from kew.app.observer import Observer, StoreCall
from kew.app.working import reports
from kew.compat import override
from kew.testing import SimulatedManager, run

CALLS = 1_000_000
Story = Callable[[SimulatedManager], Awaitable[Any]]


class Calls(Observer):
    """The store calls of one name."""

    def __init__(self) -> None:
        self.names: list[str] = []

    @override
    def on_store_call(self, call: StoreCall) -> None:
        self.names.append(call.operation)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are sent at once."""
    monkeypatch.setattr(reports, "INTERVAL", 0.0)


async def submitted(
    manager: TaskQueueManager, function: Callable[..., Any], task_id: str = "t"
) -> TaskHandle[Any]:
    return manager.handle(await manager.submit_task(task_id, "q", "work", function))


async def created(manager: TaskQueueManager, **config: Any) -> None:
    await manager.create_queue(QueueConfig("q", **config))


async def reported(handle: TaskHandle[Any], value: float) -> TaskProgress:
    """What it reports, once it has come so far."""
    for _ in range(10_000):
        progress = await handle.progress()
        if progress is not None and progress.value >= value:
            return progress
        await asyncio.sleep(0.001)
    raise AssertionError("nothing was reported")


def test_a_handle_sees_the_last_report_about_a_second_later():
    async def story(manager: SimulatedManager) -> list[TaskProgress | None]:
        async def count() -> None:
            for page in range(1, 11):
                TaskContext.current().progress(page / 10, f"page {page} of 10")
                await asyncio.sleep(1)

        await created(manager)
        handle = await submitted(manager, count)
        assert await handle.progress() is None
        seen = []
        for _ in range(3):
            await asyncio.sleep(2.5)
            seen.append(await handle.progress())
        await handle.result()
        return [*seen, await handle.progress()]

    *seen, last = run(story)
    pages = [int(one.message.split()[1]) for one in seen if one]
    assert len(pages) == 3
    assert pages == sorted(pages)
    assert [one.value for one in seen if one] == [page / 10 for page in pages]
    assert last is None


def test_a_million_calls_cost_fewer_than_five_store_operations_a_second():
    async def story(manager: SimulatedManager) -> tuple[list[str], TaskProgress | None]:
        async def count() -> None:
            context = TaskContext.current()
            for n in range(1, CALLS + 1):
                context.progress(n / CALLS, "on")
                if n % (CALLS // 100) == 0:
                    await asyncio.sleep(0.1)  # ten seconds in all
            await asyncio.sleep(1.5)

        await created(manager, lease=3.0)
        handle = await submitted(manager, count)
        await asyncio.sleep(0.5)
        calls.names.clear()
        await asyncio.sleep(10.5)
        names, progress = list(calls.names), await handle.progress()
        await handle.result()
        return names, progress

    calls = Calls()
    names, progress = run(story, observer=calls)
    extensions = names.count("extend")
    assert 8 <= extensions <= 21
    assert len(names) < 5 * 10
    assert progress is not None
    assert progress.value == 1


def test_the_runs_of_a_process_share_one_operation():
    async def story(manager: SimulatedManager) -> int:
        async def work() -> None:
            for n in range(10):
                TaskContext.current().progress(n / 10)
                await asyncio.sleep(0.5)

        await created(manager, max_workers=20, lease=60.0)
        handles = [await submitted(manager, work, f"t{n}") for n in range(20)]
        await asyncio.gather(*(handle.result() for handle in handles))
        return calls.names.count("extend")

    calls = Calls()
    assert 3 <= run(story, observer=calls) <= 6


def test_a_task_that_ends_within_a_second_costs_no_operation_more():
    async def story(manager: SimulatedManager) -> int:
        async def work() -> None:
            TaskContext.current().progress(0.5)
            await asyncio.sleep(0.9)

        await created(manager)
        await (await submitted(manager, work)).result()
        await asyncio.sleep(5)
        return calls.names.count("extend")

    calls = Calls()
    assert run(story, observer=calls) == 0


def test_a_failed_attempt_shows_how_far_it_came_and_the_next_one_begins_anew():
    async def story(manager: SimulatedManager) -> list[Any]:
        async def work() -> None:
            context = TaskContext.current()
            if context.attempt == 1:
                context.progress(0.25, "a quarter")
            await asyncio.sleep(2)
            raise ValueError

        await created(manager, max_retries=1, retry_delay=10)
        handle = await submitted(manager, work)
        await asyncio.sleep(5)
        waiting = await handle.status()
        with pytest.raises(TaskFailedError) as raised:
            await handle.result()
        return [waiting, raised.value.info]

    waiting, dead = run(story)
    assert waiting.status == "retry"
    assert (waiting.progress and waiting.progress.message) == "a quarter"
    assert dead.progress is None


@pytest.mark.parametrize("value", [float("nan"), 1.5, -1, "half"])
def test_what_is_no_progress_fails_the_attempt_that_reports_it(value: Any):
    async def story(manager: SimulatedManager) -> Any:
        async def work() -> None:
            TaskContext.current().progress(value)

        await created(manager)
        with pytest.raises(TaskFailedError) as raised:
            await (await submitted(manager, work)).result()
        return raised.value.info

    assert str(run(story).error).startswith("InvalidProgressError: progress is a number")


@pytest.mark.usefixtures("quick")
async def test_a_plain_function_reports_from_its_thread():
    seen = threading.Event()

    def work() -> str:
        for n in range(100):
            TaskContext.current().progress(n / 100, threading.current_thread().name)
        seen.wait(10)
        return "done"

    async with TaskQueueManager("memory://") as manager:
        await created(manager)
        handle = await submitted(manager, work)
        progress = await reported(handle, 0.99)
        assert progress.message != threading.current_thread().name
        seen.set()
        assert await handle.result() == "done"


@pytest.mark.usefixtures("quick")
async def test_a_run_that_has_ended_reports_nothing_and_is_forgotten():
    contexts: list[TaskContext] = []

    async def work() -> None:
        context = current_task()
        assert context is not None
        context.progress(0.5)
        contexts.append(context)

    async with TaskQueueManager("memory://") as manager:
        await created(manager)
        handle = await submitted(manager, work)
        await handle.result()
        contexts[0].progress(0.9)
        with pytest.raises(InvalidProgressError):
            contexts[0].progress(2)
        collected: Any = contexts[0]._reports
        for _ in range(20):
            await asyncio.sleep(0)
        assert not collected._last
        assert not collected._sent
    contexts[0].progress(0.9)


async def test_reports_that_the_store_refused_are_sent_with_the_next_heartbeat(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(reports, "INTERVAL", 0.01)
    refused: list[Any] = []
    original = MemoryStore.do

    async def do(self: MemoryStore, operation: Any) -> Any:
        if operation.name == "extend" and len(refused) < 1:
            refused.append(operation)
            raise TimeoutError
        return await original(self, operation)

    monkeypatch.setattr(MemoryStore, "do", do)
    async with TaskQueueManager("memory://") as manager:
        done = asyncio.Event()

        async def work() -> None:
            TaskContext.current().progress(0.5)
            await done.wait()

        await created(manager, lease=1.0)
        handle = await submitted(manager, work)
        progress = await reported(handle, 0.5)
        done.set()
        await handle.result()
    assert progress.value == 0.5
    assert len(refused) == 1
