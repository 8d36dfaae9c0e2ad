"""The TimeoutError of a result says what the task waits for, or where it runs, and it is true."""

import asyncio
import functools
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from kew import (
    QueueConfig,
    StoreUnavailableError,
    TaskCancelledError,
    TaskNotFoundError,
    TaskQueueManager,
)
from kew.adapters.clocks import SystemClock
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.store import MemoryStore
from kew.app import inspector
from kew.app.ports import Explain, Operation, Refused
from kew.app.repeat import ask
from kew.bootstrap import Parts
from kew.compat import override
from kew.domain.incarnations import place_of


async def nap(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def reason(manager: TaskQueueManager, task_id: str) -> str:
    handle = manager.handle(await manager.get_task_status(task_id))
    with pytest.raises(TimeoutError) as caught:
        await handle.result(timeout=0.05)
    text = str(caught.value)
    start = f"task {task_id!r} did not end within 0.05 s and was not cancelled: "
    assert text.startswith(start)
    return text.removeprefix(start)


async def test_a_wait_that_was_too_short_says_what_the_task_waits_for():
    async with (
        TaskQueueManager("memory://whereabouts") as worker,
        TaskQueueManager("memory://whereabouts") as web,
    ):
        await web.create_queue(QueueConfig("q"), work=False)
        await web.submit_task("alone", "q", "t", nap, None, 60)
        assert "no process works on its queue" in await reason(web, "alone")
        await worker.create_queue(QueueConfig("q", max_workers=1), functions=[nap])
        await web.submit_task("behind", "q", "t", nap, None, 60)
        assert "attempt 1 has been running for" in await reason(web, "alone")
        assert place_of(worker._here().incarnation) in await reason(web, "alone")
        assert "as many as max_workers allows" in await reason(web, "behind")
        await web.pause_queue("q")
        assert "the queue is paused" in await reason(web, "behind")
        await web.cancel_task("alone")


async def timed_out_but(
    manager: TaskQueueManager, meanwhile: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wait whose time is over, after which something happens before the store is asked."""
    handle = manager.handle(await manager.submit_task("t", "q", "t", nap, None, 60))
    whereabouts_of = type(manager)._whereabouts

    async def later(self: Any, task_id: str) -> Any:
        await meanwhile()
        return await whereabouts_of(self, task_id)

    monkeypatch.setattr(type(manager), "_whereabouts", later)
    await handle.result(timeout=0.01)


async def test_what_ended_meanwhile_is_the_answer(monkeypatch: pytest.MonkeyPatch):
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        with pytest.raises(TaskCancelledError):
            await timed_out_but(manager, lambda: manager.cancel_task("t"), monkeypatch)


async def test_a_task_without_a_record_does_not_go_on(monkeypatch: pytest.MonkeyPatch):
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        with pytest.raises(TaskNotFoundError):
            await timed_out_but(manager, manager.cleanup, monkeypatch)


A = TypeVar("A")


class Moody(MemoryStore):
    """A store that answers no question, at once or ever."""

    error: Exception | None = None

    @override
    async def do(self, operation: Operation[A]) -> A:
        if isinstance(operation, Explain):
            if self.error is not None:
                raise self.error
            await asyncio.sleep(3600)
        return await super().do(operation)


@pytest.mark.parametrize("error", [Refused("no"), None])
async def test_a_store_that_does_not_answer_is_not_waited_for(
    error: Exception | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(inspector, "SHORT_WAIT", 0.01)
    store = Moody(SystemClock())
    store.error = error
    parts = Parts(store=store, wakeup=MemoryWakeup(store.namespace.hub))
    async with TaskQueueManager(parts=parts) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        handle = manager.handle(await manager.submit_task("t", "q", "t", nap, None, 60))
        with pytest.raises(TimeoutError, match="the store doesn't answer now"):
            await handle.result(timeout=0.01)


async def test_an_explanation_is_asked_for_by_id_status_or_handle():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        info = await manager.submit_task("t", "q", "t", nap, None, 60)
        for task in ("t", info, manager.handle(info)):
            why = await manager.explain(task)
            assert [reason.code for reason in why.reasons] == ["no_process"]
            assert str(why) == f"it waits: {why.reasons[0].text}"


async def test_a_task_without_a_record_has_no_explanation():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        await manager.submit_task("t", "q", "t", nap, None, 60)
        with pytest.raises(TaskNotFoundError):
            await manager.explain("another")
        with pytest.raises(TaskNotFoundError):
            await manager.explain("x" * 999)
        await manager.cleanup()
        with pytest.raises(TaskNotFoundError):
            await manager.explain("t")


async def test_a_store_that_cannot_be_reached_explains_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inspector, "ask", functools.partial(ask, patience=0.05))
    store = Moody(SystemClock())
    store.error = Refused("no")
    parts = Parts(store=store, wakeup=MemoryWakeup(store.namespace.hub))
    async with TaskQueueManager(parts=parts) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        await manager.submit_task("t", "q", "t", nap, None, 60)
        with pytest.raises(StoreUnavailableError):
            await manager.explain("t")
