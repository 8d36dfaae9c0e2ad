"""Waiting for the end of tasks: by a signal from this process or from the store, with a slow poll behind it."""

from __future__ import annotations

import asyncio
import contextvars
import copy
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from kew.app.futures import CoroutineFuture
from kew.app.ports import StoreError, TaskStore
from kew.app.spawning import Owned
from kew.compat import override
from kew.domain.errors import TaskNotFoundError, TaskQueueError
from kew.domain.task import Task
from kew.log import logger

T = TypeVar("T")
POLL = 5.0
AFTER_AN_ERROR = 1.0  # seconds until the store is asked again
ASKED_AT_ONCE = 250
LOOKS_AT_ONCE = 2  # the store looks for one while this process reads the other
CLOSED = "the manager was shut down while a result was waited for; the task goes on without it"


class Ending(CoroutineFuture[T]):
    """Waiting for the end of one task; `as_told` makes of its record what is told, in the waiter's context."""

    __slots__ = ("_as_told", "_context", "_results", "queue", "task_id")

    def __init__(
        self, results: Results, queue: str, task_id: str, as_told: Callable[[Task], T]
    ) -> None:
        super().__init__()
        self.queue = queue
        self.task_id = task_id
        self._results = results
        self._as_told = as_told
        self._context = contextvars.copy_context()

    def __repr__(self) -> str:
        return f"<result of task {self.task_id!r}, {self._state.lower()}>"

    def ended(self, task: Task) -> None:
        """This is its record."""
        try:
            told = self._context.run(self._as_told, task)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to whoever awaits
            self.fail(error)
        else:
            self.set_result(told)

    @override
    def cancel(self, msg: Any = None) -> bool:
        self._results.forget(self)
        return super().cancel(msg)


class Results:
    """Who waits for which task in this process.

    All that is asked at the same moment is one look at the store, and one timer serves all who wait: notifications
    may be lost.
    """

    def __init__(self, store: TaskStore, incarnation: str) -> None:
        self._store = store
        self._incarnation = incarnation
        self._waiting: dict[str, list[Ending[Any]]] = {}
        self._asked: dict[str, dict[str, None]] = {}
        self._turns = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._looks = Owned("waiting for results", lambda: None)
        self._poll: asyncio.TimerHandle | None = None
        self._is_closed = False

    def close(self) -> None:
        """Wait for nothing more: whoever waits is told that the manager was shut down."""
        self._is_closed = True
        for task_id, waiters in list(self._waiting.items()):
            for ending in waiters:
                self._fail(ending.queue, task_id, partial(TaskQueueError, CLOSED))
        if self._poll is not None:
            self._poll.cancel()
        for look in self._looks:
            look.cancel()

    def wait(self, queue: str, task_id: str, as_told: Callable[[Task], T]) -> Ending[T]:
        """What `as_told` makes of the record once the task has ended. Survives a store that doesn't answer for a while.

        Raises `TaskNotFoundError` where there is no record. Cancelling it leaves the task alone.
        """
        if self._is_closed:
            raise TaskQueueError(CLOSED)
        ending = Ending(self, queue, task_id, as_told)
        self._waiting.setdefault(task_id, []).append(ending)
        self._ask(queue, task_id)
        if self._poll is None:  # else it comes no later
            self._poll_in(POLL)
        return ending

    def is_waited_for(self, task_id: str) -> bool:
        """Somebody here waits for its end."""
        return task_id in self._waiting

    def ended(self, task: Task) -> None:
        """A task that this process ran has ended: the record is at hand."""
        for ending in self._taken(task.queue, task.call.id):
            ending.ended(task)

    def announced(self, task_id: str) -> None:
        """The store says that it has ended: look."""
        for ending in self._waiting.get(task_id, ()):
            self._ask(ending.queue, task_id)

    def resumed(self) -> None:
        """Notifications may have been missed: look at everything that is waited for."""
        for task_id in self._waiting:
            self.announced(task_id)

    def forget(self, ending: Ending[Any]) -> None:
        """It waits no more."""
        waiting = self._waiting.get(ending.task_id, [])
        if ending in waiting:
            waiting.remove(ending)
            if not waiting:
                del self._waiting[ending.task_id]

    def _taken(self, queue: str, task_id: str) -> list[Ending[Any]]:
        """Those who wait for this task, who do so no more."""
        waiting = self._waiting.pop(task_id, [])
        others = [ending for ending in waiting if ending.queue != queue]
        if not others:
            return waiting
        self._waiting[task_id] = others
        return [ending for ending in waiting if ending.queue == queue]

    def _fail(self, queue: str, task_id: str, error: Callable[[], Exception]) -> None:
        """Tell those who wait for it, each an error of its own: who raises one adds to its traceback."""
        for ending in self._taken(queue, task_id):
            ending.fail(error())

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
                self._fail(queue, task_id, partial(_another, error))
        else:
            for task_id, task in zip(task_ids, found, strict=True):
                self._seen(queue, task_id, task)

    def _seen(self, queue: str, task_id: str, task: Task | None) -> None:
        if task is None:
            self._fail(queue, task_id, partial(TaskNotFoundError, task_id))
        elif task.is_terminal:
            self.ended(task)


def _another(error: Exception) -> Exception:
    """A copy; where it can't be copied, an error of kew's that names it as its cause."""
    try:
        return copy.copy(error)
    except Exception:  # noqa: BLE001 - its class is a stranger's
        told = TaskQueueError(f"the store's answer could not be read: {error!r}")
        told.__cause__ = error
        return told


def _pieces(task_ids: list[str]) -> Iterable[list[str]]:
    starts = range(0, len(task_ids), ASKED_AT_ONCE)
    return (task_ids[start : start + ASKED_AT_ONCE] for start in starts)
