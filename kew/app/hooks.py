"""The user's hooks as an observer: a failing hook is logged and harms nothing."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from kew.app.info import TaskInfo
from kew.app.runs import is_loop_gone
from kew.domain.errors import InvalidConfigError, shown
from kew.log import logger

TaskHook = Callable[[TaskInfo], Awaitable[Any] | Any]
FailHook = Callable[[TaskInfo, BaseException], Awaitable[Any] | Any]


@attrs.frozen(kw_only=True)
class Hooks:
    """Plain or async callables, each called in the process that ran the attempt.

    `on_task_start(info)` before the task's code, `on_task_complete(info)` and `on_task_fail(info,
    error)` after the outcome was accepted by the store: once per attempt, never for a stale one.
    """

    on_task_start: TaskHook | None = None
    on_task_complete: TaskHook | None = None
    on_task_fail: FailHook | None = None

    def __attrs_post_init__(self) -> None:
        """A hook that can't be called raises `InvalidConfigError`."""
        for name, hook in attrs.asdict(self, recurse=False).items():
            if hook is not None and not callable(hook):
                raise InvalidConfigError(f"{name} must be callable or None, not {shown(hook)}")

    async def started(self, info: TaskInfo) -> None:
        """Call `on_task_start`."""
        await _call(self.on_task_start, info)

    async def completed(self, info: TaskInfo) -> None:
        """Call `on_task_complete`."""
        await _call(self.on_task_complete, info)

    async def failed(self, info: TaskInfo, error: BaseException) -> None:
        """Call `on_task_fail`."""
        await _call(self.on_task_fail, info, error)


async def _call(hook: Callable[..., Any] | None, info: TaskInfo, *more: object) -> None:
    if hook is None:
        return
    try:
        outcome = hook(info, *more)
        if inspect.isawaitable(outcome):
            await outcome
    except BaseException as error:  # a user's code: whatever it raises must not touch the task
        task = asyncio.current_task()
        is_cancelled = isinstance(error, asyncio.CancelledError) and task and task.cancelling()
        if is_cancelled or isinstance(error, KeyboardInterrupt) or is_loop_gone(error):
            raise
        logger.exception(
            "task %s: the hook %s failed", info.task_id, getattr(hook, "__qualname__", repr(hook))
        )
