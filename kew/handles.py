"""The way new code is written: decorated functions that submit themselves, and handles on what was submitted."""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    NoReturn,
    ParamSpec,
    Protocol,
    TypedDict,
    TypeVar,
    Unpack,
    overload,
)

import attrs

from kew.app.caller import Call
from kew.app.futures import Awaited
from kew.app.info import TaskInfo
from kew.app.naming import returns_of
from kew.compat import like_async
from kew.domain.config import check_timeout
from kew.domain.errors import (
    InvalidConfigError,
    InvalidTaskError,
    TaskCancelledError,
    TaskFailedError,
    shown,
)
from kew.domain.task import TERMINAL, QueuePriority, Task, TaskStatus

if TYPE_CHECKING:
    from kew.manager import TaskQueueManager

HOW_TO_DECORATE = (
    "the decorator takes keywords only: @manager.task(queue=...), "
    "or @manager.task() where each submit names its queue"
)
TO_READ_IT = 5.0  # seconds for a record that is there
NO_QUEUE = "no queue: @manager.task(queue=...) or .options(queue=...)"
P = ParamSpec("P")
R = TypeVar("R")


class TaskHandle(Generic[R]):
    """A submitted task. `info` is its status at submit."""

    def __init__(
        self, manager: TaskQueueManager, info: TaskInfo, annotation: object = None
    ) -> None:
        self._manager = manager
        self._annotation = annotation
        self.info = info

    @property
    def task_id(self) -> str:
        """The task's id."""
        return self.info.task_id

    async def status(self) -> TaskInfo:
        """The task's status now. Raises `TaskNotFoundError`."""
        return await self._manager.get_task_status(self.task_id)

    async def cancel(self) -> bool:
        """Cancel it, or tell its run to stop: True, also if it was cancelled before; False: it had ended otherwise."""
        return await self._manager.cancel_task(self.task_id)

    @like_async
    def result(self, timeout: float | None = None) -> Awaited[R]:
        """Wait for the end and return the result, decoded to the function's return annotation.

        Raises `TaskFailedError` or `TaskCancelledError`, each with the `info`; TimeoutError after
        `timeout` seconds, which leaves the task alone; `InvalidConfigError` for what is no number of
        them; `TaskNotFoundError` where the record has
        gone; `ResultUnreadableError` where the result is not of that annotation. Waits for a
        signal, and survives a store that doesn't answer for a while.
        """
        if timeout is not None:
            return self._within(timeout)
        return self._manager.wait_for_end(self.info.queue_name, self.task_id, self._outcome)

    def _outcome(self, task: Task) -> R:
        if task.status is TaskStatus.FAILED:
            raise TaskFailedError(task.id, task.error, self._manager.info_of(task))
        if task.status is TaskStatus.CANCELLED:
            raise TaskCancelledError(task.id, self._manager.info_of(task))
        return self._manager.result_of(task, self._annotation)  # type: ignore[no-any-return]  # by the annotation

    async def _within(self, timeout: float) -> R:
        seconds = check_timeout(
            timeout, least=-math.inf
        )  # what is left of a deadline may be less than nothing
        if seconds <= 0 and (await self.status()).status in TERMINAL:
            seconds = TO_READ_IT  # only whether it has ended is asked for
        try:
            async with asyncio.timeout(None if seconds == math.inf else seconds):
                return await self.result()
        except TimeoutError:
            raise TimeoutError(
                f"task {self.task_id!r} had not ended after {timeout} s and goes on; its status() and "
                f"get_queue_status({self.info.queue_name!r}) say what it waits for"
            ) from None

    def __repr__(self) -> str:
        return f"<TaskHandle {self.task_id!r} in {self.info.queue_name!r}>"


def handle_on(manager: TaskQueueManager, info: object) -> TaskHandle[Any]:
    """A handle on the task of which this is the status; `InvalidConfigError` for what is none."""
    if isinstance(info, TaskInfo):
        return TaskHandle(manager, info)
    raise InvalidConfigError(
        f"a handle takes a task's status, not {shown(info)}: "
        "manager.handle(await manager.get_task_status(task_id))"
    )


