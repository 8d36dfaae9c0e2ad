"""Handles on queues, which declare nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Protocol, Unpack

from kew.app.dead_letters import DeadLetterPage
from kew.app.info import TaskInfo
from kew.app.listing import TaskPage
from kew.domain.breaker_history import BreakerChange
from kew.domain.explaining import Explanation
from kew.domain.history import QueueHistory
from kew.domain.key_limits import KeyLimitPage
from kew.domain.overrides import Overridable, Override
from kew.domain.rate import Rate
from kew.handles import TaskId


class QueueSteering(Protocol):
    """What a handle needs of the manager that made it."""

    async def get_queue_status(self, queue_name: str) -> dict[str, Any]: ...
    async def queue_settings(self, queue_name: str) -> dict[str, dict[str, Any]]: ...
    async def queue_history(self, queue_name: str, span: float = 3600) -> QueueHistory: ...
    async def pause_queue(self, queue_name: str, note: str = "") -> None: ...
    async def drain_queue(self, queue_name: str, note: str = "") -> None: ...
    async def resume_queue(self, queue_name: str) -> None: ...
    @property
    def purge_queue(self) -> Callable[..., Awaitable[int]]: ...
    async def reset_breaker(self, queue_name: str, *, by: str = "") -> None: ...
    async def open_breaker(self, queue_name: str, *, by: str = "") -> None: ...
    async def breaker_history(self, queue_name: str) -> list[BreakerChange]: ...
    @property
    def set_overrides(self) -> Callable[..., Awaitable[None]]: ...
    async def overrides(self, queue_name: str) -> dict[str, Override]: ...
    async def remove_overrides(self, queue_name: str, *names: str) -> None: ...
    @property
    def set_key_limit(self) -> Callable[..., Awaitable[None]]: ...
    @property
    def key_limits(self) -> Callable[..., Awaitable[KeyLimitPage]]: ...
    async def remove_key_limit(self, queue_name: str, key: object) -> None: ...
    @property
    def get_tasks(self) -> Callable[..., Awaitable[TaskPage]]: ...
    async def _explain(self, queue_name: str, task_id: TaskId) -> Explanation: ...
    @property
    def dead_letters(self) -> Callable[..., Awaitable[DeadLetterPage]]: ...
    async def _running(
        self, queue_name: str, task_type: str | None, function: str | None
    ) -> list[TaskInfo]: ...


# Wide: the public API: one method for each thing that is done to a queue.
class QueueHandle:
    """A queue that any process may have created: look at it and steer it.

    Its methods raise `QueueNotFoundError` if there is no such queue. They are those of the manager, without the name.
    """

    def __init__(self, manager: QueueSteering, name: str) -> None:
        self._manager = manager
        self._name = name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name!r}>"

    @property
    def name(self) -> str:
        """The queue's name."""
        return self._name

    async def status(self) -> dict[str, Any]:
        """Its status as plain values: `get_queue_status`."""
        return await self._manager.get_queue_status(self._name)

    async def settings(self) -> dict[str, dict[str, Any]]:
        """Its settings: those in force, and what the code declares: `queue_settings`."""
        return await self._manager.queue_settings(self._name)

    async def history(self, span: float = 3600) -> QueueHistory:
        """What happened in it in the last `span` seconds: `queue_history`."""
        return await self._manager.queue_history(self._name, span)

    async def pause(self, note: str = "") -> None:
        """Let no process start its tasks: `pause_queue`."""
        await self._manager.pause_queue(self._name, note)

    async def drain(self, note: str = "") -> None:
        """Let it accept nothing, and finish what it has: `drain_queue`."""
        await self._manager.drain_queue(self._name, note)

    async def resume(self) -> None:
        """Undo `pause` and `drain`: `resume_queue`."""
        await self._manager.resume_queue(self._name)

    async def purge(
        self,
        *,
        state: str | None = None,
        function: str | None = None,
        key: object = None,
        dry_run: bool = False,
    ) -> int:
        """Cancel what waits, or what of it fits; how many tasks that was: `purge_queue`."""
        return await self._manager.purge_queue(
            self._name, state=state, function=function, key=key, dry_run=dry_run
        )

    async def reset_breaker(self, *, by: str = "") -> None:
        """Close its circuit breaker: `reset_breaker`."""
        await self._manager.reset_breaker(self._name, by=by)

    async def open_breaker(self, *, by: str = "") -> None:
        """Open its circuit breaker: `open_breaker`."""
        await self._manager.open_breaker(self._name, by=by)

    async def breaker_history(self) -> list[BreakerChange]:
        """The last changes of its circuit breaker, the latest first: `breaker_history`."""
        return await self._manager.breaker_history(self._name)

    async def set_overrides(self, *, by: str = "", **values: Unpack[Overridable]) -> None:
        """Put values in force in place of what the code declares, until they are removed: `set_overrides`."""
        await self._manager.set_overrides(self._name, by=by, **values)

    async def overrides(self) -> dict[str, Override]:
        """The overrides in force, by name."""
        return await self._manager.overrides(self._name)

    async def remove_overrides(self, *names: str) -> None:
        """Let what the code declares be in force again: for these names, or for all."""
        await self._manager.remove_overrides(self._name, *names)

    async def set_key_limit(
        self,
        key: object,
        *,
        max_workers: int | None = None,
        rate: Rate | tuple[Rate, ...] | None = None,
        max_size: int | None = None,
        expires_in: float | timedelta | None = None,
    ) -> None:
        """Give a key limits of its own: `set_key_limit`."""
        await self._manager.set_key_limit(
            self._name,
            key,
            max_workers=max_workers,
            rate=rate,
            max_size=max_size,
            expires_in=expires_in,
        )

    async def key_limits(
        self, *, key: object = None, limit: int = 100, cursor: str | None = None
    ) -> KeyLimitPage:
        """A page of the limits that its keys have of their own: `key_limits`."""
        return await self._manager.key_limits(self._name, key=key, limit=limit, cursor=cursor)

    async def remove_key_limit(self, key: object) -> None:
        """Let a key have the limits of `per_key` again."""
        await self._manager.remove_key_limit(self._name, key)

    async def tasks(
        self,
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
        """A page of its tasks that wait, run or failed for good: `get_tasks`."""
        return await self._manager.get_tasks(
            self._name,
            state=state,
            function=function,
            key=key,
            task_type=task_type,
            submitted_since=submitted_since,
            submitted_until=submitted_until,
            cursor=cursor,
            limit=limit,
        )

    async def explain(self, task_id: TaskId) -> Explanation:
        """Why the task isn't running: `explain`. Raises `TaskNotFoundError`, also if it is another queue's."""
        return await self._manager._explain(self._name, task_id)

    async def running(
        self, *, task_type: str | None = None, function: str | None = None
    ) -> list[TaskInfo]:
        """Its running tasks, longest running first; only those of a task type, or of a function's name."""
        return await self._manager._running(self._name, task_type, function)

    async def failed(self, **options: Any) -> DeadLetterPage:
        """A page of its dead letters, with the options of `dead_letters`: filters, `limit` and `cursor`."""
        return await self._manager.dead_letters(self._name, **options)
