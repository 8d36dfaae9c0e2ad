"""Every error that kew raises for a caller: one tree, with attributes.

Expected outcomes between a service and a store (duplicate, full, stale) are values. They become one of these errors
only when they reach a caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Final, Literal, get_args

from kew.domain.suggestions import did_you_mean

LONGEST_SHOWN = 100
SUPERSEDED = "superseded: a later call of its Latest waits, with newer arguments"
EXPIRED = "it expired: "  # the error of a task that ended so
Scope = Literal["task", "key", "queue"]
"""What comes back later: the task alone, all tasks of its key, or all of its queue."""
SCOPES: Final = get_args(Scope)


def named(value: object) -> str:
    """A name as an error stores it: the string itself, or a short repr of anything else."""
    return value if isinstance(value, str) else shown(value)


def shown(value: object) -> str:
    """The value's repr, shortened for a message. Never raises, even if `__repr__` does."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - user code's __repr__ raised, or an int is too long to print: show its type
        return f"a value of type {type(value).__name__} whose repr() raised"
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


class TaskQueueError(Exception):
    """Base of every error that kew raises for a caller."""


class InvalidConfigError(TaskQueueError, ValueError):
    """An invalid setting; nothing was created. The message names the setting and the accepted values."""


class InvalidTaskError(TaskQueueError, ValueError):
    """An invalid task: its id, function, arguments or options can't be stored.

    Nothing was stored. For a batch, no task of the batch was stored either, so `accepted` is empty.
    """

    def __init__(self, task_id: str, reason: str) -> None:
        super().__init__(f"task {shown(task_id)} was not submitted: {reason}")
        self.task_id = task_id
        self.reason = reason
        self.accepted: tuple[str, ...] = ()


class TaskAlreadyExistsError(TaskQueueError):
    """The task id is already used in this namespace, or appears twice in one batch (`is_twice`).

    `handle`: the `TaskHandle` of the task that has the id, typed by the function that was to be called; None if
    `is_twice`. `accepted`: the ids of the same call that were stored before the error (large batches).
    """

    def __init__(
        self,
        task_id: str,
        accepted: Sequence[str] = (),
        *,
        is_twice: bool = False,
        handle: Any = None,
    ) -> None:
        super().__init__(
            f"task id {task_id!r} appears twice in this batch; no task of the batch was submitted"
            if is_twice
            else f"task id {task_id!r} is already used: `await error.handle.status()` says what became of its task; "
            "if it failed or was cancelled, `await manager.replay_task(error.task_id)` runs it again; "
            "for another task choose another id, or wait until the record expires"
        )
        self.task_id = task_id
        self.accepted = tuple(accepted)
        self.handle = handle

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle it without the handle, which belongs to this process. (Process pools pickle errors.)"""
        return _revived, (type(self), *self.args), {**self.__dict__, "handle": None}


class TaskNotFoundError(TaskQueueError):
    """No record of this id: it was never submitted, has expired (`task_ttl`), or was removed by `cleanup()`."""

    def __init__(self, task_id: str) -> None:
        super().__init__(
            f"no task {shown(task_id)}: it was never submitted to this namespace, or its record has expired"
        )
        self.task_id = task_id


class TaskUnreadableError(TaskQueueError):
    """The record of this task can't be read: another program changed it, or it was cut short. `reason` is for logs."""

    def __init__(self, task_id: str, reason: str) -> None:
        super().__init__(
            f"the record of task {shown(task_id)} can't be read: it was changed by another program or cut short "
            f"({reason}). manager.unreadable_tasks(queue_name) lists such tasks, and "
            "manager.remove_unreadable_task(queue_name, task_id) removes one"
        )
        self.task_id = task_id
        self.reason = reason


class TaskTooNewError(TaskUnreadableError):
    """A newer version of kew stored this task in a form that this process doesn't know. Nothing is wrong with it."""

    def __init__(self, task_id: str, reason: str) -> None:
        TaskQueueError.__init__(
            self,
            f"task {shown(task_id)} was stored by a newer version of kew, in a form that this process doesn't know "
            f"({reason}): ask a process that runs the newer version, or upgrade kew here",
        )
        self.task_id = task_id
        self.reason = reason


class QueueNotFoundError(TaskQueueError):
    """No process has declared this queue in this namespace.

    `accepted`: the ids of the same call that were stored before the error.
    """

    def __init__(
        self, queue: str, accepted: Sequence[str] = (), *, known: Iterable[str] = ()
    ) -> None:
        meant = did_you_mean(queue, known)
        super().__init__(
            f"queue {shown(queue)} doesn't exist{meant}{' Otherwise' if meant else ';'} "
            "create it first: await manager.create_queue(QueueConfig(...)) (a decorator's queue= only names a queue)"
        )
        self.queue = queue
        self.accepted = tuple(accepted)


