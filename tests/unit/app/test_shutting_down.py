"""A shutdown never waits for itself, nor for a store that has gone."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from kew import QueueConfig, Retry, TaskInfo, TaskQueueManager, TaskStatus
from kew.adapters.clocks import SystemClock
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.store import MemoryStore
from kew.app.ports import Refused
from kew.bootstrap import Parts
from kew.compat import override

SHORT = {"wait": False}
KINDS: list[dict[str, Any]] = [{}, SHORT, {"timeout": 0}, {"timeout": None}]


async def ended(manager: TaskQueueManager) -> None:
    """Wait for the end of the shutdown that a task or a hook asked for."""
    async with asyncio.timeout(10):
        await manager.shutdown()


async def status_in(url: str, task_id: str) -> TaskStatus:
    async with TaskQueueManager(url) as other:
        return (await other.get_task_status(task_id)).status


@pytest.mark.parametrize("kind", range(len(KINDS)))
@pytest.mark.parametrize("where", ["coroutine", "thread", "child"])
async def test_a_task_that_shuts_its_manager_down_completes_and_is_not_run_again(where, kind):
    url, options = f"memory://inside-{where}-{kind}", KINDS[kind]
    loop = asyncio.get_running_loop()
    called = asyncio.Event()
    runs: list[int] = []
    manager = TaskQueueManager(url)

    async def coroutine() -> str:
        runs.append(1)
        await manager.shutdown(**options)
        called.set()
        await asyncio.sleep(0)
        return "the last one"

    def thread() -> str:
        runs.append(1)
        asyncio.run_coroutine_threadsafe(manager.shutdown(**options), loop).result(10)
        loop.call_soon_threadsafe(called.set)
        return "the last one"

    async def child() -> str:
        return await asyncio.create_task(coroutine())

    function: Callable[..., Any] = {"coroutine": coroutine, "thread": thread, "child": child}[where]
    manager.register(function, name="last")
    await manager.initialize()
    await manager.create_queue(QueueConfig("q", lease=1.0))
    await manager.submit_task("last", "q", "t", function)
    async with asyncio.timeout(10):
        await called.wait()
    await ended(manager)
    assert await status_in(url, "last") is TaskStatus.COMPLETED
    assert runs == [1]


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("hook", ["on_task_start", "on_task_complete", "on_task_fail"])
async def test_a_hook_that_shuts_its_manager_down_does_not_wait_for_itself(hook, options, caplog):
    called = asyncio.Event()

    async def stops(info: TaskInfo, *_error: object) -> None:
        await manager.shutdown(**options)
        called.set()

    async def work(fails: bool) -> None:
        if fails:
            raise ValueError

    hooks: dict[str, Any] = {hook: stops}
    manager = TaskQueueManager("memory://", **hooks)
    await manager.initialize()
    await manager.create_queue(QueueConfig("q"))
    await manager.submit_task("t", "q", "t", work, None, hook == "on_task_fail")
    async with asyncio.timeout(10):
        await called.wait()
    await ended(manager)
    assert not [message for message in caplog.messages if "still ran" in message]


async def test_two_tasks_that_shut_the_manager_down_at_once_both_complete():
    manager = TaskQueueManager("memory://twice")

    async def stops() -> None:
        await asyncio.sleep(0.01)
        await manager.shutdown()
        await manager.shutdown()

    await manager.initialize()
    await manager.create_queue(QueueConfig("q", max_workers=2))
    infos = [await manager.submit_task(f"t{n}", "q", "t", stops) for n in range(2)]
    results = asyncio.gather(*(manager.handle(info).result(timeout=10) for info in infos))
    await results
    await ended(manager)


async def test_a_task_of_another_manager_waits_for_the_end_of_the_shutdown():
    first, second = TaskQueueManager("memory://"), TaskQueueManager("memory://")
    running, may_end = asyncio.Event(), asyncio.Event()

    async def runs() -> None:
        running.set()
        await may_end.wait()

    async def stops_the_other() -> bool:
        asyncio.get_running_loop().call_later(0.05, may_end.set)
        await first.shutdown()
        return may_end.is_set()

    async with first, second:
        await first.create_queue(QueueConfig("q"))
        await second.create_queue(QueueConfig("q"))
        await first.submit_task("t", "q", "t", runs)
        await running.wait()
        info = await second.submit_task("t", "q", "t", stops_the_other)
        assert await second.handle(info).result(timeout=10) is True


class Gone(MemoryStore):
    """A store that goes away."""

    is_gone = False

    def __init__(self) -> None:
        super().__init__(SystemClock())
        for name in ("claim", "settle", "submit", "do"):
            setattr(self, name, self._unless_gone(getattr(self, name)))

    def _unless_gone(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        async def answered(*args: Any) -> Any:
            if self.is_gone:
                raise Refused("connection refused")
            return await operation(*args)

        return answered

    @override
    async def close(self) -> None:
        """Nothing to close."""


async def test_a_patient_shutdown_returns_once_nothing_runs_although_the_store_is_gone():
    store = Gone()
    manager = TaskQueueManager(parts=Parts(store=store, wakeup=MemoryWakeup(store.namespace.hub)))
    may_end = asyncio.Event()

    async def runs() -> None:
        await may_end.wait()

    await manager.initialize()
    queue = QueueConfig("q", max_workers=3, lease=60.0)
    await manager.create_queue(queue, functions=[runs])
    await manager.submit_task("t", "q", "t", runs)
    await asyncio.sleep(0.01)
    store.is_gone = True
    manager._served["q"].worker.wake()  # type: ignore[union-attr]  # a claim that is never answered
    ending = asyncio.create_task(manager.shutdown(timeout=None))
    await asyncio.sleep(0.05)
    assert not ending.done()
    may_end.set()
    async with asyncio.timeout(10):
        await ending


async def test_tasks_that_come_again_at_once_do_not_hold_a_shutdown_up():
    manager = TaskQueueManager("memory://")

    async def comes_again() -> None:
        await asyncio.sleep(0)
        raise Retry(after=0)

    await manager.initialize()
    config = QueueConfig("q", max_workers=8, max_retries=10**6, max_circuit_breaker_failures=None)
    await manager.create_queue(config)
    for n in range(8):
        await manager.submit_task(f"t{n}", "q", "t", comes_again)
    await asyncio.sleep(0.05)
    async with asyncio.timeout(10):
        await manager.shutdown(timeout=None)
