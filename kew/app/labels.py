"""How a log line names a task: with its queue and its function, so that one line is enough to find it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kew.app.working.runs import NO_CONTEXT, Run
from kew.domain.config import QueueConfig
from kew.domain.task import Task
from kew.log import TASK, logger


def label(task: Task) -> str:
    """ "task order-7 (queue mails, shop.jobs:send)"."""
    call = task.call
    return f"task {call.id} (queue {task.queue}, {call.function})"  # once per task: `TASK %` takes five times as long


def names_of(task: Task) -> tuple[str, str, str]:
    """The task's id, its queue and its function."""
    return task.call.id, task.queue, task.call.function


def shown_delay(ms: int) -> str:
    """ "2.5 s", or "50 ms"."""
    return f"{ms} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def log_task(write: Callable[..., None], task: Task, text: str, *args: object, **more: Any) -> None:
    """Log a line about a task; `text` and `args` as a logger takes them.

    The record's arguments are the task's id, its queue and its function, for handlers that filter.
    """
    write(f"{TASK}: {text}", *names_of(task), *args, **more)


def warn(run: Run, what: str, error: BaseException | None = None) -> None:
    """Log a warning about an attempt in this process, in the attempt's context."""
    log(logger.warning, run, what, error)


def log(
    write: Callable[..., None], run: Run, what: str, error: BaseException | None = None
) -> None:
    """Log a line about an attempt in this process, in the attempt's context."""
    line = partial(log_task, write, run.task, "attempt %s %s", run.task.attempt, what)
    if run.context is NO_CONTEXT:  # it has not ended: this is its own, or that of kew's code
        line(exc_info=error)
    else:
        run.context.copy().run(line, exc_info=error)


def shown_limits(config: QueueConfig) -> str:
    """ "max_workers 4, max_size 1000, rate 100 per 60 s": what bounds the queue, as this process declares it."""
    rates = [f"rate {rate.count} per {rate.per:g} s" for rate in config.rate]
    return ", ".join([f"max_workers {config.max_workers}", f"max_size {config.max_size}", *rates])
