"""Waiting for the end of tasks: by a signal from this process or from the store, with a slow poll behind it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from kew.app.ports import StoreError, TaskStore
from kew.domain.errors import TaskNotFoundError, TaskQueueError
from kew.domain.task import Task

logger = logging.getLogger("kew")
POLL = 5.0
CLOSED = "the manager was shut down while a result was waited for; the task goes on without it"


class Results:
    """Who waits for which task in this process."""

    def __init__(self, store: TaskStore, incarnation: str) -> None:
        self._store = store
        self._incarnation = incarnation
        self._ends: dict[str, set[asyncio.Future[Task | None]]] = {}
        self._asked: dict[str, list[tuple[str, asyncio.Future[Task | None]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def close(self) -> None:
        """Wait for nothing more: whoever waits is told that the manager was shut down."""
        self._is_closed = True
        self.resumed()

    async def wait(self, queue: str, task_id: str) -> Task:
        """The record once the task has ended. Survives a store that doesn't answer for a while.

        Raises `TaskNotFoundError` where there is no record. Cancelling it leaves the task alone.
        """
        while not self._is_closed:
            future = self._expect(task_id)
            try:
                task = await self._look(queue, task_id)
                if task is None or task.is_terminal:
                    return _existing(task, task_id)
                async with asyncio.timeout(POLL):
                    ended = await future
                if ended is not None:
                    return ended
            except TimeoutError:
                continue  # perhaps a notification was lost: look again
            except StoreError as error:
                logger.warning("task %s: still waiting for its end: %s", task_id, error)
                await asyncio.sleep(1.0)
            finally:
                self._forget(task_id, future)
        raise TaskQueueError(CLOSED)

    def ended(self, task: Task) -> None:
        """A task that this process ran has ended: the record is at hand."""
        for future in self._ends.get(task.id, ()):
            if not future.done():
                future.set_result(task)

    def announced(self, task_id: str) -> None:
        """The store says that it has ended: look."""
        for future in self._ends.get(task_id, ()):
            if not future.done():
                future.set_result(None)

    def resumed(self) -> None:
        """Notifications may have been missed: look at everything that is waited for."""
        for task_id in list(self._ends):
            self.announced(task_id)

    def _expect(self, task_id: str) -> asyncio.Future[Task | None]:
        future: asyncio.Future[Task | None] = asyncio.get_running_loop().create_future()
        self._ends.setdefault(task_id, set()).add(future)
        return future

    def _forget(self, task_id: str, future: asyncio.Future[Task | None]) -> None:
        waiting = self._ends.get(task_id, set())
        waiting.discard(future)
        if not waiting:
            self._ends.pop(task_id, None)

    # --- one look for all that ask at the same moment

    async def _look(self, queue: str, task_id: str) -> Task | None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Task | None] = loop.create_future()
        asked = self._asked.setdefault(queue, [])
        asked.append((task_id, future))
        if len(asked) == 1:
            loop.call_soon(self._ask, queue)
        return await future

    def _ask(self, queue: str) -> None:
        asked = self._asked.pop(queue)
        task = asyncio.create_task(self._answer(queue, asked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(
        self, queue: str, asked: list[tuple[str, asyncio.Future[Task | None]]]
    ) -> None:
        for piece in _pieces(asked, 1000):
            await self._answer_piece(queue, piece)

    async def _answer_piece(
        self, queue: str, asked: list[tuple[str, asyncio.Future[Task | None]]]
    ) -> None:
        ids = [task_id for task_id, _ in asked]
        waiting = [future for _, future in asked]
        try:
            found = await self._store.watch(queue, ids, self._incarnation)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to those who wait
            for future in waiting:
                if not future.done():
                    future.set_exception(error)
            return
        for future, task in zip(waiting, found, strict=True):
            if not future.done():
                future.set_result(task)


def _existing(task: Task | None, task_id: str) -> Task:
    if task is None:
        raise TaskNotFoundError(task_id)
    return task


def _pieces(
    asked: list[tuple[str, asyncio.Future[Task | None]]], size: int
) -> Iterable[list[tuple[str, asyncio.Future[Task | None]]]]:
    return (asked[start : start + size] for start in range(0, len(asked), size))
