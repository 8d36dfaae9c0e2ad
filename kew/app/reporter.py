"""Telling this process of what happened to tasks it ran: hooks, and whoever waits for a result here."""

from __future__ import annotations

import asyncio
from typing import Any

from kew.app.hooks import Hooks
from kew.app.info import info_of
from kew.app.ports import Codec
from kew.app.results import Results
from kew.app.spawning import spawn
from kew.domain.errors import ResultUnreadableError, TaskQueueError
from kew.domain.task import Task, TaskStatus
from kew.log import logger


class Reporter:
    """Calls hooks after the store accepted an outcome, in tasks of its own: a slow hook delays no settle."""

    def __init__(self, hooks: Hooks, codec: Codec, results: Results) -> None:
        self._hooks = hooks
        self._codec = codec
        self._results = results
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failures: dict[str, int] = {}  # attempts in a row, by queue, of this process alone
        self.tells_starts = hooks.on_task_start is not None
        self._tells_ends = bool(hooks.on_task_complete or hooks.on_task_fail)

    async def started(self, task: Task) -> None:
        """An attempt is about to begin."""
        await self._hooks.started(info_of(task, self._codec))

    def noted(self, task: Task, status: TaskStatus) -> bool:
        """The outcome was a success that nobody here wants to hear of; False: call `settled`, which tells more."""
        is_heard = self._tells_ends or self._results.is_waited_for(task.call.id)
        if status is not TaskStatus.COMPLETED or is_heard:
            return False
        self._failures[task.queue] = 0
        return True

    def settled(self, after: Task, error: BaseException | None, breaker_limit: int) -> None:
        """An attempt's outcome was accepted; `after` is the record now. So many failures in a row open the breaker."""
        self._watch_breaker(after, breaker_limit)
        if after.status in (TaskStatus.RETRY, TaskStatus.FAILED):
            logger.warning(
                "task %s: attempt %s failed, %s: %s",
                after.id,
                after.attempt,
                "to be retried" if after.status is TaskStatus.RETRY else "for good",
                after.error,
                exc_info=error,
            )
        if after.is_terminal:
            self._results.ended(after)
        if self._tells_ends:
            self._own(after, error)

    def _watch_breaker(self, after: Task, limit: int) -> None:
        """Say once that a queue's breaker has opened, as far as this process can tell: its waiting tasks look stuck."""
        if after.status is TaskStatus.COMPLETED:
            self._failures[after.queue] = 0
        elif after.status in (TaskStatus.RETRY, TaskStatus.FAILED) and after.attempt:
            count = self._failures[after.queue] = self._failures.get(after.queue, 0) + 1
            if count == limit:
                logger.warning(
                    "queue %s: %s failed attempts in a row here, so its circuit breaker opens: tasks wait until its "
                    "reset timeout has passed (max_circuit_breaker_failures, circuit_breaker_reset_timeout)",
                    after.queue,
                    count,
                )

    def _own(self, after: Task, error: BaseException | None) -> None:
        if after.status not in (TaskStatus.COMPLETED, TaskStatus.RETRY, TaskStatus.FAILED):
            return
        task = spawn(self._tell(after, error))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, after: Task, error: BaseException | None) -> None:
        try:
            info = info_of(after, self._codec)
        except ResultUnreadableError:
            logger.exception("task %s: its hook is not called", after.id)
            return
        if after.status is TaskStatus.COMPLETED:
            await self._hooks.completed(info)
        else:
            await self._hooks.failed(info, error or TaskQueueError(after.error))

    def close(self) -> None:
        """Call no more hooks, at once."""
        for task in self._tasks:
            task.cancel()

    async def drain(self, timeout: float) -> None:
        """Wait for hooks that still run, at most `timeout` seconds, then cancel them."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=timeout)
        for task in late:
            logger.warning("a hook still ran after %g s and was cancelled", timeout)
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=timeout)
