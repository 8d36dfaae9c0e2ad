"""What a running task can ask about itself."""

from __future__ import annotations

from contextvars import Context, ContextVar

import attrs

from kew.domain.task import Task


@attrs.frozen(kw_only=True)
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

    @staticmethod
    def current() -> TaskContext:
        """The context of the task that calls. Raises LookupError outside of a task."""
        try:
            return _current.get()
        except LookupError:
            raise LookupError("not inside a kew task") from None


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


def enter(task: Task, deadline: float, process: str) -> None:
    """Make this the current attempt of the running asyncio task, whose context is its own."""
    _current.set(
        TaskContext(
            task_id=task.call.id,
            queue=task.queue,
            task_type=task.call.task_type,
            attempt=task.attempt,
            fencing_token=task.token,
            deadline=deadline,
            snoozes=task.snoozes,
            function=task.call.function,
            process=process,
        )
    )
