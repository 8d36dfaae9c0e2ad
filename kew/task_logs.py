"""The task's id in the user's own log lines."""

from __future__ import annotations

import logging

from kew.app.working.context import current_task
from kew.compat import override
from kew.log import NOTHING, PROCESS


class TaskLogFilter(logging.Filter):
    """Adds fields to each record: `task_id`, `queue`, `function` and `attempt` of the running task, `process_name`.

    Outside of a task they are None. Fields that a record has already stay, such as those of kew's own lines. Add the
    filter to a handler: `handler.addFilter(kew.TaskLogFilter())`. It filters nothing out.
    """

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        task, fields = current_task(), dict(NOTHING)
        if task is not None:
            fields = {
                "task_id": task.task_id,
                "queue": task.queue,
                "function": task.function,
                "attempt": task.attempt,
            }
        for name, value in {**fields, "process_name": PROCESS.get(None)}.items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True
