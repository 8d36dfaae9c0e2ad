"""`await context.checkpoint(...)`: the next attempt finds what was saved, and only a current lease may save."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from kew import (
    InvalidCheckpointError,
    LeaseLostError,
    QueueConfig,
    TaskCheckpoint,
    TaskContext,
    TaskFailedError,
    TaskHandle,
    TaskQueueManager,
)
from kew.adapters.memory.store import MemoryStore
from kew.domain.requests import Word
from kew.testing import SimulatedManager, run

VALUES = [{"page": 3}, [1, "é", None], "x" * 2_000, (1, 2), datetime(2030, 1, 1, tzinfo=UTC), 0]


async def submitted(
    manager: TaskQueueManager, function: Callable[..., Any], **config: Any
) -> TaskHandle[Any]:
    await manager.create_queue(QueueConfig("q", retry_delay=0.0, **config))
    return manager.handle(await manager.submit_task("t", "q", "work", function))


@pytest.mark.parametrize("value", VALUES)
def test_the_next_attempt_reads_what_the_last_one_saved(value: Any):
    seen = []

    async def story(manager: SimulatedManager) -> None:
        async def work() -> None:
            context = TaskContext.current()
            seen.append(context.last_checkpoint)
            await context.checkpoint("first")
            await context.checkpoint(value)
            seen.append(context.last_checkpoint)
            if context.attempt == 1:
                raise ValueError

        await (await submitted(manager, work, max_retries=1)).result()

    run(story)
    assert seen == [None, value, value, value]
    assert type(seen[1]) is type(value)


def test_a_status_says_what_was_saved_until_the_task_completes():
    async def story(manager: SimulatedManager) -> list[TaskCheckpoint | None]:
        async def work() -> None:
            context = TaskContext.current()
            if context.attempt == 1:
                await context.checkpoint({"page": 12})
                raise ValueError

        await manager.create_queue(QueueConfig("q", retry_delay=60, max_retries=1))
        task = manager.handle(await manager.submit_task("t", "q", "work", work))
        await manager.advance(1)
        waiting = (await task.status()).checkpoint
        await manager.advance(60)
        return [waiting, (await task.status()).checkpoint]

    [saved, done] = run(story)
    assert saved is not None
    assert (saved.attempt, saved.size > 0) == (1, True)
    assert done is None


@pytest.mark.parametrize("value", [object(), "x" * 100_000, {1, object()}])
def test_what_would_not_arrive_is_refused_and_the_last_one_stays(value: Any):
    async def story(manager: SimulatedManager) -> Any:
        async def work() -> Any:
            context = TaskContext.current()
            await context.checkpoint("kept")
            with pytest.raises(InvalidCheckpointError, match=r"checkpoint: it can't be stored"):
                await context.checkpoint(value)
            return context.last_checkpoint

        return await (await submitted(manager, work)).result()

    assert run(story) == "kept"


async def test_a_plain_function_saves_from_its_thread():
    def work() -> Any:
        context = TaskContext.current()
        context.checkpoint_from_thread({"page": 1})
        return context.last_checkpoint

    async with TaskQueueManager("memory://") as manager:
        assert await (await submitted(manager, work)).result() == {"page": 1}


def test_a_coroutine_that_would_block_its_event_loop_is_refused():
    async def story(manager: SimulatedManager) -> None:
        async def work() -> None:
            with pytest.raises(RuntimeError, match="await context"):
                TaskContext.current().checkpoint_from_thread(1)

        await (await submitted(manager, work)).result()

    run(story)


async def test_a_run_that_has_lost_its_lease_is_refused_and_stopped(
    monkeypatch: pytest.MonkeyPatch,
):
    original, errors = MemoryStore.do, list[Exception]()

    async def do(self: MemoryStore, operation: Any) -> Any:
        if operation.name == "checkpoint" and not errors:
            return Word.STALE
        return await original(self, operation)

    monkeypatch.setattr(MemoryStore, "do", do)

    async def work() -> None:
        try:
            await TaskContext.current().checkpoint(1)
        except LeaseLostError as error:
            errors.append(error)
            await asyncio.sleep(60)

    async with TaskQueueManager("memory://") as manager:
        handle = await submitted(manager, work, lease=1.0)
        await handle.result(timeout=20)
        assert (await handle.status()).attempt == 2
    assert [str(error) for error in errors] == ["task 't': this attempt no longer has its lease"]


def test_an_attempt_that_has_ended_saves_nothing():
    async def story(manager: SimulatedManager) -> None:
        contexts = []

        async def work() -> None:
            contexts.append(TaskContext.current())

        await (await submitted(manager, work)).result()
        with pytest.raises(LeaseLostError):
            await contexts[0].checkpoint(1)
        alone = TaskContext(
            task_id="t", queue="q", task_type="", attempt=1, fencing_token=1, deadline=0
        )
        with pytest.raises(LeaseLostError):
            await alone.checkpoint(1)
        with pytest.raises(LeaseLostError):
            alone.checkpoint_from_thread(1)
        assert alone.last_checkpoint is None

    run(story)


def test_a_cancelled_run_saves_what_it_has_and_is_stopped():
    async def story(manager: SimulatedManager) -> None:
        async def work() -> None:
            while True:
                await TaskContext.current().checkpoint(1)
                await asyncio.sleep(0.1)

        handle = await submitted(manager, work, lease=60.0)
        await asyncio.sleep(1)
        await handle.cancel()
        with pytest.raises(Exception, match="cancelled"):
            await handle.result(timeout=5)

    run(story)


def test_a_replayed_dead_letter_goes_on_where_it_was():
    async def story(manager: SimulatedManager) -> Any:
        async def work() -> Any:
            context = TaskContext.current()
            if context.attempt == 1:
                await context.checkpoint("page 3")
                raise ValueError
            return context.last_checkpoint

        handle = await submitted(manager, work)
        with pytest.raises(TaskFailedError):
            await handle.result()
        await manager.replay_task("t")
        return await handle.result()

    assert run(story) == "page 3"
