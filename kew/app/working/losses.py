"""Reporting what lost workers left behind, and what expired, in the process that recovered or ended these tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import attrs

from kew.app.ports import Find, TaskStore
from kew.app.repeat import ask
from kew.app.spawning import Owned
from kew.app.working.reporter import Reporter
from kew.domain.errors import StoreUnavailableError, StoreUnsuitableError
from kew.domain.incarnations import place_of
from kew.domain.requests import LostWorker
from kew.domain.task import Task, Unreadable
from kew.log import logger

ASKED_AT_ONCE = 200


@attrs.frozen
class Said:
    """What is logged if the store doesn't answer, or if the record of one task is damaged."""

    unavailable: str
    unreadable: str


FAILED: Final = Said(
    "queue %s: tasks failed for good with their workers, and their hooks are not called: %s: %s",
    "queue %s: task %s failed for good with its worker; its record can't be read, so its hook is not called",
)
EXPIRED: Final = Said(
    "queue %s: tasks expired, and the observer doesn't see them: %s: %s",
    "queue %s: task %s expired; its record can't be read, so the observer doesn't see it",
)


def report_lost(queue: str, lost: Iterable[LostWorker]) -> None:
    """Log one line for each worker, as a claim's or a sweep's answer names it."""
    for each in lost:
        tasks = "1 task" if each.tasks == 1 else f"{each.tasks} tasks"
        who = place_of(each.incarnation)
        logger.warning("queue %s: worker %s lost, %s recovered", queue, who, tasks)


def log_orphans(queue: str, tasks: int) -> None:
    """Log that a sweep failed closures whose process has gone."""
    if tasks:
        logger.warning(
            "queue %s: %s failed, since the process that submitted their functions has gone and no other can run them; "
            "submit module-level functions, or use the pickle codec",
            queue,
            "1 closure" if tasks == 1 else f"{tasks} closures",
        )


def report_expired(queue: str, tasks: int) -> None:
    """Log that a claim or a sweep cancelled tasks that no process had started in time."""
    if tasks:
        logger.info(
            "queue %s: %s expired: no process started %s within expires_in",
            queue,
            *(("1 task", "it") if tasks == 1 else (f"{tasks} tasks", "them")),
        )


class Losses:
    """The lost workers of one queue, and the tasks that failed for good with them.

    The operation that recovers a task names it in one answer, so one process alone calls `on_task_fail`. If that
    answer is lost, or the process ends before the hook was called, no process calls it. The same holds for closures
    whose process has gone, and for tasks that a claim or a sweep ended because they had expired: one observer alone
    sees each.
    """

    def __init__(self, queue: str, store: TaskStore, reporter: Reporter, background: Owned) -> None:
        self._queue = queue
        self._store = store
        self._reporter = reporter
        self._background = background

    def report(self, lost: Iterable[LostWorker]) -> None:
        """Log each worker, and report the tasks that failed like other failures: a log line and `on_task_fail`."""
        failed: list[str] = []
        for each in lost:
            report_lost(self._queue, (each,))
            self._reporter.worker_lost(self._queue, each)
            failed += each.failed
        for start in range(0, len(failed), ASKED_AT_ONCE):
            self._background.begin(self._report_failed(failed[start : start + ASKED_AT_ONCE]))

    def report_expired(self, task_ids: Sequence[str]) -> None:
        """Log how many expired, and report each to the observer, if there is one."""
        report_expired(self._queue, len(task_ids))
        if self._reporter.has_observer:
            for start in range(0, len(task_ids), ASKED_AT_ONCE):
                some = task_ids[start : start + ASKED_AT_ONCE]
                self._background.begin(self._report_each(some, EXPIRED, self._reporter.expired))

    def report_orphans(self, task_ids: Sequence[str]) -> None:
        """Log how many closures failed with their process, and report each like other failures."""
        log_orphans(self._queue, len(task_ids))
        for start in range(0, len(task_ids), ASKED_AT_ONCE):
            self._background.begin(self._report_failed(task_ids[start : start + ASKED_AT_ONCE]))

    async def _report_failed(self, task_ids: Sequence[str]) -> None:
        await self._report_each(task_ids, FAILED, self._reporter.lost)

    async def _report_each(
        self, task_ids: Sequence[str], said: Said, report: Callable[[Task], None]
    ) -> None:
        try:
            found = await ask(self._store, Find(task_ids))
        except (StoreUnavailableError, StoreUnsuitableError) as error:
            logger.warning(said.unavailable, self._queue, ", ".join(task_ids), error)
            return
        for task in found:
            if isinstance(task, Unreadable):
                logger.warning(said.unreadable, self._queue, task.id)
            elif task is not None and task.queue == self._queue:
                report(task)
