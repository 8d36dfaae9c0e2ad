"""The part of the public API that is about tasks which failed for good. It works without creating queues."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from kew.app.dead_letters import DeadLetterGroup, DeadLetterPage, Filter, checked_spacing
from kew.app.info import TaskInfo
from kew.app.inspector import checked_limit
from kew.app.lookups import known_queue
from kew.app.process import Process
from kew.app.submitting.batch import check_arguments
from kew.domain.task import TaskStatus
from kew.handles import TaskId, id_of


class DeadLetters(ABC):
    """Lists, groups, replays and purges of dead letters, over all processes.

    The filters, which are combined: `group`, the name of a `DeadLetterGroup`; `task_type`; `function`, the name under
    which processes know it ("shop.jobs:send"); `since` and `until`, datetimes between which the task failed for good (a
    naive one is local time; `until` is not included).
    """

    @abstractmethod
    def _here(self) -> Process:
        """The initialized process, in its event loop. Raises `TaskQueueError`."""

    def failed_tasks(self, queue_name: str, limit: int | None = None) -> AsyncIterator[TaskInfo]:
        """The queue's dead letters, over all processes: `async for info in manager.failed_tasks("mails")`.

        Those that ended last come first, at most `limit` of them (1 or more; None: all). The loop may replay them with
        `await manager.replay_task(info.task_id)`; a task that fails again meanwhile doesn't appear a second time. (If
        `dead_letter_ttl` was changed, those that are kept longest come first; after it was shortened, a task that
        fails again may appear once more.)

        The loop reads page by page, so a task may have been replayed or have expired since its page was read. Raises
        `QueueNotFoundError` and `StoreUnavailableError` while the loop reads, and `InvalidConfigError` for an invalid
        `limit`.
        """
        known_queue(queue_name)
        return self._here().dead_letters.each(queue_name, checked_limit(limit))

    async def dead_letters(
        self,
        queue_name: str,
        *,
        group: str | None = None,
        task_type: str | None = None,
        function: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> DeadLetterPage:
        """A page of the queue's dead letters, those first that ended last; each with its last attempt.

        `limit`: from 1 to 1,000. `cursor`: that of the page before. Raises `QueueNotFoundError` and
        `InvalidConfigError`.
        """
        known_queue(queue_name)
        wanted = Filter.of(
            group=group, task_type=task_type, function=function, since=since, until=until
        )
        return await self._here().dead_letters.page(queue_name, wanted, limit=limit, cursor=cursor)

    async def dead_letter_groups(self, queue_name: str) -> list[DeadLetterGroup]:
        """The groups of the queue's dead letters, that which failed last first. Raises `QueueNotFoundError`.

        A group is the last error's type and the innermost place in your code where it was raised.
        """
        known_queue(queue_name)
        return await self._here().dead_letters.groups(queue_name)

    async def replay_task(
        self,
        task_id: TaskId,
        *,
        args: Sequence[object] | None = None,
        kwargs: Mapping[str, object] | None = None,
    ) -> bool:
        """Make a FAILED or CANCELLED task wait again. False: it had completed.

        `args` and `kwargs`: other arguments, in place of all that it had; None for both: the same ones. They are
        checked as at a submit, so this process must know the function. If the function finds its key in them (`key=` of
        the decorator), the task gets another key, too; a key of the submit and a unique key stay.

        Raises `TaskNotFoundError`, `QueueDrainingError` if its queue accepts nothing, `UniqueTaskError` while another
        task holds its unique key, and `InvalidTaskError` if the arguments don't fit or can't be changed.
        """
        here = self._here()
        if args is None and kwargs is None:
            return await here.inspector.replay(id_of(task_id))
        check_arguments(id_of(task_id), args, kwargs)
        encode = partial(here.encoder.new_call, args=args or (), kwargs=kwargs or {})
        return await here.inspector.replay(id_of(task_id), encode)

    async def replay_dead_letters(
        self,
        queue_name: str,
        *,
        group: str | None = None,
        task_type: str | None = None,
        function: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        every: float | timedelta | None = None,
    ) -> int:
        """Replay the dead letters that fit, at most `limit`, those first that ended last; how many that were.

        `every`: seconds or a timedelta between two of them. What fails again meanwhile isn't replayed again. Each
        request to the store is bounded, so this may take many. If it raises `StoreUnavailableError`, some may have been
        replayed; call it again for the rest. Raises `QueueNotFoundError`, `InvalidConfigError`, and
        `QueueDrainingError` if the queue accepts nothing.
        """
        known_queue(queue_name)
        wanted = Filter.of(
            group=group, task_type=task_type, function=function, since=since, until=until
        )
        most, seconds = checked_limit(limit), checked_spacing(every)
        return await self._here().dead_letters.replay(queue_name, wanted, limit=most, every=seconds)

    async def purge_dead_letters(
        self,
        queue_name: str,
        *,
        group: str | None = None,
        task_type: str | None = None,
        function: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> int:
        """Remove the dead letters that fit, at most `limit`, for good; how many that were. Without filters, all.

        What is replayed meanwhile isn't removed. Raises as `replay_dead_letters` does.
        """
        known_queue(queue_name)
        wanted = Filter.of(
            group=group, task_type=task_type, function=function, since=since, until=until
        )
        most = checked_limit(limit)
        return await self._here().dead_letters.purge(queue_name, wanted, limit=most)

    async def purge_dead_letter(self, task_id: TaskId) -> bool:
        """Remove a task that failed for good. False: it has not failed. Raises `TaskNotFoundError`."""
        here = self._here()
        task = await here.inspector.find(id_of(task_id))
        if task.status is not TaskStatus.FAILED:
            return False
        return await here.dead_letters.forget(task.queue, [task]) == 1