class QueueInUseError(TaskQueueError):
    """This manager created the queue and would create it again, so it refuses to delete it. Nothing was removed."""

    def __init__(self, queue: str) -> None:
        super().__init__(
            f"queue {queue!r} was created by this manager, which would create it again; "
            "shut this manager down and delete the queue with another manager"
        )
        self.queue = queue


class QueueProcessorError(TaskQueueError):
    """A queue can't accept or serve the call right now; the subclasses say why."""


class QueueFullError(QueueProcessorError):
    """The queue already holds `max_size` waiting tasks. No task of the refused piece was stored.

    `max_size` is 0 if the store could not be asked for the limit. `retry_after`: after how many seconds there is
    probably room, by how fast the queue has drained since this process found it full; None: that isn't known.
    `accepted`: the ids that were stored.
    """

    def __init__(
        self,
        queue: str,
        max_size: int,
        accepted: Sequence[str] = (),
        *,
        retry_after: float | None = None,
    ) -> None:
        limit = f" (max_size={max_size})" if max_size else ""
        when = "later" if retry_after is None else f"in {retry_after:g} s"
        super().__init__(f"queue {queue!r} is full{limit}; try again {when}")
        self.queue = queue
        self.max_size = max_size
        self.retry_after = retry_after
        self.accepted = tuple(accepted)


class QueueDrainingError(QueueProcessorError):
    """The queue is draining: it finishes what it has and accepts nothing. No task of the refused piece was stored.

    `accepted`: the ids of the same call that were stored before the error.
    """

    def __init__(self, queue: str, accepted: Sequence[str] = ()) -> None:
        super().__init__(
            f"queue {queue!r} is draining: it finishes the tasks that it has and accepts no others; use another "
            f"queue, or let it accept tasks again with `await manager.resume_queue({queue!r})`"
        )
        self.queue = queue
        self.accepted = tuple(accepted)


class KeyFullError(QueueFullError):
    """As many tasks of this task's key wait as `per_key` allows. No task of the refused piece was stored.

    `key`: the key; `task_id`: the first task of the piece that has no place.
    """

    def __init__(self, queue: str, key: str, task_id: str, accepted: Sequence[str] = ()) -> None:
        QueueProcessorError.__init__(
            self,
            f"key {shown(key)} of queue {queue!r} has no place left for task {task_id!r}: "
            "as many of its tasks wait as per_key allows; try again later",
        )
        self.queue = queue
        self.key = key
        self.task_id = task_id
        self.max_size = 0
        self.retry_after = None
        self.accepted = tuple(accepted)


class CostTooHighError(InvalidTaskError):
    """A rate of the queue or of the task's key can never give what the task costs. No task of the piece was stored.

    `queue`: the queue. `accepted`: the ids of the same call that were stored before the error.
    """

    def __init__(
        self, task_id: str, queue: str, cost: int = 0, accepted: Sequence[str] = ()
    ) -> None:
        super().__init__(
            task_id,
            f"it costs {cost} units, more than a rate of queue {queue!r} ever lets start at once; lower its cost, or "
            "raise the rate's count and burst",
        )
        self.queue = queue
        self.cost = cost
        self.accepted = tuple(accepted)


class SubmitUncertainError(QueueProcessorError):
    """The store stopped answering: the task may or may not have been stored.

    Submit it again with its `task_id` and `token`. This can't create a duplicate while the task's record exists.

    For a batch: the ids in `accepted` were stored. The piece that starts at `task_id`, and the piece after it, may
    have been stored, in this order. The token belongs to one task only, so look up the other ids with
    `get_task_status` and submit those that have no record.
    """

    def __init__(
        self, task_id: str, token: str, accepted: Sequence[str] = (), *, reason: str = ""
    ) -> None:
        because = f" ({reason})" if reason else ""
        super().__init__(
            f"the store did not confirm whether task {task_id!r} was stored{because}; "
            "resume it with f.options(task_id=error.task_id, token=error.token).submit(...), or "
            "submit_task(error.task_id, ..., _token=error.token), which can't create a duplicate "
            "(for a batch: submit the tasks for which get_task_status finds no record)"
        )
        self.task_id = task_id
        self.token = token
        self.accepted = tuple(accepted)


