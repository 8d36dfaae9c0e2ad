"""Waiting for the end of tasks: by a signal from this process or from the store, with a slow poll behind it."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Callable, Iterable
from functools import partial

from kew.app.ports import StoreError, TaskStore
from kew.app.spawning import Owned
from kew.domain.errors import TaskNotFoundError, TaskQueueError
from kew.domain.task import Task

logger = logging.getLogger("kew")
POLL = 5.0
AFTER_AN_ERROR = 1.0  # seconds until the store is asked again
ASKED_AT_ONCE = 250
LOOKS_AT_ONCE = 2  # the store looks for one while this process reads the other
CLOSED = "the manager was shut down while a result was waited for; the task goes on without it"


class Results:
    """Who waits for which task in this process.

    All that is asked at the same moment is one look at the store, and one timer serves all who wait: notifications
    may be lost.
    """

    def __init__(self, store: TaskStore, incarnation: str) -> None:
        self._store = store
        self._incarnation = incarnation
        self._waiting: dict[str, list[tuple[str, asyncio.Future[Task]]]] = {}
        self._asked: dict[str, dict[str, None]] = {}
        self._turns = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._looks = Owned("waiting for results", lambda: None)
        self._poll: asyncio.TimerHandle | None = None
        self._is_closed = False

    def close(self) -> None:
        """Wait for nothing more: whoever waits is told that the manager was shut down."""
        self._is_closed = True
        for task_id, waiters in list(self._waiting.items()):
            for queue, _ in waiters:
                self._fail(queue, task_id, partial(TaskQueueError, CLOSED))
        if self._poll is not None:
            self._poll.cancel()
        for look in self._looks:
            look.cancel()

    async def wait(self, queue: str, task_id: str) -> Task:
        """The record once the task has ended. Survives a store that doesn't answer for a while.

        Raises `TaskNotFoundError` where there is no record. Cancelling it leaves the task alone.
        """
        if self._is_closed:
            raise TaskQueueError(CLOSED)
        future: asyncio.Future[Task] = asyncio.get_running_loop().create_future()
        waiter = (queue, future)
        self._waiting.setdefault(task_id, []).append(waiter)
        self._ask(queue, task_id)
        if self._poll is None:  # else it comes no later
            self._poll_in(POLL)
        try:
            return await future
        finally:
            self._forget(task_id, waiter)

    def is_waited_for(self, task_id: str) -> bool:
        """Somebody here waits for its end."""
        return task_id in self._waiting

    def ended(self, task: Task) -> None:
        """A task that this process ran has ended: the record is at hand."""
        for queue, future in self._waiting.get(task.id, ()):
            if queue == task.queue and not future.done():
                future.set_result(task)

    def announced(self, task_id: str) -> None:
        """The store says that it has ended: look."""
        for queue, _ in self._waiting.get(task_id, ()):
            self._ask(queue, task_id)

    def resumed(self) -> None:
        """Notifications may have been missed: look at everything that is waited for."""
        for task_id in self._waiting:
            self.announced(task_id)

    def _forget(self, task_id: str, waiter: tuple[str, asyncio.Future[Task]]) -> None:
        waiting = self._waiting[task_id]
        waiting.remove(waiter)
        if not waiting:
            del self._waiting[task_id]

    def _fail(self, queue: str, task_id: str, error: Callable[[], Exception]) -> None:
        for where, future in self._waiting.get(task_id, ()):
            if where == queue and not future.done():
                future.set_exception(error())

    # --- looking

    def _poll_in(self, seconds: float) -> None:
        """Look at everything that is waited for then; an earlier look stays."""
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        if self._poll is not None:
            if self._poll.when() <= at:
                return
            self._poll.cancel()
        self._poll = loop.call_at(at, self._poll_now)

    def _poll_now(self) -> None:
        self._poll = None
        if not self._waiting:
            return
        if not self._looks:  # else it is being looked at, or the store doesn't answer
            self.resumed()
        self._poll_in(POLL)

    def _ask(self, queue: str, task_id: str) -> None:
        """Look in the loop's next turn: what else is asked in this one goes along."""
        asked = self._asked.setdefault(queue, {})
        if not asked:
            asyncio.get_running_loop().call_soon(self._look, queue)
        asked[task_id] = None

    def _look(self, queue: str) -> None:
        asked = self._asked.pop(queue)
        if not self._is_closed:
            for piece in _pieces(list(asked)):
                self._looks.begin(self._look_at(queue, piece))

    async def _look_at(self, queue: str, task_ids: list[str]) -> None:
        try:
            async with self._turns:
                found = await self._store.watch(queue, task_ids, self._incarnation)
        except StoreError as error:
            logger.warning(
                "tasks %s%s: still waiting for their ends: %s",
                ", ".join(map(repr, task_ids[:3])),
                ", ..." if len(task_ids) > 3 else "",
                error,
            )
            self._poll_in(AFTER_AN_ERROR)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to those who wait
            for task_id in task_ids:
                self._fail(queue, task_id, partial(copy.copy, error))
        else:
            for task_id, task in zip(task_ids, found, strict=True):
                self._seen(queue, task_id, task)

    def _seen(self, queue: str, task_id: str, task: Task | None) -> None:
        if task is None:
            self._fail(queue, task_id, partial(TaskNotFoundError, task_id))
        elif task.is_terminal:
            self.ended(task)


def _pieces(task_ids: list[str]) -> Iterable[list[str]]:
    starts = range(0, len(task_ids), ASKED_AT_ONCE)
    return (task_ids[start : start + ASKED_AT_ONCE] for start in starts)
