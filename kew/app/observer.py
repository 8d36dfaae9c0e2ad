"""What an observer sees: what happens to tasks, and each operation of the store, in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import attrs

from kew.app.info import TaskInfo, info_of
from kew.app.ports import Codec
from kew.domain.task import Submission, Task
from kew.domain.values import maker

Kind = Literal[
    "submitted",
    "started",
    "succeeded",
    "retried",
    "snoozed",
    "failed",
    "cancelled",
    "released",
    "replayed",
]
Outcome = Literal["ok", "refused", "ambiguous", "damaged"]


@attrs.frozen(kw_only=True, weakref_slot=False)
class TaskEvent:
    """Something that happened to a task, once the store has accepted it.

    kind: what happened. "retried": an attempt failed, and another follows. "snoozed": an attempt asked to come back
    later (`Snooze`, `RateLimited`). "failed": for good. "cancelled": before it ran, also by a purge or because
    it expired, or its attempt was stopped. "released": its attempt was given up by this process, and another follows.
    error: of the attempt that failed, if it ran in this process; the `Snooze` of one that asked to come back.
    seconds: how long the attempt took, by the store's clock. For "started": how long the task had been due.
    """

    kind: Kind
    _task: Task = attrs.field(repr=False)
    _codec: Codec = attrs.field(repr=False, eq=False)
    error: BaseException | None = None
    seconds: float | None = None
    # Makes the record after the event from `_task`, the one before it; most observers never look.
    _after: Callable[[], Task] | None = attrs.field(default=None, init=False, repr=False, eq=False)

    @property
    def task_id(self) -> str:
        """The task's id."""
        return self._task.call.id

    @property
    def queue(self) -> str:
        """Its queue."""
        return self._task.queue

    @property
    def task_type(self) -> str:
        """What it was submitted as."""
        return self._task.call.task_type

    @property
    def function(self) -> str:
        """The name of its function."""
        return self._task.call.function

    @property
    def attempt(self) -> int:
        """How many attempts have begun."""
        return self._task.attempt

    @property
    def info(self) -> TaskInfo:
        """The task after this event. It decodes a result each time. Raises `ResultUnreadableError`."""
        return info_of(record_of(self), self._codec)


make_event = maker(TaskEvent)


@attrs.frozen(kw_only=True)
class StoreCall:
    """One operation of the store, repeats counted singly.

    operation: its name, such as "claim". queue: "" if it concerns no single queue. seconds: until the answer came.
    outcome: "ok"; "refused": surely not done; "ambiguous": perhaps done; "damaged": a key of the store is overwritten.
    error: what was raised instead of an answer. `CancelledError` if the caller stopped waiting.
    """

    operation: str
    queue: str
    seconds: float
    outcome: Outcome
    error: BaseException | None = None


@attrs.frozen(kw_only=True)
class WorkerLoss:
    """A process of `queue` let the leases of `tasks` tasks end; this process recovered them."""

    queue: str
    process: str
    tasks: int


class Observer:
    """Sees what happens in one process. Override what you need, and pass it as `TaskQueueManager(observer=...)`.

    The methods are plain functions. They are called in the event loop, so they must be quick. What they raise is
    logged, once per method and kind of error, and changes nothing.
    """

    def on_task(self, event: TaskEvent) -> None:
        """Something happened to a task: this process submitted, ran, cancelled or replayed it."""

    def on_store_call(self, call: StoreCall) -> None:
        """An operation of the store was answered, or wasn't."""

    def on_worker_lost(self, loss: WorkerLoss) -> None:
        """This process recovered tasks of another one, which run again unless a "failed" event says otherwise."""


class TaskCounter(Protocol):
    """Counts what every task does, without an event for each.

    What it isn't called for comes as an event: failures, say, and successes that a hook or a caller waits for.
    """

    def count_submitted(self, task: Submission, queue: str) -> None:
        """A task was submitted."""

    def count_started(self, task: Task, seconds: float) -> None:
        """An attempt is about to begin; the task had been due for so long."""

    def count_succeeded(self, task: Task, seconds: float) -> None:
        """The store accepted a success; the attempt took so long."""


class CountingObserver(Observer):
    """An observer of kew's own that has a counter; None: it wants events."""

    _counter: TaskCounter | None = None


def counter_within(observer: Observer) -> TaskCounter | None:
    """The counter of an observer of kew's own."""
    return observer._counter if isinstance(observer, CountingObserver) else None


def record_of(event: TaskEvent) -> Task:
    """The task's record after the event, for kew's own observers."""
    return event._task if event._after is None else event._after()
