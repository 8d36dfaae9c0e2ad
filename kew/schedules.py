"""`manager.schedules`: looking at schedules and steering them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Unpack

from kew.app.lookups import known_queue
from kew.app.naming import Decorated, undecorated
from kew.app.process import Process
from kew.app.scheduling.declaring import Declaration, Timing, check_timing
from kew.app.scheduling.office import ScheduleInfo
from kew.domain.config import name_of
from kew.domain.schedule import ScheduleVerb
from kew.domain.schedule_errors import InvalidScheduleError
from kew.handles import TaskHandle

NO_QUEUE = "name the queue of schedule {0!r}: queue='reports'"


class Schedules:
    """The schedules of a namespace. Its methods raise `ScheduleNotFoundError` for a name that there isn't."""

    def __init__(
        self, here: Callable[[], Process], handle_of: Callable[[str], TaskHandle[Any]]
    ) -> None:
        self._here = here
        self._handle_of = handle_of

    async def put(
        self,
        name: str,
        function: Callable[..., object],
        cron: str | None = None,
        *,
        every: float | timedelta | None = None,
        queue: str | None = None,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
        **timing: Unpack[Timing],
    ) -> ScheduleInfo:
        """Store a schedule that calls `function`, in place of the one of this name: it goes on until it is removed.

        The options are those of `@manager.periodic`. Raises `InvalidScheduleError`.
        """
        check_timing(timing)
        process = self._here()
        own = getattr(function, "queue", None) if isinstance(function, Decorated) else None
        where = queue or own
        if where is None:
            raise InvalidScheduleError(NO_QUEUE.format(name))
        said = Declaration(
            name=name,
            queue=known_queue(name_of(where)),
            function=undecorated(function),
            task_type=str(
                getattr(function, "task_type", "") or getattr(function, "__name__", name)
            ),
            cron=cron,
            every=every,
            args=args,
            kwargs=kwargs,
            timing=timing,
        )
        said.check()
        if isinstance(function, Decorated):
            registration = function.registration
            process.registry.register(said.function, registration.name, **registration.options)
        priority = await process.submitter.priority_of(said.queue)
        await process.scheduling.office.put(
            process.scheduling.schedule_of(said, by_code=False, priority=priority)
        )
        return await self.get(name)

    async def list(self, queue: str | None = None) -> Sequence[ScheduleInfo]:
        """All of them, or those of a queue, by name."""
        known = None if queue is None else known_queue(queue)
        return await self._here().scheduling.office.list(known)

    async def get(self, name: str) -> ScheduleInfo:
        """One of them."""
        return await self._here().scheduling.office.get(name)

    async def next(self, name: str, n: int = 5) -> Sequence[datetime]:
        """When its next `n` ticks are due, in its time zone; as if it weren't paused."""
        return await self._here().scheduling.office.next(name, n)

    async def run_now(self, name: str) -> TaskHandle[Any]:
        """Submit its task now, beside its ticks, whatever its `overlap` says."""
        return self._handle_of(await self._here().scheduling.office.run_now(name))

    async def pause(self, name: str, note: str = "") -> None:
        """Submit no ticks until it is resumed, also if code declares it again. `note`: who and why, in one line."""
        await self._here().scheduling.office.steer(name, ScheduleVerb.PAUSE, note)

    async def resume(self, name: str) -> None:
        """Go on with the next tick. What was due meanwhile is not made up for: `backfill` does that."""
        await self._here().scheduling.office.steer(name, ScheduleVerb.RESUME)

    async def remove(self, name: str) -> None:
        """Remove it. If code still declares it, it is back when a process starts."""
        await self._here().scheduling.office.steer(name, ScheduleVerb.REMOVE)

    async def backfill(
        self, name: str, start: datetime, end: datetime, *, dry_run: bool = False
    ) -> Sequence[str]:
        """Submit its ticks from `start` on and before `end`, except for those whose ids are in use: the new ids.

        `dry_run`: only say which ids it would submit.

        Raises `QueueFullError`, `QueueDrainingError` or `QueueNotFoundError`, whose `accepted` are the ids that were
        submitted: the same call goes on.
        """
        return await self._here().scheduling.office.backfill(name, start, end, dry_run=dry_run)
