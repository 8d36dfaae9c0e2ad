"""Waiting for the end of tasks: by a notification from this process or the store, and by a slow poll."""

from __future__ import annotations

import asyncio
import contextvars
import copy
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from kew.app.ports import StoreError, TaskStore, Watch
from kew.app.repeat import Failures
from kew.app.spawning import Owned
from kew.app.submitting.futures import CoroutineFuture
from kew.app.working.context import TaskContext, attempt_of, is_inside
from kew.compat import override
from kew.domain.errors import TaskNotFoundError, TaskQueueError
from kew.domain.task import Found, Task, Unreadable

T = TypeVar("T")
POLL = 5.0
AFTER_AN_ERROR = 1.0  # seconds until the store is asked again
ASKED_AT_ONCE = 250
LOOKS_AT_ONCE = 2  # the store executes one while this process reads the other
CLOSED = "the manager was shut down while this call waited for a result; the task is not affected"


class Ending(CoroutineFuture[T]):
    """Waiting for the end of one task. `convert` converts its record in the context of the waiting caller."""

    __slots__ = ("_context", "_convert", "_results", "queue", "task_id")

    def __init__(
        self, results: Results, queue: str, task_id: str, convert: Callable[[Task], T]
    ) -> None:
        super().__init__()
        self.queue = queue
        self.task_id = task_id
        self._results = results
        self._convert = convert
        self._context = contextvars.copy_context()

    def __repr__(self) -> str:
        return f"<result of task {self.task_id!r}, {self._state.lower()}>"

    @property
    def parent(self) -> TaskContext | None:
        """The attempt that waits; None: other code of the program."""
        return attempt_of(self._context)

    def ended(self, task: Task) -> None:
        """This is its record."""
        try:
            told = self._context.run(self._convert, task)
        except BaseException as error:  # noqa: BLE001 - any error belongs to the waiting caller
            self.fail(error)
        else:
            self.set_result(told)

    @override
    def cancel(self, msg: Any = None) -> bool:
        self._results.forget(self)
        return super().cancel(msg)


class Results:
    """The callers in this process that wait for tasks.

    Requests of the same moment share one look-up in the store. One timer polls for all of them, since notifications
    may be lost.
    """

    def __init__(
        self,
        store: TaskStore,
        incarnation: str,
        *,
        on_inner_wait: Callable[[], None] | None = None,
    ) -> None:
        """`on_inner_wait` is called when a task of this process waits for another."""
        self._store = store
        self._incarnation = incarnation
        self._waiting: dict[str, list[Ending[Any]]] = {}
        self._asked: dict[str, dict[str, None]] = {}
        self._turns = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._failures = Failures("waiting for the ends of tasks")
        self._looks = Owned("waiting for results", lambda: None)
        self._poll: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._on_inner_wait = on_inner_wait

    def close(self) -> None:
        """Stop waiting: waiting callers get an error that says that the manager was shut down."""
        self._is_closed = True
        for task_id, waiters in list(self._waiting.items()):
            for ending in waiters:
                self._fail(ending.queue, task_id, partial(TaskQueueError, CLOSED))
        if self._poll is not None:
            self._poll.cancel()
        for look in self._looks:
            look.cancel()

    def wait(self, queue: str, task_id: str, convert: Callable[[Task], T]) -> Ending[T]:
        """Wait for the end of the task, and return its record converted by `convert`.

        It goes on waiting while the store doesn't answer. Raises `TaskNotFoundError` if there is no record. Cancelling
        it doesn't affect the task.
        """
        if self._is_closed:
            raise TaskQueueError(CLOSED)
        ending = Ending(self, queue, task_id, convert)
        self._waiting.setdefault(task_id, []).append(ending)
        if self._on_inner_wait is not None and is_inside(self._incarnation):
            self._on_inner_wait()
        self._ask(queue, task_id)
        if self._poll is None:  # else it comes no later
            self._poll_in(POLL)
        return ending

    def inner_waits(self) -> list[Ending[Any]]:
        """Those that a task of this process waits for."""
        endings = (ending for waiters in self._waiting.values() for ending in waiters)
        return [ending for ending in endings if ending.parent is not None]

    def is_waited_for(self, task_id: str) -> bool:
        """Whether a caller in this process waits for its end."""
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

    def look(self) -> None:
        """Look at everything that is waited for, unless a look is under way."""
        if not self._looks:  # else the store may not answer now
            self.resumed()

    def forget(self, ending: Ending[Any]) -> None:
        """It waits no more."""
        waiting = self._waiting.get(ending.task_id, [])
        if ending in waiting:
            waiting.remove(ending)
            if not waiting:
                del self._waiting[ending.task_id]

    def _taken(self, queue: str, task_id: str) -> list[Ending[Any]]:
        """Remove and return the callers that wait for this task."""
        waiting = self._waiting.pop(task_id, [])
        others = [ending for ending in waiting if ending.queue != queue]
        if not others:
            return waiting
        self._waiting[task_id] = others
        return [ending for ending in waiting if ending.queue == queue]

    def _fail(self, queue: str, task_id: str, error: Callable[[], Exception]) -> None:
        """Raise an error in each waiting caller: a new one for each, since raising adds to its traceback."""
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
        if self._waiting:
            self.look()
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
                found = await self._store.do(Watch(queue, task_ids, self._incarnation))
        except StoreError as error:
            self._failures.add(error)
            self._poll_in(AFTER_AN_ERROR)
        except Exception as error:  # noqa: BLE001 - any error belongs to the waiting callers
            for task_id in task_ids:
                self._fail(queue, task_id, partial(_another, error))
        else:
            self._failures.end()
            for task_id, task in zip(task_ids, found, strict=True):
                self._seen(queue, task_id, task)

    def _seen(self, queue: str, task_id: str, task: Found) -> None:
        if task is None:
            self._fail(queue, task_id, partial(TaskNotFoundError, task_id))
        elif isinstance(task, Unreadable):
            self._fail(queue, task_id, task.error)
        elif task.is_terminal:
            self.ended(task)


def _another(error: Exception) -> Exception:
    """A copy, or if it can't be copied, one of kew's errors with it as the cause."""
    try:
        return copy.copy(error)
    except Exception:  # noqa: BLE001 - the class is user code
        told = TaskQueueError(f"the store's answer could not be read: {error!r}")
        told.__cause__ = error
        return told


def _pieces(task_ids: list[str]) -> Iterable[list[str]]:
    starts = range(0, len(task_ids), ASKED_AT_ONCE)
    return (task_ids[start : start + ASKED_AT_ONCE] for start in starts)
