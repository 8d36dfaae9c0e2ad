"""The part of the public API that queries the store and sends commands. It works without creating queues."""

from __future__ import annotations

from abc import ABC
from datetime import datetime
from typing import Any

from kew.app.arguments import TaskArguments, read_arguments
from kew.app.diagnosis import Diagnosis, diagnosed
from kew.app.forgetting import forget
from kew.app.health import ANSWER_SECONDS, Health, health_of
from kew.app.info import TaskInfo
from kew.app.listing import TaskFilter, TaskPage
from kew.app.lookups import known_queue
from kew.app.ports import Command
from kew.app.processes import ProcessInfo, present_processes
from kew.app.queue_status import status_dict
from kew.dead_letters import DeadLetters
from kew.domain.breaker_history import BreakerChange, changes_of
from kew.domain.errors import TaskQueueError
from kew.domain.explaining import Explanation
from kew.domain.history import QueueHistory
from kew.domain.holding import check_by
from kew.handles import TaskId, id_of
from kew.queue_handles import QueueHandle
from kew.steering import Steering


# Wide: one method for each question and command.
class Queries(DeadLetters, Steering, ABC):
    """Queries and commands about tasks and queues, over all processes."""

    @property
    def store_address(self) -> str:
        """Where the store is, without a password."""
        return self._here().parts.address

    @property
    def namespace(self) -> str | None:
        """The namespace of its queues; None: the store was given as `parts`, which don't say."""
        return self._here().parts.namespace

    async def get_task_status(self, task_id: TaskId, *, result: bool = True) -> TaskInfo:
        """The task's status. Without `result`, its result is None, and need not be readable.

        Raises `TaskNotFoundError`, and `ResultUnreadableError` if its result can't be read.
        """
        return await self._here().inspector.info(id_of(task_id), result=result)

    async def get_task_arguments(self, task_id: TaskId) -> TaskArguments:
        """What the task was called with, as plain data. Raises `TaskNotFoundError`."""
        return await read_arguments(self._here(), id_of(task_id))

    async def explain(self, task_id: TaskId) -> Explanation:
        """Why the task isn't running, and when it can: all reasons at this moment. `str()` of it is a sentence.

        Raises `TaskNotFoundError`.
        """
        return await self._here().inspector.explain(id_of(task_id))

    async def get_ongoing_tasks(self) -> list[TaskInfo]:
        """All running tasks of the namespace, over all processes, longest running first."""
        return await self._here().inspector.ongoing()

    async def get_queue_status(self, queue_name: str) -> dict[str, Any]:
        """The queue's status as plain values. Raises `QueueNotFoundError`.

        Among them: name, max_workers, current_workers, queued_tasks (with deferred tasks and retries),
        circuit_breaker_status.
        """
        process = self._here()
        status = await process.inspector.status(queue_name)
        schedules = await process.scheduling.office.stored(queue_name)
        return status_dict(status, process.notifications.status, schedules)

    async def queue_history(self, queue_name: str, span: float = 3600) -> QueueHistory:
        """What happened in the queue in the last `span` seconds: by the minute up to a day, else by the hour.

        The store keeps a day by the minute, and 30 days by the hour. Raises `InvalidConfigError` for another span, and
        `QueueNotFoundError`.
        """
        return await self._here().inspector.histories.of(queue_name, span)

    async def queue_histories(self, span: float = 3600) -> dict[str, QueueHistory]:
        """The history of each queue of the namespace, by name, in a few requests. Raises `InvalidConfigError`."""
        inspector = self._here().inspector
        return await inspector.histories.of_all(await inspector.queues(), span)

    async def get_queue_statuses(self) -> list[dict[str, Any]]:
        """The status of each queue of the namespace, by name, as `get_queue_status` gives it, in a few requests."""
        process = self._here()
        found = await process.inspector.statuses()
        schedules = await process.scheduling.office.stored() if found else ()
        said = process.notifications.status
        return [status_dict(status, said, schedules) for status in found]

    def queue(self, queue_name: str) -> QueueHandle:
        """A handle on the queue of this name, which declares nothing: `await manager.queue("mails").pause()`.

        The store is not asked: if there is no such queue, the handle's methods raise `QueueNotFoundError`.
        """
        return QueueHandle(self, known_queue(queue_name))

    async def _explain(self, queue_name: str, task_id: TaskId) -> Explanation:
        return await self._here().inspector.explain(id_of(task_id), queue_name)

    async def _running(
        self, queue_name: str, task_type: str | None, function: str | None
    ) -> list[TaskInfo]:
        return await self._here().inspector.running(queue_name, task_type, function)

    async def cancel_task(self, task_id: TaskId) -> bool:
        """Cancel a task that waits or runs. False: it had already completed or failed.

        True if it was cancelled before, too. A running task may still complete, as a thread does. Raises
        `TaskNotFoundError`.
        """
        return await self._here().inspector.cancel(id_of(task_id))

    async def run_task_now(self, task_id: TaskId) -> bool:
        """Let a task that waits for its due time or its next attempt be due now. False: it had ended.

        True if it was due before or runs, too. What else holds it back goes on doing so, such as a pause or a limit:
        `explain` says what. Raises `TaskNotFoundError`.
        """
        return await self._here().inspector.hasten(id_of(task_id))

    async def forget(self, task_id: TaskId) -> None:
        """Remove the record of a task that has ended, with its result: its id can be used again at once.

        Its failed attempts are removed, too. Raises `TaskNotEndedError` if it waits or runs, and `TaskNotFoundError`.
        """
        here = self._here()
        await forget(here.parts.store, await here.inspector.find(id_of(task_id)))

    async def unreadable_tasks(self, queue_name: str) -> list[str]:
        """The ids of tasks whose records can't be read: another program changed them, or a newer kew wrote them.

        They were set aside when they were met, so that they harm no other task: they neither run nor expire, and their
        ids stay in use. `get_queue_status` counts them as `unreadable_tasks`. Raises `QueueNotFoundError`.
        """
        return await self._here().inspector.unreadable(queue_name)

    async def remove_unreadable_task(self, queue_name: str, task_id: str) -> bool:
        """Remove a task that `unreadable_tasks` lists. False: it isn't one of those. Raises `QueueNotFoundError`."""
        return await self._here().inspector.discard(queue_name, task_id)

    async def get_tasks(
        self,
        queue_name: str,
        *,
        state: str | None = None,
        function: str | None = None,
        key: object = None,
        task_type: str | None = None,
        submitted_since: datetime | None = None,
        submitted_until: datetime | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> TaskPage:
        """A page of the queue's tasks, over all processes: those that wait or run, and its dead letters.

        `state`: "running" (longest running first), "waiting" (by priority; of these "ready", "deferred", which are due
        later, or "stuck", whose function no process can run), "failed" (latest failure first), or None: all of these,
        in this order. `function`: the name under which processes know it. `key`: as for a submit. `submitted_since`,
        `submitted_until`: those submitted from then on, and before then; a naive datetime is local time. `limit`: from
        1 to 1,000. `cursor`: that of the page before. Filters have no index of their own: a page looks at 25,000 tasks
        at most, and then the cursor goes on. None looks at completed tasks. Raises `QueueNotFoundError` and
        `InvalidConfigError`.
        """
        known_queue(queue_name)
        wanted = TaskFilter.of(
            state=state,
            function=function,
            key=key,
            task_type=task_type,
            submitted_since=submitted_since,
            submitted_until=submitted_until,
        )
        return await self._here().lists.page(queue_name, wanted, limit=limit, cursor=cursor)

    async def processes(self) -> list[ProcessInfo]:
        """The processes that work on queues of the namespace, by name, each as it was at its last heartbeat.

        One that died is listed until its presence ends, a minute after its last heartbeat.
        """
        return await present_processes(self._here().parts.store)

    async def health(self, timeout: float = ANSWER_SECONDS) -> Health:
        """Whether this process is live, and ready to claim. It asks the store one question, for `timeout` seconds.

        It raises nothing: a manager that is not initialized is not ready.
        """
        try:
            process = self._here()
        except TaskQueueError as error:
            return Health(live=True, ready=False, process=None, reasons=(str(error),))
        return await health_of(
            process.presence.name,
            process.parts.store,
            process.workers,
            is_closing=process.is_closing,
            seconds=timeout,
        )

    async def diagnose(self, *, repair: bool = False) -> Diagnosis:
        """Whether the store is fit for kew, and whether each queue's indexes agree with the records of its tasks.

        It reads the indexes of what waits, runs or failed, in bounded requests, and no completed task. `repair`: let
        maintenance clear up each queue that is not sound, now instead of within minutes.
        """
        process = self._here()
        return await diagnosed(process.parts.store, process.caretaker.sweep if repair else None)

    async def get_queue_names(self) -> list[str]:
        """The names of all queues of the namespace, sorted."""
        return await self._here().inspector.queues()

    async def reset_breaker(self, queue_name: str, *, by: str = "") -> None:
        """Close the queue's circuit breaker, for all processes. Raises `QueueNotFoundError`.

        `by` (one line): who does it, for `breaker_history`; by default the name of this process.
        """
        here = self._here()
        who = check_by(by or here.presence.name)
        await here.inspector.control(queue_name, Command.RESET_BREAKER, who)

    async def open_breaker(self, queue_name: str, *, by: str = "") -> None:
        """Open the queue's circuit breaker, for all processes, as its failures would.

        It lets a probe through after `circuit_breaker_reset_timeout`. `by` as for `reset_breaker`. Raises
        `QueueNotFoundError`, and `InvalidConfigError` if the queue has no breaker: pause it instead.
        """
        here = self._here()
        who = check_by(by or here.presence.name)
        await here.inspector.control(queue_name, Command.OPEN_BREAKER, who)

    async def breaker_history(self, queue_name: str) -> list[BreakerChange]:
        """The last changes of the queue's circuit breaker, at most 20, the latest first.

        Raises `QueueNotFoundError`.
        """
        status = await self._here().inspector.status(queue_name)
        return changes_of(status.state.breaker_log)

    async def record_failure(self, queue_name: str) -> None:
        """Count a failure that happened outside of the queue's tasks for its circuit breaker.

        Raises `QueueNotFoundError`.
        """
        await self._here().inspector.control(queue_name, Command.RECORD_FAILURE)
