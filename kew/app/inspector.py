"""Answering questions: one task, all that run, a queue, its breaker. See `dead_letters.py` for what failed for good."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from kew.app.attention import attention
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
from kew.domain.breaker import BreakerState, reopens_at
from kew.domain.draining import is_draining
from kew.domain.errors import (
    InvalidConfigError,
    InvalidTaskError,
    QueueDrainingError,
    QueueNotFoundError,
    TaskNotFoundError,
    shown,
)
from kew.domain.existing import UniqueTaskError
from kew.domain.explaining import Explanation, moment
from kew.domain.gates.snoozed import snoozed_until
from kew.domain.holding import DRAINING, PAUSED, Hold, check_note
from kew.domain.incarnations import place_of
from kew.domain.overrides import Override, SettingInForce, as_overrides
from kew.domain.rate import Rate
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


def status_dict(status: QueueStatus, notifications: str) -> dict[str, Any]:
    """A queue's status in plain values; the first five keys are those of kew 0.2.1.

    `notifications`: "ok", or since when none of them have reached this process.
    """
    state = status.state
    settings, breaker = state.settings, state.breaker
    until = moment(snoozed_until(status.state))
    return {
        "name": status.name,
        "max_workers": settings.max_workers,
        "current_workers": status.held,
        "queued_tasks": sum(status.waiting.values()),
        "circuit_breaker_status": breaker.state.value,
        "queued_by_priority": dict(status.waiting),
        "max_size": state.declared["max_size"] if is_draining(settings) else settings.max_size,
        "paused": state.paused,
        **_hold_dict("pause", state.holds.get(PAUSED) if state.paused else None),
        "draining": is_draining(settings),
        **_hold_dict("drain", state.holds.get(DRAINING)),
        "overrides": {name: _override_dict(each) for name, each in as_overrides(state).items()},
        "snoozed_until": None if until is None else until.isoformat(),
        "rates": _rates_dict(status),
        "keys": _keys_dict(status),
        "consecutive_failures": breaker.failures,
        "breaker": _breaker_dict(status),
        "processes": list(status.workers),
        "stuck_functions": dict(status.stuck),
        "unreadable_tasks": status.unreadable,
        "newer_tasks": status.newer,
        "dead_letters": status.dead,
        "settings_version": state.version,
        "notifications": notifications,
        "now": _iso(status.now_ms),
        "attention": [each.to_dict() for each in attention(status)],
    }


def _keys_dict(status: QueueStatus) -> dict[str, Any]:
    """The busiest keys and the most delayed ones."""
    busiest, delayed = status.busiest_keys, status.delayed_keys
    return {
        "busiest": [{"key": key, "running": running} for key, running in busiest.items()],
        "delayed": [
            {"key": key, "delay": max(0, status.now_ms - since) / 1000}
            for key, since in delayed.items()
        ],
    }


def _rates_dict(status: QueueStatus) -> dict[str, Any]:
    at = status.oldest_at
    per_minute = {f"{name}_per_minute": n for name, n in attrs.asdict(status.rates).items()}
    return {
        **per_minute,
        "oldest_waiting": None if at is None else (status.now_ms - at) / 1000,
    }


def _iso(instant: int) -> str | None:
    at = moment(instant)
    return at.isoformat() if at else None


def _breaker_dict(status: QueueStatus) -> dict[str, Any]:
    breaker, settings = status.state.breaker, status.state.settings
    is_open = breaker.state is BreakerState.OPEN
    return {
        "state": breaker.state.value,
        "opens_after": settings.breaker_failures or None,
        "opened_at": _iso(breaker.opened_at) if is_open else None,
        "probe_at": _iso(reopens_at(breaker, settings)) if is_open else None,
        "failures": [
            {"at": _iso(each.at), "task_id": each.task_id or None, "error": each.error}
            for each in status.counted
        ],
    }


def _hold_dict(verb: str, hold: Hold | None) -> dict[str, Any]:
    since = moment(hold.since_at) if hold else None
    return {
        f"{verb}_note": hold.note if hold else "",
        f"{verb}_by": place_of(hold.by) if hold and hold.by else None,
        f"{verb}_since": since.isoformat() if since else None,
    }


def _override_dict(override: Override) -> dict[str, Any]:
    return {"value": _plain(override.value), "declared": _plain(override.declared)}


def setting_dict(setting: SettingInForce) -> dict[str, Any]:
    """A setting in plain values."""
    return {
        "value": _plain(setting.value),
        "declared": _plain(setting.declared),
        "overridden": setting.overridden,
    }


def _plain(value: Any) -> Any:
    """A setting as JSON has it."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return attrs.asdict(value) if isinstance(value, Rate) else value
