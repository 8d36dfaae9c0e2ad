"""Answering questions: one task, all that run, a queue, its breaker. See `dead_letters.py` for what failed for good."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Sequence

import attrs

from kew.app.histories import Histories
from kew.app.info import TaskInfo, info_of
from kew.app.lookups import Lookups, known_queue
from kew.app.observer import Kind, Observer, TaskEvent
from kew.app.ports import (
    Cancel,
    Codec,
    Command,
    Control,
    Discard,
    Explain,
    Find,
    Hasten,
    ListUnreadable,
    Purge,
    Queues,
    QueueStatus,
    ReadAttempts,
    ReadSettings,
    Replay,
    Running,
    Status,
    Statuses,
    StoreError,
    TaskStore,
)
from kew.app.repeat import ask
from kew.app.steering import Steering
from kew.domain.attempts import FailedAttempt, may_have_attempts
from kew.domain.breaker import BreakerState
from kew.domain.errors import (
    InvalidConfigError,
    InvalidTaskError,
    QueueDrainingError,
    QueueNotFoundError,
    TaskNotFoundError,
    shown,
)
from kew.domain.existing import UniqueTaskError
from kew.domain.explaining import Explanation
from kew.domain.holding import check_note
from kew.domain.reasons import explained
from kew.domain.requests import LifeRef, Word
from kew.domain.task import Task, TaskStatus, Unreadable, check_task_id

SHORT_WAIT = 1.0  # seconds for the store to say what a task waits for
NOT_CHANGED = "only a failed or cancelled task can be replayed with other arguments"
MOST_UNREADABLE = 10_000


def checked_limit(limit: object) -> int | None:
    """How many at most, None for all; `InvalidConfigError` for what is neither."""
    if limit is None or (type(limit) is int and limit > 0):
        return limit
    raise InvalidConfigError(f"limit must be 1 or more, or None for all, not {shown(limit)}")


def _is_id(task_id: object) -> bool:
    try:
        check_task_id(task_id)
    except InvalidTaskError:
        return False
    return True


# Wide: one method for each question that the public API asks.
class Inspector:
    """Reads the store for people, and carries their requests to it."""

    def __init__(
        self, store: TaskStore, codec: Codec, incarnation: str, observer: Observer | None = None
    ) -> None:
        self._store = store
        self._lookups = Lookups(store)
        self._codec = codec
        self._incarnation = incarnation
        self._observer = observer
        self._sequence = itertools.count(1)
        self._one_command = asyncio.Lock()
        self.histories = Histories(store, self.missing)
        self.steering = Steering(store, incarnation, self.status, self.missing, self.report)

    async def find(self, task_id: str) -> Task:
        """The record. Raises `TaskNotFoundError`."""
        task = await self._lookups.find(task_id) if _is_id(task_id) else None
        if task is None:
            raise TaskNotFoundError(task_id)
        return task

    async def explain(self, task_id: str, queue: str | None = None) -> Explanation:
        """Why the task, of this queue if one is given, isn't running. Raises `TaskNotFoundError`."""
        task = await self.find(task_id)
        if queue not in (None, task.queue):
            raise TaskNotFoundError(task_id)
        situation = await ask(self._store, Explain(task.queue, task_id))
        if situation is None:  # its record has just been removed
            raise TaskNotFoundError(task_id)
        return explained(situation)

    async def whereabouts(self, task_id: str) -> Task | Explanation | None:
        """The record if the task has ended, else why it has not; None: the store doesn't answer soon.

        Raises `TaskNotFoundError`.
        """
        try:
            async with asyncio.timeout(SHORT_WAIT):
                while True:
                    (task,) = await self._store.do(Find([task_id]))
                    if isinstance(task, Unreadable):
                        raise task.error()
                    if task is None:
                        raise TaskNotFoundError(task_id)
                    if task.is_terminal:
                        return task
                    situation = await self._store.do(Explain(task.queue, task_id))
                    if situation is not None and not situation.task.is_terminal:
                        return explained(situation)
        except (StoreError, TimeoutError):
            return None

    async def info(self, task_id: str, *, result: bool = True) -> TaskInfo:
        """The task's status. Raises `TaskNotFoundError`, and `ResultUnreadableError` if its `result` is wanted."""
        task = await self.find(task_id)
        # Let tasks run between the polls of a loop, even if the store never waits.
        await asyncio.sleep(0)
        seen = task if result else attrs.evolve(task, result=b"")
        return info_of(seen, self._codec, await self._attempts_of(task))

    async def _attempts_of(self, task: Task) -> Sequence[FailedAttempt]:
        """A task that never failed costs no request."""
        if not may_have_attempts(task):
            return ()
        ref = LifeRef(task.id, task.life)
        [attempts] = await ask(self._store, ReadAttempts(task.queue, [ref]))
        return attempts

    async def ongoing(self) -> list[TaskInfo]:
        """All running tasks of the namespace, longest running first."""
        found = await self._running_in(await ask(self._store, Queues()))
        return [info_of(task, self._codec) for task in found]

    async def running(
        self, queue: str, task_type: str | None, function: str | None
    ) -> list[TaskInfo]:
        """Those of a queue, of a task type or a function if one is given. Raises `QueueNotFoundError`."""
        await self.status(queue)
        return [
            info_of(task, self._codec)
            for task in await self._running_in([queue])
            if task_type in (None, task.call.task_type) and function in (None, task.call.function)
        ]

    async def _running_in(self, queues: Iterable[str]) -> list[Task]:
        found: list[Task] = []
        for queue in queues:
            found += await ask(self._store, Running(queue))
        return sorted(found, key=lambda task: (task.started_at, task.id))

    async def queues(self) -> list[str]:
        """The names of all declared queues, sorted."""
        return list(await ask(self._store, Queues()))

    async def missing(self, queue: str) -> QueueNotFoundError:
        """The error for a queue that doesn't exist, with the name that was probably meant."""
        return QueueNotFoundError(queue, known=await self.queues())

    async def remove(self, queue: str) -> None:
        """Purge the queue. Raises `QueueNotFoundError`, having removed what an interrupted removal may have left."""
        known_queue(queue)
        if not await purged(self._store, queue):
            raise await self.missing(queue)

    async def status(self, queue: str) -> QueueStatus:
        """The queue now. Raises `QueueNotFoundError`."""
        known_queue(queue)
        status = await ask(self._store, Status(queue))
        if status is None:
            raise await self.missing(queue)
        return status

    async def statuses(self) -> list[QueueStatus]:
        """All queues now, by name."""
        found = await ask(self._store, Statuses(tuple(await self.queues())))
        return [status for status in found if status is not None]

    async def unreadable(self, queue: str) -> list[str]:
        """The ids of the tasks that can't be read, at most 10,000. Raises `QueueNotFoundError`."""
        await self.status(queue)
        return list(await ask(self._store, ListUnreadable(queue, MOST_UNREADABLE)))

    async def discard(self, queue: str, task_id: str) -> bool:
        """Remove a task that can't be read; False: it isn't one of those. Raises `QueueNotFoundError`."""
        await self.status(queue)
        is_text = str(task_id).encode(errors="ignore") == str(task_id).encode(errors="replace")
        word = await ask(self._store, Discard(queue, task_id)) if is_text else None
        return word is Word.DONE

    async def may_pass(self, queue: str) -> bool:
        """False only while the breaker is OPEN."""
        return (await self.status(queue)).state.breaker.state is not BreakerState.OPEN

    async def control(self, queue: str, command: Command, note: object = "") -> None:
        """Carry a command out exactly once, as long as the store answers. Raises `QueueNotFoundError`.

        And `InvalidConfigError` for an invalid note, and if the queue has no breaker to open.
        """
        known_queue(queue)
        why = check_note(note)
        if command is Command.OPEN_BREAKER:
            settings = (await self.status(queue)).state.settings
            if not settings.breaker_failures:
                raise InvalidConfigError(
                    f"queue {queue!r} has no circuit breaker; pause it instead"
                )
        async with self._one_command:  # sequences must reach the store in order
            number = next(self._sequence)
            word = await ask(self._store, Control(queue, command, self._incarnation, number, why))
        if word is Word.NO_QUEUE:
            raise await self.missing(queue)

    async def cancel(self, task_id: str) -> bool:
        """True: it is cancelled, or its run was asked to stop; False: it had ended. Raises `TaskNotFoundError`."""
        task = await self.find(task_id)
        word = await ask(self._store, Cancel(task.queue, task_id, task.life))
        if word is Word.MISSING:
            raise TaskNotFoundError(task_id)
        if word is Word.DONE:
            self.report("cancelled", task.moved(status=TaskStatus.CANCELLED))
        return word is not Word.ENDED

    async def hasten(self, task_id: str) -> bool:
        """True: it is due, or runs; False: it had ended. Raises `TaskNotFoundError`."""
        task = await self.find(task_id)
        word = await ask(self._store, Hasten(task.queue, task_id, task.life))
        if word is Word.MISSING:
            raise TaskNotFoundError(task_id)
        return word is not Word.ENDED

    async def replay(
        self, task_id: str, encode: Callable[[Task], tuple[bytes, str | None]] | None = None
    ) -> bool:
        """True: it waits or runs again; False: it had completed. Raises `TaskNotFoundError`, `QueueDrainingError`
        and `UniqueTaskError`.

        `encode` makes other arguments for it; `InvalidTaskError` if it has not failed or been cancelled.
        """
        task = await self.find(task_id)
        payload: bytes | None = None
        key: str | None = None
        if encode is not None:
            if task.status not in (TaskStatus.FAILED, TaskStatus.CANCELLED):
                raise InvalidTaskError(task_id, f"{NOT_CHANGED}, and it is {task.status.value}")
            payload, key = encode(task)
        word = await ask(self._store, Replay(task.queue, task_id, task.life, payload, key))
        if word is Word.MISSING:
            raise TaskNotFoundError(task_id)
        if word is Word.DRAINING:
            raise QueueDrainingError(task.queue)
        if word is Word.HELD:
            raise UniqueTaskError(task_id, is_replay=True)
        if word is Word.DONE:
            self.report("replayed", task.moved(status=TaskStatus.QUEUED))
        return word is not Word.ILLEGAL

    def report(self, kind: Kind, task: Task) -> None:
        """Notify the observer."""
        if self._observer is not None:
            self._observer.on_task(TaskEvent(kind=kind, task=task, codec=self._codec))


async def purged(store: TaskStore, queue: str) -> bool:
    """Purge the queue, whatever is declared meanwhile; False: there was none, at most the rest of an earlier purge."""
    is_known = is_gone = False
    while not is_gone:
        found = await ask(store, ReadSettings(queue))
        is_known |= found is not None
        is_gone = await ask(store, Purge(queue, found.edition if found else ""))
    return is_known


async def purge_all(store: TaskStore) -> None:
    """Purge every queue of the namespace."""
    for queue in await ask(store, Queues()):
        await purged(store, queue)