class StoreUnavailableError(QueueProcessorError):
    """The store can't be reached.

    For a submit: nothing was stored except `accepted` (ids of the same call). For any other request, the message says
    whether it may have been carried out.
    """

    def __init__(self, message: str, accepted: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.accepted = tuple(accepted)


class StoreUnsuitableError(TaskQueueError):
    """The store answers but can't be used: wrong password, too old, a replica, evicting, a key of another program.

    The message advises.
    """


class TaskFailedError(TaskQueueError):
    """The awaited task ended as FAILED. `info` is its `TaskInfo`."""

    def __init__(self, task_id: str, error: str, info: object) -> None:
        super().__init__(f"task {task_id!r} failed: {error}")
        self.task_id = task_id
        self.error = error
        self.info = info


class TaskCancelledError(TaskQueueError):
    """The awaited task ended as CANCELLED. `info` is its `TaskInfo`."""

    def __init__(self, task_id: str, info: object) -> None:
        error = str(getattr(info, "error", None) or "")
        expired = f": {error}" if error.startswith(EXPIRED) else ""
        super().__init__(f"task {task_id!r} was cancelled{expired}")
        self.task_id = task_id
        self.info = info


class ResultUnreadableError(TaskQueueError):
    """The task completed, but its result can't be read: wrong type, codec or secret."""

    def __init__(self, task_id: str, reason: str) -> None:
        super().__init__(f"task {task_id!r} completed, but its result can't be read: {reason}")
        self.task_id = task_id
        self.reason = reason


class UnknownFunctionError(TaskQueueError):
    """No function of this name is registered in this process."""


class Retry(Exception):
    """Raise it in a task to fail this attempt and run again after a delay, if a retry is left.

    `defer_by` (or `after`) takes seconds or a timedelta. Anything else raises `InvalidConfigError` instead, which fails
    the attempt like any other error.
    """

    def __init__(
        self,
        after: float | timedelta | None = None,
        message: str = "",
        *,
        defer_by: float | timedelta | None = None,
    ) -> None:
        if after is not None and defer_by is not None:
            raise InvalidConfigError("Retry: give defer_by or after, which is the same, not both")
        self.after = _checked_after("Retry", defer_by if after is None else after)
        super().__init__(message or f"retry requested in {self.after} s")

    def __reduce__(self) -> tuple[object, ...]:
        """Unpickle without calling `__init__`, whose arguments are not kept. (Process pools pickle errors.)"""
        return _revived, (type(self), *self.args), self.__dict__


def _revived(kind: type[Exception], *args: object) -> Exception:
    return kind.__new__(kind, *args)


def _checked_after(what: str, after: object) -> float:
    seconds = after.total_seconds() if isinstance(after, timedelta) else after
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or seconds != seconds:
        raise InvalidConfigError(
            f"{what}(after=...) takes seconds or a timedelta, not {shown(after)}"
        )
    return seconds


class Snooze(Exception):
    """Raise it in a task to end this attempt and come back `after` seconds later (or a timedelta), without a failure.

    It uses no retry up, and the circuit breaker ignores it. A task may snooze `max_snoozes` times. A wrong `after`
    raises `InvalidConfigError` instead, which fails the attempt like any other error.
    """

    scope: Scope = "task"

    def __init__(self, after: float | timedelta, message: str = "") -> None:
        self.after = _checked_after(type(self).__name__, after)
        super().__init__(message or f"come back in {self.after} s")

    def __reduce__(self) -> tuple[object, ...]:
        """Unpickle without calling `__init__`, whose arguments are not kept. (Process pools pickle errors.)"""
        return _revived, (type(self), *self.args), self.__dict__


class RateLimited(Snooze):
    """Raise it in a task that met a rate limit of another service (HTTP 429). It is a `Snooze` with a scope.

    `scope`: what starts no earlier than that: this task ("task"), all tasks of its key ("key"; of a task without a key,
    this task), or all tasks of its queue ("queue").
    """

    def __init__(
        self, after: float | timedelta, message: str = "", *, scope: Scope = "task"
    ) -> None:
        if scope not in SCOPES:
            raise InvalidConfigError(
                f"RateLimited(scope=...) is one of {', '.join(map(repr, SCOPES))}, not {shown(scope)}"
            )
        super().__init__(after, message)
        self.scope = scope


class GiveUp(Exception):
    """Raise it in a task to fail it for good, even if retries are left."""


class IllegalTransition(AssertionError):
    """The lifecycle table doesn't allow this event in this state. Nothing was changed."""
