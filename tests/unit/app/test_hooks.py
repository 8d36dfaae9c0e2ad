"""Hooks that can't be called, and hooks that fail."""

import time
from typing import Any

import pytest

from kew import InvalidConfigError, QueueConfig, TaskQueueManager


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
        await (await work.options(task_id="t").submit("four")).result(timeout=5)
    named = "test_a_hook_that_fails_is_logged_by_its_name.<locals>.broken"
    assert f"task t: the hook {named} failed" in caplog.messages


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
