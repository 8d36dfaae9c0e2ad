"""Answering questions: one task, all that run, what failed for good, a queue, its breaker."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from kew.app.info import TaskInfo, info_of
from kew.app.ports import (
    Bookmark,
    Codec,
    Command,
    DeadLetters,
    QueueStatus,
    TaskStore,
)
from kew.app.repeat import asked
from kew.domain.breaker import BreakerState
from kew.domain.config import check_name
from kew.domain.errors import (
    InvalidConfigError,
    InvalidTaskError,
    QueueNotFoundError,
    TaskNotFoundError,
    named,
    shown,
)
from kew.domain.requests import Word
from kew.domain.task import Task, check_task_id

LOOKED_AT = 200  # ended tasks, for one page of dead letters


def known_queue(queue: object) -> str:
    """The name, if there can be a queue of that name, else `QueueNotFoundError`."""
    try:
        return check_name(queue)
    except InvalidConfigError:
        raise QueueNotFoundError(named(queue)) from None


def checked_limit(limit: object) -> int | None:
    """How many at most, None for all; `InvalidConfigError` for what is neither."""
    if limit is None or (type(limit) is int and limit > 0):
        return limit
    raise InvalidConfigError(f"limit takes a number from 1 on, or None for all, not {shown(limit)}")


def _is_id(task_id: object) -> bool:
    try:
        check_task_id(task_id)
    except InvalidTaskError:
        return False
    return True


class Inspector:
    """Reads the store for people, and carries their requests to it."""

    def __init__(self, store: TaskStore, codec: Codec, incarnation: str) -> None:
        self._store = store
        self._codec = codec
        self._incarnation = incarnation
        self._sequence = itertools.count(1)
        self._one_command = asyncio.Lock()

    async def find(self, task_id: str) -> Task:
        """The record. Raises `TaskNotFoundError`."""
        (task,) = await asked(lambda: self._store.find([task_id])) if _is_id(task_id) else (None,)
        if task is None:
            raise TaskNotFoundError(task_id)
        return task

    async def info(self, task_id: str) -> TaskInfo:
        """The task's status. Raises `TaskNotFoundError`."""
        task = await self.find(task_id)
        # Whoever polls in a loop lets the tasks run, also where the store never waits.
        await asyncio.sleep(0)
        return info_of(task, self._codec)

    async def ongoing(self) -> list[TaskInfo]:
        """All running tasks of the namespace, longest running first."""
        found: list[Task] = []
        for queue in await asked(self._store.queues):
            found += await asked(partial(self._store.running, queue))
        found.sort(key=lambda task: (task.started_at, task.id))
        return [info_of(task, self._codec) for task in found]

    def failed(self, queue: str, limit: int | None) -> AsyncIterator[TaskInfo]:
        """The dead letters, at most `limit`. Raises `InvalidConfigError` at once, `QueueNotFoundError` on its way."""
        known_queue(queue)
        return self._failed(queue, checked_limit(limit))

    async def _failed(self, queue: str, left: int | None) -> AsyncIterator[TaskInfo]:
        after: Bookmark | None = None
        while True:
            page: DeadLetters | None = await asked(
                partial(self._store.failed, queue, after, LOOKED_AT)
            )
            if page is None:
                raise QueueNotFoundError(queue)
            for task in page.tasks[:left]:
                yield info_of(task, self._codec)
            left = None if left is None else left - len(page.tasks)
            after = page.after
            if after is None or (left is not None and left <= 0):
                return
            await asyncio.sleep(0)  # others go on, also where the store never waits

    async def queues(self) -> list[str]:
        """The names of all declared queues, sorted."""
        return list(await asked(self._store.queues))

    async def remove(self, queue: str) -> None:
        """Purge the queue. Raises `QueueNotFoundError`, having removed what an interrupted removal may have left."""
        known_queue(queue)
        known = await asked(lambda: self._store.settings(queue))
        await asked(lambda: self._store.purge(queue))
        if known is None:
            raise QueueNotFoundError(queue)

    async def status(self, queue: str) -> QueueStatus:
        """The queue now. Raises `QueueNotFoundError`."""
        known_queue(queue)
        status: QueueStatus | None = await asked(lambda: self._store.status(queue))
        if status is None:
            raise QueueNotFoundError(queue)
        return status

    async def may_pass(self, queue: str) -> bool:
        """False only while the breaker is OPEN."""
        return (await self.status(queue)).state.breaker.state is not BreakerState.OPEN

    async def control(self, queue: str, command: Command) -> None:
        """Carry a command out exactly once, as long as the store answers. Raises `QueueNotFoundError`."""
        known_queue(queue)
        async with self._one_command:  # sequences must reach the store in order
            number = next(self._sequence)
            word = await asked(
                lambda: self._store.control(queue, command, self._incarnation, number)
            )
        if word is Word.NO_QUEUE:
            raise QueueNotFoundError(queue)

    async def cancel(self, task_id: str) -> bool:
        """True: it is cancelled, or its run was told to stop; False: it had ended. Raises `TaskNotFoundError`."""
        task = await self.find(task_id)
        word = await asked(lambda: self._store.cancel(task.queue, task_id, task.life))
        if word is Word.MISSING:
            raise TaskNotFoundError(task_id)
        return word is not Word.ENDED

    async def replay(self, task_id: str) -> bool:
        """True: it waits or runs again; False: it had completed. Raises `TaskNotFoundError`."""
        task = await self.find(task_id)
        word = await asked(lambda: self._store.replay(task.queue, task_id, task.life))
        if word is Word.MISSING:
            raise TaskNotFoundError(task_id)
        return word is not Word.ILLEGAL


def status_dict(status: QueueStatus) -> dict[str, Any]:
    """A queue's status in plain values; the first five keys are those of kew 0.2.1."""
    settings, breaker = status.state.settings, status.state.breaker
    return {
        "name": status.name,
        "max_workers": settings.max_workers,
        "current_workers": status.held,
        "queued_tasks": sum(status.waiting.values()),
        "circuit_breaker_status": breaker.state.value,
        "queued_by_priority": dict(status.waiting),
        "max_size": settings.max_size,
        "paused": status.state.paused,
        "consecutive_failures": breaker.failures,
        "processes": list(status.workers),
        "stuck_functions": dict(status.stuck),
        "settings_version": status.state.version,
    }
