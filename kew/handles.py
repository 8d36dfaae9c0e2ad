"""Handles on submitted tasks."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar

from kew.app.info import TaskInfo, TaskProgress
from kew.app.submitting.futures import Awaited
from kew.compat import like_async
from kew.domain.config import check_timeout
from kew.domain.errors import (
    InvalidConfigError,
    TaskCancelledError,
    TaskFailedError,
    TaskQueueError,
    shown,
)
from kew.domain.explaining import Explanation
from kew.domain.task import COMPLETED, TERMINAL, Task, TaskStatus

TO_READ_IT = 5.0  # seconds for a record that is there
R = TypeVar("R")
T = TypeVar("T")


class HandleMaker(Protocol):
    """What a handle needs of the manager that made it."""

    async def get_task_status(self, task_id: str) -> TaskInfo: ...
    async def cancel_task(self, task_id: str) -> bool: ...
    async def forget(self, task_id: str) -> None: ...
    def _wait_for_end(
        self, queue_name: str, task_id: str, convert: Callable[[Task], T]
    ) -> Awaited[T]: ...
    async def _whereabouts(self, task_id: str) -> Task | Explanation | None: ...
    def _info_of(self, task: Task) -> TaskInfo: ...
    def _result_of(self, task: Task, function: Callable[..., object] | None) -> Any: ...


class TaskHandle(Generic[R]):
    """A submitted task: wait for its result, ask for its status, cancel it."""

    def __init__(
        self,
        manager: HandleMaker,
        info: TaskInfo | None,
        function: Callable[..., object] | None = None,
        *,
        task_id: str = "",
        created: bool = True,
    ) -> None:
        self._manager = manager
        self._info = info
        self._function = function
        self._task_id = task_id
        self._created = created

    @property
    def task_id(self) -> str:
        """The task's id."""
        return self._task_id if self._info is None else self._info.task_id

    @property
    def created(self) -> bool:
        """The submit that returned this handle stored the task; False: it met one that was there before."""
        return self._created

    @property
    def info(self) -> TaskInfo:
        """Its status at submit.

        For a handle that was made from an id, or by a `TaskAlreadyExistsError`: its status when it was first asked
        for; `TaskQueueError` before.
        """
        if self._info is None:
            raise TaskQueueError(
                f"the status of task {self._task_id!r} isn't known here yet: `await handle.status()` asks for it"
            )
        return self._info

    async def status(self) -> TaskInfo:
        """The task's status now. Raises `TaskNotFoundError`."""
        info = await self._manager.get_task_status(self.task_id)
        if self._info is None:
            self._info = info
        return info

    async def progress(self) -> TaskProgress | None:
        """What its current or last attempt reported last; None: nothing, or it has completed.

        Raises `TaskNotFoundError`.
        """
        return (await self.status()).progress

    async def cancel(self) -> bool:
        """Cancel it, or ask its run to stop: True, also if it was cancelled before; False: it had ended otherwise."""
        return await self._manager.cancel_task(self.task_id)

    async def forget(self) -> None:
        """Remove its record, once it has ended, so that its id can be used again.

        Raises `TaskNotEndedError` and `TaskNotFoundError`.
        """
        await self._manager.forget(self.task_id)

    @like_async
    def result(self, timeout: float | timedelta | None = None) -> Awaited[R]:
        """Wait for the end and return the result as the function returned it.

        Raises `TaskFailedError` or `TaskCancelledError`, each with the `info`; TimeoutError after `timeout` seconds,
        which leaves the task alone and says what it waits for, or where it runs; `InvalidConfigError` if `timeout` is
        no number; `TaskNotFoundError` if the record has expired; `ResultUnreadableError` if the result can't be
        decoded here. Waits for a signal, and survives a store that doesn't answer for a while.
        """
        if timeout is not None:
            return self._within(timeout)
        if self._info is None:
            return self._found()
        return self._manager._wait_for_end(self._info.queue_name, self.task_id, self._outcome)

    async def _found(self) -> R:
        await self.status()  # says in which queue it is
        return await self.result()

    def _outcome(self, task: Task) -> R:
        if task.status is COMPLETED:
            return self._manager._result_of(task, self._function)  # type: ignore[no-any-return]  # by the annotation
        if task.status is TaskStatus.CANCELLED:
            raise TaskCancelledError(task.id, self._manager._info_of(task))
        raise TaskFailedError(task.id, task.error, self._manager._info_of(task))

    async def _within(self, timeout: float | timedelta) -> R:
        seconds = given = check_timeout(
            timeout, least=-math.inf
        )  # the rest of a deadline may be negative
        if seconds <= 0 and (await self.status()).status in TERMINAL:
            seconds = TO_READ_IT  # only whether it has ended is asked for
        try:
            async with asyncio.timeout(None if seconds == math.inf else seconds):
                return await self.result()
        except TimeoutError:
            pass  # raised below, with what the store says now
        return await self._not_in_time(f"{given:g} s")

    async def _not_in_time(self, timeout: str) -> R:
        """Say why it has not ended. If it has ended meanwhile, that is the answer."""
        found = await self._manager._whereabouts(self.task_id)
        if isinstance(found, Task):
            return self._outcome(found)
        late = f"task {self.task_id!r} did not end within {timeout}"
        if found is None:
            raise TimeoutError(
                f"{late}: the store doesn't answer now, so what it waits for is unknown"
            )
        raise TimeoutError(
            f"{late} and was not cancelled: {found} (explain({self.task_id!r}) says more)"
        )

    def __repr__(self) -> str:
        queue = "" if self._info is None else f" in {self._info.queue_name!r}"
        return f"<TaskHandle {self.task_id!r}{queue}>"


def handle_on(manager: HandleMaker, task: object) -> TaskHandle[Any]:
    """A handle on the task with this id or status. Raises `InvalidConfigError` if it is neither."""
    if isinstance(task, TaskInfo):
        return TaskHandle(manager, task)
    if isinstance(task, str):
        return TaskHandle(manager, None, task_id=task)
    raise InvalidConfigError(
        f"handle() takes a task's id or its TaskInfo, not {shown(task)}: manager.handle('order-7')"
    )


TaskId = str | TaskInfo | TaskHandle[Any]
"""A task, named by its id, its status or its handle."""


def id_of(task: TaskId) -> str:
    """The id of a task that a caller names by its id, its status or its handle."""
    return task.task_id if isinstance(task, TaskInfo | TaskHandle) else task
