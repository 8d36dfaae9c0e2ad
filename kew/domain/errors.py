"""One tree of errors: everything that kew raises for a caller stands here, with its attributes.

An expected outcome between a service and a store (duplicate, full, stale) is a value, not an error; it becomes
one of these only where a caller has to be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

LONGEST_SHOWN = 100


def named(value: object) -> str:
    """What somebody gave as a name, as an error carries it: itself, if it is text."""
    return value if isinstance(value, str) else shown(value)


def shown(value: object) -> str:
    """A value as a message quotes it: short, and without failing where the value has no text to give."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a stranger's __repr__, or a number too long to print: its type is told
        return f"a value of type {type(value).__name__} that can't be shown"
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


class TaskQueueError(Exception):
    """Base of every error that kew raises for a caller."""


class InvalidConfigError(TaskQueueError, ValueError):
    """A setting that can't be: nothing was created. The message names the setting and the legal values."""


class InvalidTaskError(TaskQueueError, ValueError):
    """A task that can't be stored as it was given (its id, its function, its arguments, its options).

    Nothing was stored, of a batch neither: `accepted` is empty.
    """

    def __init__(self, task_id: str, reason: str) -> None:
        super().__init__(f"task {shown(task_id)} was not submitted: {reason}")
        self.task_id = task_id
        self.reason = reason
        self.accepted: tuple[str, ...] = ()


class TaskAlreadyExistsError(TaskQueueError):
    """The id is in use in this namespace, or stands twice in a batch (`is_twice`).

    `accepted`: ids of the same call that are in already (large batches).
    """

    def __init__(
        self, task_id: str, accepted: Sequence[str] = (), *, is_twice: bool = False
    ) -> None:
        super().__init__(
            f"task id {task_id!r} stands twice in this list; nothing of it was submitted"
            if is_twice
            else f"task id {task_id!r} is already used; choose another one, or wait until its record has expired"
        )
        self.task_id = task_id
        self.accepted = tuple(accepted)


class TaskNotFoundError(TaskQueueError):
    """No record of this id: never submitted, expired (`task_ttl`), or cleaned."""

    def __init__(self, task_id: str) -> None:
        super().__init__(
            f"no task {shown(task_id)}: never submitted here, or its record has expired"
        )
        self.task_id = task_id


class QueueNotFoundError(TaskQueueError):
    """No process has declared this queue in this namespace. `accepted`: ids of the same call that were in before."""

    def __init__(self, queue: str, accepted: Sequence[str] = ()) -> None:
        super().__init__(
            f"no queue {shown(queue)}; declare it first: await manager.create_queue(...)"
        )
        self.queue = queue
        self.accepted = tuple(accepted)


class QueueInUseError(TaskQueueError):
    """This manager created the queue and would bring it back: it doesn't delete it. Nothing was removed."""

    def __init__(self, queue: str) -> None:
        super().__init__(
            f"queue {queue!r} was created by this manager, which would bring it back: shut it down, "
            "and delete the queue with one that did not create it"
        )
        self.queue = queue


class QueueProcessorError(TaskQueueError):
    """A queue can't take or serve the call just now; its subclasses say why."""


class QueueFullError(QueueProcessorError):
    """Beyond `max_size` (0: the store can't be asked for it just now) waiting tasks; nothing of the refused piece was
    stored. `accepted`: ids that are in."""

    def __init__(self, queue: str, max_size: int, accepted: Sequence[str] = ()) -> None:
        limit = f" (max_size={max_size})" if max_size else ""
        super().__init__(f"queue {queue!r} is full{limit}; try again later")
        self.queue = queue
        self.max_size = max_size
        self.accepted = tuple(accepted)


class SubmitUncertainError(QueueProcessorError):
    """The store stopped answering: the task may be in or not.

    Submit it again with `_token=error.token`: no duplicate, as long as its record lives. Of a batch `accepted` is in,
    and from `task_id` on its piece and the one after it may be, in this order; a token is that of one task, so submit
    what `get_task_status` knows nothing of.
    """

    def __init__(self, task_id: str, token: str, accepted: Sequence[str] = ()) -> None:
        super().__init__(
            f"the store did not answer whether task {task_id!r} was stored; "
            "resume with submit_task(..., _token=error.token), which can't make a duplicate "
            "(of a batch: submit what get_task_status finds no record of)"
        )
        self.task_id = task_id
        self.token = token
        self.accepted = tuple(accepted)


class StoreUnavailableError(QueueProcessorError):
    """The store can't be reached. Of a submit, surely nothing was stored but `accepted` (ids of the same call).

    Of any other request the message says whether it may have been done.
    """

    def __init__(self, message: str, accepted: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.accepted = tuple(accepted)


class StoreUnsuitableError(TaskQueueError):
    """The store answers but must not be used: wrong password, too old, a replica, evicting. The message advises."""


class TaskFailedError(TaskQueueError):
    """The awaited task ended as FAILED; `info` is its status."""

    def __init__(self, task_id: str, error: str, info: object) -> None:
        super().__init__(f"task {task_id!r} failed: {error}")
        self.task_id = task_id
        self.error = error
        self.info = info


class TaskCancelledError(TaskQueueError):
    """The awaited task ended as CANCELLED; `info` is its status."""

    def __init__(self, task_id: str, info: object) -> None:
        super().__init__(f"task {task_id!r} was cancelled")
        self.task_id = task_id
        self.info = info


class ResultUnreadableError(TaskQueueError):
    """The task completed, and its result can't be read: not of the annotated type, or of another codec or secret."""

    def __init__(self, task_id: str, reason: str) -> None:
        super().__init__(f"task {task_id!r} completed, and its result can't be read: {reason}")
        self.task_id = task_id
        self.reason = reason


class UnknownFunctionError(TaskQueueError):
    """This process knows no function of that name."""


class Retry(Exception):
    """Raise it in a task to fail this attempt and run again `after` seconds (or a timedelta) later, if a retry is left.

    `after` that is neither raises `InvalidConfigError` instead, which fails the attempt like any other error.
    """

    def __init__(self, after: float | timedelta, message: str = "") -> None:
        self.after = _checked_after(after)
        super().__init__(message or f"retry asked for in {self.after} s")

    def __reduce__(self) -> tuple[object, ...]:
        """Revived without `__init__`, whose arguments are not kept: it may come from a pool of processes."""
        return _revived, (type(self), *self.args), self.__dict__


def _revived(kind: type[Retry], *args: object) -> Retry:
    return kind.__new__(kind, *args)


def _checked_after(after: object) -> float:
    seconds = after.total_seconds() if isinstance(after, timedelta) else after
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or seconds != seconds:
        raise InvalidConfigError(
            f"Retry(after=...) takes seconds or a timedelta, not {shown(after)}"
        )
    return seconds


class GiveUp(Exception):
    """Raise it in a task to fail for good, whatever retries are left."""


class IllegalTransition(AssertionError):
    """An event that the lifecycle table doesn't allow in this state: nothing was changed."""
