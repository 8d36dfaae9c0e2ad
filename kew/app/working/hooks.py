"""The user's hooks as an observer: a failing hook is logged and harms nothing."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from kew.app.info import TaskInfo
from kew.app.labels import log_task
from kew.app.working.interrupts import is_interrupt
from kew.app.working.runs import is_loop_gone
from kew.domain.errors import InvalidConfigError, shown
from kew.domain.task import Task
from kew.log import logger

TaskHook = Callable[[TaskInfo], Awaitable[Any] | Any]
FailHook = Callable[[TaskInfo, BaseException], Awaitable[Any] | Any]


@attrs.frozen(kw_only=True)
class Hooks:
    """Plain or async callables, each called in the process that ran the attempt.

    `on_task_start(info)` before the task's code, `on_task_complete(info)` and `on_task_fail(info,
    error)` after the outcome was accepted by the store: once per attempt, never for a stale one. For a task that failed
    for good with its worker, `on_task_fail` is called in the process that recovered it.
    """

    on_task_start: TaskHook | None = None
    on_task_complete: TaskHook | None = None
    on_task_fail: FailHook | None = None

    def __attrs_post_init__(self) -> None:
        """A hook that can't be called raises `InvalidConfigError`."""
        for name, hook in attrs.asdict(self, recurse=False).items():
            if hook is not None and not callable(hook):
                raise InvalidConfigError(f"{name} must be callable or None, not {shown(hook)}")

    async def started(self, task: Task, info: TaskInfo) -> None:
        """Call `on_task_start`."""
        await _call(self.on_task_start, task, info)

    async def completed(self, task: Task, info: TaskInfo) -> None:
        """Call `on_task_complete`."""
        await _call(self.on_task_complete, task, info)

    async def failed(self, task: Task, info: TaskInfo, error: BaseException) -> None:
        """Call `on_task_fail`."""
        await _call(self.on_task_fail, task, info, error)


async def _call(hook: Callable[..., Any] | None, task: Task, *given: object) -> None:
    if hook is None:
        return
    try:
        outcome = hook(*given)
        if inspect.isawaitable(outcome):
            await outcome
    except BaseException as error:  # a user's code: whatever it raises must not touch the task
        if is_loop_gone() or is_interrupt(error):
            raise
        if isinstance(error, asyncio.CancelledError) and _is_cancelled():
            raise
        name = getattr(hook, "__qualname__", repr(hook))
        log_task(logger.exception, task, "the hook %s failed", name)


def _is_cancelled() -> bool:
    """Whether the run itself is cancelled, rather than something that its hook awaits."""
    own = asyncio.current_task()
    return own is not None and own.cancelling() > 0
