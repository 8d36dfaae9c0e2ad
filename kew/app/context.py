"""What a running task can ask about itself."""

from __future__ import annotations

from contextvars import ContextVar

import attrs

from kew.domain.task import Task


@attrs.frozen(kw_only=True)
class TaskContext:
    """The attempt that is running. Hand `fencing_token` to storage that refuses writes with an older one.

    It grows with every lease of the queue while the queue's data is in the store: `cleanup()`, `cleanup_on_start=True`
    and a store that was emptied begin anew at 1.

    `deadline` is the event loop's time (`loop.time()`) at which the attempt is timed out. It works in threads of plain
    functions too.
    """

    task_id: str
    queue: str
    task_type: str
    attempt: int
    fencing_token: int
    deadline: float

    @staticmethod
    def current() -> TaskContext:
        """The context of the task that calls. Raises LookupError outside of a task."""
        try:
            return _current.get()
        except LookupError:
            raise LookupError("not inside a kew task") from None


_current: ContextVar[TaskContext] = ContextVar("kew_task")


def enter(task: Task, deadline: float) -> None:
    """Make this the current attempt of the running asyncio task, whose context is its own."""
    _current.set(
        TaskContext(
            task_id=task.call.id,
            queue=task.queue,
            task_type=task.call.task_type,
            attempt=task.attempt,
            fencing_token=task.token,
            deadline=deadline,
        )
    )
