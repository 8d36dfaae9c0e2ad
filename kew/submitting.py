"""The part of the public API that submits calls, with what handles and decorated functions need."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from types import FunctionType
from typing import Any, TypeVar

from kew.app.info import TaskInfo, info_of, result_of
from kew.app.naming import Decorated
from kew.app.process import Process
from kew.app.registry import Registry
from kew.app.spawning import running_loop
from kew.app.submitting.encoding import Call
from kew.app.submitting.futures import Awaited, begin_call, unchanged
from kew.app.submitting.taken import IfExists, SubmittedTasks
from kew.bootstrap import Parts
from kew.compat import like_async
from kew.domain.errors import TaskQueueError
from kew.domain.explaining import Explanation
from kew.domain.task import QueuePriority, Task, unique_id
from kew.handles import TaskHandle, handle_on
from kew.queries import Queries
from kew.steering import Steering

BEHIND_HANDLES = (
    "_submit_call",
    "_wait_for_end",
    "_whereabouts",
    "_info_of",
    "_result_of",
    "_open_resource",
)
"""Methods for handles, decorated functions and resources, not for users."""
T = TypeVar("T")


class Submitting(Queries):
    """How a manager submits calls, and waits for their results."""

    _loop: asyncio.AbstractEventLoop | None
    _parts: Parts
    _registry: Registry

    @abstractmethod
    def _ready(self) -> Process:
        """The initialized process, from any thread. Raises `TaskQueueError`."""

    # Long: each of its options has a line, and another as it becomes part of the call.
    @like_async
    def submit_task(
        self,
        task_id: str,
        queue_name: str,
        task_type: str,
        task_func: Callable[..., object],
        priority: QueuePriority | int | None = None,
        *args: Any,
        _defer_until: datetime | None = None,
        _defer_by: float | timedelta | None = None,
        _expires_in: float | timedelta | None = None,
        _token: str | None = None,
        _key: object = None,
        _cost: int | None = None,
        _if_exists: IfExists | None = None,
        **kwargs: Any,
    ) -> Awaited[TaskInfo]:
        """Store a call. Once this has returned, the task will end, whatever crashes.

        `task_func` is a coroutine function, or a plain one (run in a thread). `priority` None: the function's, or else
        the queue's. `_defer_by` takes seconds or a timedelta, `_defer_until` a datetime (a naive one is local time).
        A task that no process has started `_expires_in` seconds after its submit ends as cancelled.
        `_key` is whose task it is; None: as the function's decorator says. `_cost` is how many units of each rate its
        start takes; None: 1.
        `_if_exists="return"` returns the status of the task that has the id already, if there is one.
        Raises `TaskAlreadyExistsError`, `QueueFullError`, `KeyFullError`, `QueueNotFoundError`, `InvalidTaskError`,
        `CostTooHighError`,
        `StoreUnavailableError` (not stored) or `SubmitUncertainError` (resume with `_token`). Cancelling the
        caller doesn't cancel the submit.

        The submit starts at the call; errors are raised when it is awaited.
        """
        decorated = None
        if isinstance(task_func, Decorated):
            decorated = task_func.registration
            task_func = task_func.function
        return begin_call(
            self._loop,
            self._submit,
            queue_name,
            Call(
                task_id=task_id,
                task_type=task_type,
                function=task_func,
                args=args,
                kwargs=kwargs,
                priority=priority,
                defer_until=_defer_until,
                defer_by=_defer_by,
                expires_in=_expires_in,
                token=_token,
                key=_key,
                cost=_cost,
                if_exists=_if_exists,
                decorated=decorated,
            ),
            unchanged,
        )

    async def submit_tasks(
        self,
        queue_name: str,
        tasks: Sequence[Mapping[str, Any]],
        *,
        if_exists: IfExists = "raise",
    ) -> SubmittedTasks:
        """Store many calls, in order. Up to 1,000 tasks (and 1 MiB) are all or nothing.

        A larger batch is split into such pieces. Two pieces are in flight at a time, and the stored part is always a
        beginning of the batch. Each task is a mapping with "task_id", "task_type", "task_func", and optionally
        "priority", "args", "kwargs", "defer_until", "defer_by", "expires_in", "token", "key", "cost" (with or without
        an underscore before these). If "task_func" is decorated, its task type is the default, and an id is made for a
        task without one.
        `if_exists="return"` skips the tasks whose ids are in use: the list has the statuses of the existing tasks in
        their places, and its `existing` has these ids.
        Raises what `submit_task` raises; the error's `accepted` has the ids that were stored. After a
        `SubmitUncertainError`, submit the tasks for which `get_task_status` finds no record.
        """
        return await self._here().submitter.many(
            queue_name, tasks, partial(self.new_task_id, queue_name=queue_name), if_exists
        )

    def submit_sync(
        self, *args: Any, _wait_seconds: float | None = None, **kwargs: Any
    ) -> TaskInfo:
        """`submit_task` for other threads. After a TimeoutError (`_wait_seconds`), the submit goes on."""
        self._ready()  # a forked process has no loop to serve it
        assert self._loop is not None
        if running_loop() is self._loop:
            raise TaskQueueError(
                "submit_sync would block the event loop: await submit_task instead"
            )
        submit = self.submit_task(*args, **kwargs)
        return asyncio.run_coroutine_threadsafe(submit, self._loop).result(_wait_seconds)

    def _submit_call(self, queue: str, call: Call, convert: Callable[[TaskInfo], T]) -> Awaited[T]:
        """Store a prepared call, and return its status converted by `convert`; for `TaskFunction.submit`."""
        return begin_call(self._loop, self._submit, queue, call, convert)

    def _submit(self, queue: str, call: Call, convert: Callable[[TaskInfo], T]) -> Awaited[T]:
        return self._ready().submitter.one(queue, call, convert)

    def new_task_id(self, task_type: str, queue_name: str = "") -> str:
        """A new id that no other task has: `manager.new_task_id("mail")` begins with "mail-".

        Pass the name of the queue that the task is for: in a namespace of several partitions, its submit then takes no
        additional request.
        """
        ending = self._parts.store.id_ending(queue_name) if queue_name else ""
        return unique_id(task_type, self._parts.entropy.identity() + ending)

    # --- one task

    def handle(self, task: TaskInfo | str) -> TaskHandle[Any]:
        """A handle on the task with this id or status: `await manager.handle("order-7").result(timeout=5)`.

        The store is not asked: if there is no such task, the handle's methods raise `TaskNotFoundError`.
        """
        return handle_on(self, task)

    def _handle_of(self, task_id: str) -> TaskHandle[Any]:
        """A handle on a task that another call has submitted; its result is decoded for its own function."""
        return TaskHandle(self, None, task_id=task_id)

    def _wait_for_end(
        self, queue_name: str, task_id: str, convert: Callable[[Task], T]
    ) -> Awaited[T]:
        """Wait for the end of the task, and return its record converted by `convert`; for `TaskHandle.result`."""
        return begin_call(self._loop, self._wait, queue_name, task_id, convert)

    def _wait(self, queue: str, task_id: str, convert: Callable[[Task], T]) -> Awaited[T]:
        return self._ready().results.wait(queue, task_id, convert)

    async def _whereabouts(self, task_id: str) -> Task | Explanation | None:
        return await self._here().inspector.whereabouts(task_id)

    def _info_of(self, task: Task) -> TaskInfo:
        """A record as users see it."""
        return info_of(task, self._parts.codec)

    def _result_of(self, task: Task, function: Callable[..., object] | None) -> Any:
        """A record's result as its function returned it; as plain data if this process doesn't know the function.

        Raises `ResultUnreadableError`.
        """
        known = function or self._registry.known(task.call.function)
        return result_of(task, self._parts.codec, known)


def name_after_manager(base: type) -> None:
    """Let Python's own TypeErrors name the class that users know, not the one that a method is inherited from."""
    for name, method in vars(base).items():
        if isinstance(method, FunctionType):
            method.__qualname__ = f"TaskQueueManager.{name}"


name_after_manager(Steering)
name_after_manager(Queries)
name_after_manager(Submitting)
