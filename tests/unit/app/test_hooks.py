"""Hooks that can't be called, and hooks that fail."""

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
