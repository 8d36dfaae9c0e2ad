"""The part of the public face that asks the store and carries commands to it: none of it needs a queue of one's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Any

from kew.app.info import TaskInfo
from kew.app.inspector import status_dict
from kew.app.ports import Command
from kew.app.process import Process


class Questions(ABC):
    """What a manager can be asked about tasks and queues, over all processes."""

    @abstractmethod
    def _here(self) -> Process:
        """This process, once it has begun, in its event loop. Raises `TaskQueueError`."""

    async def get_task_status(self, task_id: str) -> TaskInfo:
        """The task's status. Raises `TaskNotFoundError`, and `ResultUnreadableError` where its result can't be read."""
        return await self._here().inspector.info(task_id)

    async def get_ongoing_tasks(self) -> list[TaskInfo]:
        """All running tasks of the namespace, over all processes, longest running first."""
        return await self._here().inspector.ongoing()

    async def get_queue_status(self, queue_name: str) -> dict[str, Any]:
        """The queue in plain values: name, max_workers, current_workers, queued_tasks (deferred tasks and retries too),
        circuit_breaker_status, and more. Raises `QueueNotFoundError`.
        """
        return status_dict(await self._here().inspector.status(queue_name))

    async def cancel_task(self, task_id: str) -> bool:
        """Cancel a waiting task, or tell a running one to stop: True, also if it was cancelled before; False: it had
        ended otherwise.

        A running one may still complete, as a thread does. Raises `TaskNotFoundError`.
        """
        return await self._here().inspector.cancel(task_id)

    async def replay_task(self, task_id: str) -> bool:
        """Put a FAILED or CANCELLED task back: True; False: it had completed. Raises `TaskNotFoundError`."""
        return await self._here().inspector.replay(task_id)

    def failed_tasks(self, queue_name: str, limit: int | None = None) -> AsyncIterator[TaskInfo]:
        """The queue's dead letters, over all processes: `async for info in manager.failed_tasks("mails")`.

        Newest end first, at most `limit` of them (1 or more; None: all). Each may be put back in the loop's body:
        `await manager.replay_task(info.task_id)`; one that fails again meanwhile doesn't come a second time. (Where
        `dead_letter_ttl` was changed, those come first that are kept longest; after it was shortened, one that fails
        again may come once more.)

        They are read page by page, with the loop: one that was replayed or expired since its page was read is told
        as it was. Raises `QueueNotFoundError` and `StoreUnavailableError` where the loop reads on, and
        `InvalidConfigError` for another `limit`.
        """
        return self._here().inspector.failed(queue_name, limit)

    async def get_queue_names(self) -> list[str]:
        """All queues of the namespace, whoever declared them, sorted."""
        return await self._here().inspector.queues()

    async def pause_queue(self, queue_name: str) -> None:
        """Let no process claim from the queue; running tasks go on. Raises `QueueNotFoundError`."""
        await self._here().inspector.control(queue_name, Command.PAUSE)

    async def resume_queue(self, queue_name: str) -> None:
        """Undo `pause_queue`."""
        await self._here().inspector.control(queue_name, Command.RESUME)
