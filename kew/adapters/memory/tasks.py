"""What is done to single tasks of the memory store, and asked about them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from kew.adapters.memory.inside import Inside
from kew.adapters.memory.listing import list_waiting
from kew.app.notices import StopAsked
from kew.app.ports import (
    Cancel,
    CancelAll,
    DeadLetters,
    Discard,
    Explain,
    FailureGroups,
    Find,
    Forget,
    Hasten,
    ListFailed,
    ListGroups,
    ListUnreadable,
    ListWaiting,
    Operation,
    ReadAttempts,
    ReadPayload,
    Replay,
    ReplayAll,
    Running,
    Watch,
)
from kew.domain import task_commands
from kew.domain.attempts import FailedAttempt
from kew.domain.explaining import Situation
from kew.domain.queue import Change
from kew.domain.requests import Word, holder_of
from kew.domain.task import Found, Task, is_absent, kept_payload, watchers_with, without_payload


async def find(store: Inside, operation: Find) -> Sequence[Found]:
    now = store._now()
    tasks = (_present(store, task_id, now) for task_id in operation.task_ids)
    return [task and without_payload(task) for task in tasks]


def _present(store: Inside, task_id: str, now: int) -> Task | None:
    task = store.namespace.records.get(task_id)
    return None if task is None or is_absent(task, now) else task


async def watch(store: Inside, operation: Watch) -> Sequence[Found]:
    now, incarnation = store._now(), operation.incarnation
    found: list[Found] = []
    known = store.namespace.queues.get(operation.queue)
    for task_id in operation.task_ids:
        task = _present(store, task_id, now)
        if known is None or task is None or task.queue != operation.queue:
            found.append(None)
            continue
        if not task.is_terminal and incarnation not in task.watchers:
            task = task.moved(watchers=watchers_with(task.watchers, incarnation))
            known.indexed.apply(Change((task,)), now)
        found.append(without_payload(task))
    return found


async def cancel(store: Inside, operation: Cancel) -> Word:
    known = store.namespace.queues.get(operation.queue)
    if known is None:
        return Word.MISSING
    now, task_id = store._now(), operation.task_id
    change, word = task_commands.cancel(known.indexed, task_id, operation.life, now)
    store._apply(known, change, now)
    if word is Word.CANCEL:
        holder = holder_of(change.tasks[0].lease)
        store.namespace.hub.notify(holder, StopAsked(operation.queue, task_id))
    return word


async def cancel_all(store: Inside, operation: CancelAll) -> Sequence[Word]:
    known = store.namespace.queues.get(operation.queue)
    if known is None:
        return [Word.MISSING for _ in operation.refs]
    now, words = store._now(), []
    for ref in operation.refs:
        change, word = task_commands.cancel_waiting(known.indexed, ref.task_id, ref.life, now)
        store._apply(known, change, now)
        words.append(word)
    return words


async def hasten(store: Inside, operation: Hasten) -> Word:
    known = store.namespace.queues.get(operation.queue)
    if known is None:
        return Word.MISSING
    now = store._now()
    change, word = task_commands.hasten(known.indexed, operation.task_id, operation.life, now)
    store._apply(known, change, now)
    store._offer_waiting(known, len(change.tasks))
    return word


async def replay(store: Inside, operation: Replay) -> Word:
    known = store.namespace.queues.get(operation.queue)
    if known is None:
        return Word.MISSING
    now = store._now()
    task_id, life, payload = operation.task_id, operation.life, operation.payload
    change, word = task_commands.replay(
        known.indexed, task_id, life, now, payload=payload, key=operation.key
    )
    store._apply(known, change, now)
    store._offer_waiting(known, len(change.tasks))
    return word


async def discard(store: Inside, operation: Discard) -> Word:
    return Word.MISSING  # its records are values, so all of them can be read


async def explain(store: Inside, operation: Explain) -> Situation | None:
    known, now = store.namespace.queues.get(operation.queue), store._now()
    return known.situation(operation.task_id, now) if known else None


async def list_running(store: Inside, operation: Running) -> Sequence[Task]:
    known = store.namespace.queues.get(operation.queue)
    return [without_payload(task) for task in known.indexed.leased()] if known else []


async def list_failed(store: Inside, operation: ListFailed) -> DeadLetters | None:
    known = store.namespace.queues.get(operation.queue)
    if known is None:
        return None
    return known.failed(operation.group, operation.after, operation.limit, store._now())


async def list_groups(store: Inside, operation: ListGroups) -> FailureGroups | None:
    known = store.namespace.queues.get(operation.queue)
    if known is None:
        return None
    return known.failure_groups(operation.after, operation.limit, store._now())


async def read_attempts(
    store: Inside, operation: ReadAttempts
) -> Sequence[Sequence[FailedAttempt]]:
    known = store.namespace.queues.get(operation.queue)
    if known is None:
        return [() for _ in operation.refs]
    dead = known.indexed.dead
    return [dead.attempts_of(ref.life.ticket, ref.task_id) for ref in operation.refs]


async def read_payload(store: Inside, operation: ReadPayload) -> bytes | None:
    task = _present(store, operation.task_id, store._now())
    return None if task is None else kept_payload(task)


async def replay_all(store: Inside, operation: ReplayAll) -> Sequence[Word]:
    known = store.namespace.queues.get(operation.queue)
    if known is None:
        return [Word.MISSING for _ in operation.refs]
    now, words = store._now(), []
    for n, ref in enumerate(operation.refs):
        after_ms = operation.first_ms + n * operation.every_ms
        change, word = task_commands.replay(known.indexed, ref.task_id, ref.life, now, after_ms)
        store._apply(known, change, now)
        words.append(word)
    store._offer_waiting(known, words.count(Word.DONE))
    return words


async def forget(store: Inside, operation: Forget) -> Sequence[Word]:
    known = store.namespace.queues.get(operation.queue)
    if known is None:
        return [Word.MISSING for _ in operation.refs]
    now, words = store._now(), []
    for ref in operation.refs:
        task, word = task_commands.forget(known.indexed, ref.task_id, ref.life, now)
        if task is not None:
            known.indexed.remove(task)
        words.append(word)
    return words


async def list_unreadable(store: Inside, operation: ListUnreadable) -> Sequence[str]:
    return ()  # see `discard`


HANDLERS: Final[Mapping[type[Operation[Any]], Callable[[Inside, Any], Awaitable[Any]]]] = {
    Find: find,
    Watch: watch,
    Cancel: cancel,
    CancelAll: cancel_all,
    Hasten: hasten,
    Replay: replay,
    Discard: discard,
    Explain: explain,
    Running: list_running,
    ListFailed: list_failed,
    ListGroups: list_groups,
    ReadAttempts: read_attempts,
    ReadPayload: read_payload,
    ReplayAll: replay_all,
    Forget: forget,
    ListUnreadable: list_unreadable,
    ListWaiting: list_waiting,
}
