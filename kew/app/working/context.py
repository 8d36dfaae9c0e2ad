"""What a running task can ask about itself."""

from __future__ import annotations

from contextvars import Context, ContextVar
from typing import Any, Protocol
from weakref import ref

import attrs

from kew.app.working.runs import Run
from kew.domain.errors_in_tasks import LeaseLostError
from kew.domain.progress import report_of
from kew.domain.task import Task
from kew.domain.values import maker


class TakesReports(Protocol):
    """Where a run reports its progress."""

    def add(self, run: Run, value: float, message: str) -> None: ...


class KeepsCheckpoints(Protocol):
    """Where a run saves its checkpoints."""

    async def save(self, run: Run, value: object) -> None: ...
    def save_from_thread(self, run: Run, value: object) -> None: ...
    def read(self, run: Run) -> Any: ...


@attrs.frozen(kw_only=True, weakref_slot=False)
class TaskContext:
    """The running attempt. Pass `fencing_token` to storage that refuses writes with an older one.

    `attempt` counts all runs that began, `snoozes` those that came back later since the submit or the last replay.

    The token grows with every lease of the queue. It starts again at 1 when the queue's data is removed: by
    `cleanup()`, `cleanup_on_start=True`, `delete_queue()` or an emptied store.

    `function` is the name of the task's function, as the store has it.
    `deadline` is the event loop's time (`loop.time()`) at which the attempt times out. `current()` also works in the
    threads of plain functions.
    """

    task_id: str
    queue: str
    task_type: str
    attempt: int
    fencing_token: int
    deadline: float
    snoozes: int = 0
    function: str = ""
    _process: str = attrs.field(default="", repr=False, eq=False)
    # Weak: the run's context holds this object, and a cycle of each run would be left to the garbage collector.
    _run: ref[Run] | None = attrs.field(default=None, repr=False, eq=False)
    _reports: TakesReports | None = attrs.field(default=None, repr=False, eq=False)
    _checkpoints: KeepsCheckpoints | None = attrs.field(default=None, repr=False, eq=False)

    @property
    def _live(self) -> Run | None:
        return None if self._run is None else self._run()

    def progress(self, value: float, message: str = "") -> None:
        """Report how far the attempt has come: `value` from 0 to 1, and what it is at.

        A plain call that waits for nothing, in coroutines and threads: call it as often as you like. The store gets the
        last report about once a second. A message of more than 200 characters is cut. Does nothing once the attempt has
        ended. Raises `InvalidProgressError`, a ValueError, if `value` is no such number or `message` no text.
        """
        run = self._live
        if run is not None and self._reports is not None:
            self._reports.add(run, value, message)
        else:
            report_of(1, value, message)  # refuses what an attempt that goes on would refuse

    async def checkpoint(self, value: object) -> None:
        """Save a value with the task, in place of the last one: the next attempt finds it in `last_checkpoint`.

        Any value that a result may be, of at most the size of one. Once this returns, the store has it. Raises
        `InvalidCheckpointError`, a ValueError, for a value that would not arrive as it is, and `LeaseLostError` if this
        attempt no longer has its lease: then nothing is saved.
        """
        run = self._live
        if run is None or self._checkpoints is None:
            raise LeaseLostError(self.task_id)
        await self._checkpoints.save(run, value)

    def checkpoint_from_thread(self, value: object) -> None:
        """The same in a plain function, whose thread it blocks until the store has the value."""
        run = self._live
        if run is None or self._checkpoints is None:
            raise LeaseLostError(self.task_id)
        self._checkpoints.save_from_thread(run, value)

    @property
    def last_checkpoint(self) -> Any:
        """What the task saved last, in an earlier attempt or in this one; None if it saved nothing.

        Raises `InvalidCheckpointError` if it can't be decoded here.
        """
        run = self._live
        if run is None or self._checkpoints is None:
            return None
        return self._checkpoints.read(run)

    @staticmethod
    def current() -> TaskContext:
        """The context of the task that calls. Raises LookupError outside of a task."""
        try:
            return _current.get()
        except LookupError:
            raise LookupError("not inside a kew task") from None


make_context = maker(TaskContext)
_current: ContextVar[TaskContext] = ContextVar("kew_task")


def current_task() -> TaskContext | None:
    """The running attempt whose code calls this, also in threads of plain functions; None outside of a task."""
    return _current.get(None)


def attempt_of(context: Context) -> TaskContext | None:
    """The attempt whose code has this context."""
    return context.get(_current)


def is_inside(process: str) -> bool:
    """Whether the caller is a task or a hook that this process runs, or was started by one."""
    current = _current.get(None)
    return current is not None and current._process == process


def enter(
    task: Task,
    deadline: float,
    process: str,
    run: Run | None = None,
    reports: TakesReports | None = None,
    checkpoints: KeepsCheckpoints | None = None,
) -> None:
    """Make this the current attempt of the running asyncio task, whose context is its own.

    `run`, which reports to `reports` and saves to `checkpoints`; None: it has ended.
    """
    call = task.call
    _current.set(
        make_context(
            call.id,
            task.queue,
            call.task_type,
            task.attempt,
            task.token,
            deadline,
            task.snoozes,
            call.function,
            process,
            None if run is None else ref(run),
            reports,
            checkpoints,
        )
    )
