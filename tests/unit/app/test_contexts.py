"""In which context code runs: each run's own for its task and its hooks, a clean one for all that serves many."""

import asyncio
import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

import pytest

from kew import QueueConfig, TaskContext, TaskInfo, TaskQueueManager
from kew.adapters.clocks import SystemClock
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.store import MemoryStore
from kew.app.ports import Extend, Operation
from kew.bootstrap import Parts
from kew.compat import override

bound: ContextVar[str] = ContextVar("bound", default="none")
TASKS = 30


def current() -> str:
    try:
        return TaskContext.current().task_id
    except LookupError:
        return "none"


async def returns(number: int) -> None:
    bound.set(TaskContext.current().task_id)
    await asyncio.sleep(0.001)


async def raises(number: int) -> None:
    await returns(number)
    raise ValueError(number)


def in_thread(number: int) -> None:
    bound.set(TaskContext.current().task_id)


KINDS: tuple[Callable[[int], object], ...] = (returns, raises, in_thread)


class Noting(logging.Handler):
    """Notes in which context lines on tasks are logged."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str, str]] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("task "):
            task_id = record.getMessage().split()[1]
            self.seen.append((task_id, bound.get(), current()))


@pytest.fixture
def noted() -> Any:
    handler = Noting()
    log = logging.getLogger("kew")
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)


async def run_all(manager: TaskQueueManager) -> None:
    tasks: list[dict[str, Any]] = [
        {"task_id": f"t{n}", "task_type": "t", "task_func": KINDS[n % 3], "args": [n]}
        for n in range(TASKS)
    ]
    infos = await manager.submit_tasks("q", tasks)
    results = (manager.handle(info).result(timeout=30) for info in infos)
    await asyncio.gather(*results, return_exceptions=True)


async def test_hooks_and_log_lines_have_the_context_of_their_own_run(noted):
    seen: dict[str, list[tuple[str, str, str]]] = {"start": [], "complete": [], "fail": []}

    def hook(name: str) -> Any:
        async def note(info: TaskInfo, *_error: object) -> None:
            await asyncio.sleep(0)
            seen[name].append((info.task_id, bound.get(), current()))

        return note

    async with TaskQueueManager(
        "memory://",
        on_task_start=hook("start"),
        on_task_complete=hook("complete"),
        on_task_fail=hook("fail"),
    ) as manager:
        config = QueueConfig("q", max_workers=10, max_circuit_breaker_failures=None)
        await manager.create_queue(config, functions=KINDS)
        await run_all(manager)
    ids = {f"t{n}" for n in range(TASKS)}
    assert {name: len(told) for name, told in seen.items()} == {
        "start": TASKS,
        "complete": TASKS * 2 // 3,
        "fail": TASKS // 3,
    }
    for task_id, of_the_task, inside in (*seen["complete"], *seen["fail"]):
        assert of_the_task == inside == task_id
    assert seen["start"] == [(task_id, "none", task_id) for task_id, _, _ in seen["start"]]
    assert len(noted.seen) == TASKS // 3
    assert all(task_id == of_the_task == inside for task_id, of_the_task, inside in noted.seen)
    assert {task_id for told in seen.values() for task_id, _, _ in told} == ids


@pytest.mark.parametrize("max_loop_lag", [None, 0.1])
async def test_a_queue_that_is_created_in_a_request_passes_none_of_its_context_on(max_loop_lag):
    seen: list[str] = []

    async def task(number: int) -> None:
        seen.append(bound.get())
        await asyncio.sleep(0)

    def plain(number: int) -> None:
        seen.append(bound.get())

    def hook(info: TaskInfo) -> None:
        seen.append(bound.get())

    bound.set("the request")
    manager = TaskQueueManager(
        "memory://", on_task_start=hook, on_task_complete=hook, max_loop_lag=max_loop_lag
    )
    async with manager:
        await manager.create_queue(QueueConfig("q", max_workers=3))
        for n in range(6):
            bound.set(f"request {n}")
            await manager.submit_task(f"t{n}", "q", "t", task if n % 2 else plain, None, n)
        for n in range(6):
            info = await manager.get_task_status(f"t{n}")
            await manager.handle(info).result(timeout=30)
    assert len(seen) == 18
    assert set(seen) == {"none"}


A = TypeVar("A")


class Listening(MemoryStore):
    """Notes in which context each operation of the store is begun."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.seen: list[tuple[str, str, str]] = []

    def note(self, operation: str) -> None:
        self.seen.append((operation, bound.get(), current()))

    @override
    def post(self, *args: Any) -> Any:
        self.note("post")
        return super().post(*args)

    @override
    async def claim(self, *args: Any) -> Any:
        self.note("claim")
        return await super().claim(*args)

    @override
    async def settle(self, *args: Any) -> Any:
        self.note("settle")
        return await super().settle(*args)

    @override
    async def do(self, operation: Operation[A]) -> A:
        if isinstance(operation, Extend):
            self.note("extend")
        return await super().do(operation)


async def test_what_serves_many_tasks_has_the_context_of_none():
    bound.set("the program")
    store = Listening()
    parts = Parts(store=store, wakeup=MemoryWakeup(store.namespace.hub))
    manager = TaskQueueManager(parts=parts)
    async with manager:
        config = QueueConfig("q", max_workers=3, lease=0.3, max_circuit_breaker_failures=None)
        await manager.create_queue(config, functions=KINDS)
        await run_all(manager)

        async def submits(depth: int) -> None:
            bound.set(TaskContext.current().task_id)
            await asyncio.sleep(0.15)
            if depth:
                await manager.submit_task(f"d{depth}", "q", "t", submits, None, depth - 1)

        first = await manager.submit_task("d", "q", "t", submits, None, 2)
        await manager.handle(first).result(timeout=30)
        for depth in (2, 1):
            await manager.handle(await manager.get_task_status(f"d{depth}")).result(timeout=30)
    assert {operation for operation, _, _ in store.seen} == {"post", "claim", "settle", "extend"}
    assert {(of_a_task, inside) for _, of_a_task, inside in store.seen} == {("none", "none")}