@attrs.frozen(kw_only=True)
class SubmitOptions:
    """How one submit differs: None is the function's own, then the queue's."""

    task_id: str | None = None
    queue: str | None = None
    priority: QueuePriority | int | None = None
    defer_by: float | timedelta | None = None
    defer_until: datetime | None = None
    token: str | None = None


class Changes(TypedDict, total=False):
    """`SubmitOptions` as keywords."""

    task_id: str | None
    queue: str | None
    priority: QueuePriority | int | None
    defer_by: float | timedelta | None
    defer_until: datetime | None
    token: str | None


OPTIONS = frozenset({*Changes.__annotations__, *(f"_{name}" for name in Changes.__annotations__)})


def misplaced_option(function: Callable[..., object], kwargs: Mapping[str, object]) -> str | None:
    """Where a keyword that the function doesn't take is an option of the submit: what to write instead."""
    found = [name for name in kwargs if name in OPTIONS]
    if not found:
        return None
    try:
        taken = inspect.signature(function).parameters
    except (TypeError, ValueError):  # it has none to show, as some of C
        return None
    takes_all = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values())
    for name in found:
        if name not in taken and not takes_all:
            option = name.removeprefix("_")
            return (
                f"the function has no argument {name}; the submit has the option: "
                f".options({option}={shown(kwargs[name])}).submit(...)"
            )
    return None


class TaskFunction(Generic[P, R]):
    """A registered function: call it as before, or `submit` the call."""

    def __init__(
        self,
        manager: TaskQueueManager,
        function: Callable[P, Any],
        *,
        queue: str | None,
        task_type: str,
        options: SubmitOptions | None = None,
    ) -> None:
        functools.update_wrapper(self, function)
        self._manager = manager
        self.function = function
        self.queue = queue
        self.task_type = task_type
        self._options = options or SubmitOptions()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call the function itself, here and now."""
        return self.function(*args, **kwargs)

    def options(self, **changes: Unpack[Changes]) -> TaskFunction[P, R]:
        """The same function with other `SubmitOptions`: task_id, queue, priority, defer_by, defer_until, token."""
        unknown = [name for name in changes if name not in Changes.__annotations__]
        if unknown:
            known = ", ".join(Changes.__annotations__)
            raise TypeError(f"options() has no {unknown[0]!r}, but {known}")
        return TaskFunction(
            self._manager,
            self.function,
            queue=self.queue,
            task_type=self.task_type,
            options=attrs.evolve(self._options, **changes),
        )

    @like_async
    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Awaited[TaskHandle[R]]:
        """Submit this call; every keyword belongs to the function. To be awaited; raises what `submit_task` raises."""
        options = self._options
        queue = options.queue or self.queue
        if queue is None:
            return _refused(InvalidConfigError(NO_QUEUE))
        task_id = options.task_id or self._manager.new_task_id(self.task_type)
        if kwargs and (reason := misplaced_option(self.function, kwargs)):
            return _refused(InvalidTaskError(task_id, reason))
        call = Call(
            task_id=task_id,
            task_type=self.task_type,
            function=self.function,
            args=args,
            kwargs=kwargs,
            priority=options.priority,
            defer_until=options.defer_until,
            defer_by=options.defer_by,
            token=options.token,
        )
        return self._manager.submit_call(queue, call, self._handle)

    def _handle(self, info: TaskInfo) -> TaskHandle[R]:
        return TaskHandle(self._manager, info, returns_of(self.function))

    def __repr__(self) -> str:
        return f"<TaskFunction {self.task_type!r} for queue {self._options.queue or self.queue!r}>"


async def _refused(error: Exception) -> NoReturn:
    raise error


class TaskDecorator(Protocol):
    """What `manager.task(...)` returns: it keeps the function's parameters and the type of its result."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> TaskFunction[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> TaskFunction[P, R]: ...


def plain(function: Any) -> Callable[..., object]:
    """The function itself where a decorated one was given."""
    return function.function if isinstance(function, TaskFunction) else function
