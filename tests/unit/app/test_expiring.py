"""`expires_in`: of a submit, of a function and of a batch."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kew import (
    InvalidConfigError,
    InvalidTaskError,
    QueueConfig,
    TaskCancelledError,
    TaskQueueManager,
    TaskStatus,
)
from kew.testing import SimulatedManager, run
from tests.support import jobs


def test_a_task_that_no_process_starts_in_time_is_cancelled_without_an_attempt():
    async def scenario(manager: SimulatedManager) -> None:
        await manager.create_queue(QueueConfig("q"))
        ran = []

        @manager.task(queue="q", expires_in=5)
        async def note(name: str) -> None:
            ran.append(name)

        await manager.pause_queue("q")
        late = await note.submit("late")
        kept = await note.options(expires_in=timedelta(minutes=1)).submit("kept")
        later = await note.options(expires_in=9, defer_by=8).submit("later")
        waiting = asyncio.create_task(late.result())
        await asyncio.sleep(10)
        await manager.resume_queue("q")
        with pytest.raises(TaskCancelledError, match=r"it expired: no process .* within 5.000 s"):
            await waiting
        await kept.result()
        with pytest.raises(TaskCancelledError):
            await later.result()
        assert ran == ["kept"]
        info = await late.status()
        assert (info.status, info.attempt) == (TaskStatus.CANCELLED, 0)
        assert [reason.code for reason in (await manager.explain(late)).reasons] == ["expired"]
        await manager.replay_task(late)
        await late.result()
        assert ran == ["kept", "late"]

    run(scenario)


@pytest.mark.parametrize("value", [0, -1, "5", True, float("nan"), 1e12])
async def test_a_time_that_is_none_is_refused(value: Any):
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        with pytest.raises(InvalidTaskError, match="expires_in takes seconds or a timedelta"):
            await manager.submit_task("t", "q", "t", jobs.echo, None, 1, _expires_in=value)
        with pytest.raises(InvalidConfigError):
            manager.task(queue="q", expires_in=value)(jobs.echo)


async def test_a_task_that_would_expire_before_it_is_due_is_refused():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        entry = {
            "task_id": "t",
            "task_type": "t",
            "task_func": jobs.echo,
            "args": (1,),
            "defer_by": 10,
            "expires_in": 10,
        }
        with pytest.raises(InvalidTaskError, match="it would expire before it is due"):
            await manager.submit_tasks("q", [entry])
        await manager.submit_tasks("q", [{**entry, "expires_in": 10.001}])


async def test_a_function_whose_tasks_expire_before_they_are_due_is_refused_like_a_submit():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        echo = manager.task(queue="q", expires_in=60)(jobs.echo)
        with pytest.raises(InvalidTaskError, match=r"expires_in \(60 s\)"):
            await echo.options(defer_by=3600).submit(value=1)
        await echo.options(defer_by=59).submit(value=1)


async def test_a_task_that_is_due_later_than_it_expires_is_refused():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        later = datetime.now(UTC) + timedelta(hours=1)
        entries = [
            {"task_id": "first", "task_type": "t", "task_func": jobs.echo, "args": [1]},
            {"task_id": "never", "task_type": "t", "task_func": jobs.echo, "args": [2]},
        ]
        entries[1] |= {"_defer_until": later, "_expires_in": 60}
        with pytest.raises(InvalidTaskError, match=r"never.*would expire before it is due"):
            await manager.submit_tasks("q", entries)
        assert (await manager.get_tasks("q")).tasks == ()
