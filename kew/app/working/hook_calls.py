"""Calling the completion hooks: what an observer sees of this process's tasks, passed on to the user's functions."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from typing import Any, Final

from kew.app.labels import log_task
from kew.app.observer import Observer, TaskEvent, record_of
from kew.app.spawning import spawn
from kew.app.working import context
from kew.app.working.hooks import Hooks
from kew.compat import override
from kew.domain.errors import ResultUnreadableError, TaskQueueError
from kew.log import logger

MOST_HOOKS: Final = 100  # completion hooks that run at once; the others wait
MANY_WAITING: Final = 1000  # hooks, which are worth a warning
HOOKED: Final = ("succeeded", "retried", "failed")


class HookCalls(Observer):
    """Calls `on_task_complete` and `on_task_fail` in tasks of its own: a slow hook delays no settle.

    `process`: the incarnation whose hooks these are.
    """

    def __init__(self, hooks: Hooks, process: str) -> None:
        self._hooks = hooks
        self._process = process
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_behind = False  # so many hooks wait that it was logged
        self._waiting: deque[tuple[contextvars.Context, TaskEvent]] = deque()

    @override
    def on_task(self, event: TaskEvent) -> None:
        if event.kind not in HOOKED:
            return
        self._waiting.append((contextvars.copy_context(), event))
        self._call_hooks()
        if len(self._waiting) >= MANY_WAITING and not self._is_behind:
            self._is_behind = True
            logger.warning(
                "%s hooks wait for their turn (%s run at once): on_task_complete and on_task_fail take longer than "
                "the tasks; make them faster, or let them submit a task",
                MANY_WAITING,
                MOST_HOOKS,
            )

    def _call_hooks(self) -> None:
        """As many at once as may run, each in the context of its own run."""
        while self._waiting and len(self._tasks) < MOST_HOOKS:
            own, event = self._waiting.popleft()
            task = spawn(self._call(event), context=own)
            self._tasks.add(task)
            task.add_done_callback(self._ended, context=own)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._call_hooks()
        if not self._waiting:
            self._is_behind = False

    async def _call(self, event: TaskEvent) -> None:
        task = record_of(event)
        if not context.is_inside(self._process):
            context.enter(task, 0.0, self._process)
        try:
            info = event.info
        except ResultUnreadableError:
            log_task(logger.exception, task, "its hook is not called")
            return
        if event.kind == "succeeded":
            await self._hooks.completed(task, info)
        else:
            await self._hooks.failed(task, info, event.error or TaskQueueError(task.error))

    def close(self) -> None:
        """Call no more hooks, at once."""
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()

    async def drain(self, timeout: float) -> None:
        """Wait until all hooks have been called and have ended, at most `timeout` seconds, then cancel them."""
        until = asyncio.get_running_loop().time() + timeout
        while self._tasks:
            left = until - asyncio.get_running_loop().time()
            if left <= 0:
                break
            await asyncio.wait(self._tasks, timeout=left)
        late, uncalled = set(self._tasks), len(self._waiting)
        self.close()
        if late:
            logger.warning(
                "hooks: %s still ran after %g s and were cancelled; %s more were not called",
                len(late),
                timeout,
                uncalled,
            )
            await asyncio.wait(late, timeout=timeout)
