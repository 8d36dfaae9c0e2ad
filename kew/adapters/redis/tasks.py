"""What is done to single tasks of the Redis store, and asked about them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from kew.adapters.redis import attempts, extras, records
from kew.adapters.redis.arguments import LEASES_AT_ONCE
from kew.adapters.redis.explaining import BOUNDS, read_situation
from kew.adapters.redis.inside import Inside
from kew.adapters.redis.library import Argument
from kew.adapters.redis.listing import list_waiting
from kew.adapters.redis.records import checked_incarnation
from kew.adapters.redis.replies import read_dead_letters, read_groups, read_tasks, word
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
from kew.domain.attempts import FailedAttempt
from kew.domain.errors import TaskUnreadableError
from kew.domain.explaining import Situation
from kew.domain.requests import LifeRef, Word
from kew.domain.task import Found, Life, Task, TaskStatus, is_absent, kept_payload

ESCAPED: Final = re.compile(rb"\\x([0-9a-f]{2})")
REFS_AT_ONCE: Final = 100
HISTORIES_AT_ONCE: Final = 20  # each of up to ten attempts


async def find(store: Inside, operation: Find) -> Sequence[Found]:
    task_ids = operation.task_ids
    now, raws = 0, list[records.Raw | None]()
    while len(raws) < len(task_ids):  # an answer may be cut if records are large
        now, *more = await store.functions.ask("find", "", {}, list(task_ids[len(raws) :]))
        store.saw(now)
        raws += more
    found: list[Found] = []
    running: dict[str, list[int]] = {}
    for n, (task_id, raw) in enumerate(zip(task_ids, raws, strict=True)):
        task = store.aside.found(task_id, raw, 0)
        if isinstance(task, Task):
            if task.status is TaskStatus.PROCESSING:
                running.setdefault(task.queue, []).append(n)
            task = None if is_absent(task, now) else task
        found.append(task)
    for queue, places in running.items():  # the queue's index has the ends of their leases
        tasks = await watch(store, Watch(queue, [task_ids[n] for n in places], ""))
        for n, task in zip(places, tasks, strict=True):
            found[n] = task
    return found


async def watch(store: Inside, operation: Watch) -> Sequence[Found]:
    task_ids, incarnation = operation.task_ids, operation.incarnation
    named: dict[str, Argument] = {
        "incarnation": checked_incarnation(incarnation) if incarnation else ""
    }
    ends, raws = list[Any](), list[Any]()
    while len(raws) < len(task_ids):  # an answer may be cut if records are large
        left = list(task_ids[len(raws) :])
        now, *pairs = await store.functions.ask("watch", operation.queue, named, left)
        store.saw(now)
        ends, raws = [*ends, *pairs[::2]], [*raws, *pairs[1::2]]
    each = zip(task_ids, ends, raws, strict=True)
    return [store.aside.found(task_id, raw, int(end)) for task_id, end, raw in each]


async def cancel(store: Inside, operation: Cancel) -> Word:
    return await _of_one(store, operation)


async def hasten(store: Inside, operation: Hasten) -> Word:
    return await _of_one(store, operation)


async def _of_one(store: Inside, operation: Cancel | Hasten) -> Word:
    named = _named(operation.task_id, operation.life)
    answer, now = await store.functions.ask(operation.name, operation.queue, named)
    store.saw(now)
    return word(answer)


async def cancel_all(store: Inside, operation: CancelAll) -> Sequence[Word]:
    return await _of_each(store, "cancel_all", operation.queue, operation.refs)


async def replay(store: Inside, operation: Replay) -> Word:
    named = _named(operation.task_id, operation.life)
    payload, key = operation.payload, operation.key
    refs = list(named.values())
    [answer] = await _replay(store, operation.queue, refs, payload=payload, key=key)
    return answer


async def replay_all(store: Inside, operation: ReplayAll) -> Sequence[Word]:
    words: list[Word] = []
    for n in range(0, len(operation.refs), REFS_AT_ONCE):
        piece = _refs(operation.refs[n : n + REFS_AT_ONCE])
        first_ms = operation.first_ms + n * operation.every_ms
        every_ms = operation.every_ms
        words += await _replay(store, operation.queue, piece, first_ms=first_ms, every_ms=every_ms)
    return words


async def _replay(
    store: Inside,
    queue: str,
    refs: Sequence[Argument],
    *,
    first_ms: int = 0,
    every_ms: int = 0,
    payload: bytes | None = None,
    key: str | None = None,
) -> Sequence[Word]:
    named: dict[str, Argument] = {
        "first_ms": first_ms,
        "every_ms": every_ms,
        "new_key": "" if payload is None else "=" if key is None else f"={extras.to_value(key)},",
        "new_payload": payload or b"",
    }
    now, *words = await store.functions.ask("replay", queue, named, refs)
    store.saw(now)
    return [word(each) for each in words]


async def forget(store: Inside, operation: Forget) -> Sequence[Word]:
    return await _of_each(store, "forget", operation.queue, operation.refs)


async def _of_each(store: Inside, name: str, queue: str, refs: Sequence[LifeRef]) -> Sequence[Word]:
    words: list[Word] = []
    for n in range(0, len(refs), REFS_AT_ONCE):
        now, *more = await store.functions.ask(name, queue, {}, _refs(refs[n : n + REFS_AT_ONCE]))
        store.saw(now)
        words += [word(each) for each in more]
    return words


def _refs(refs: Sequence[LifeRef]) -> list[Argument]:
    return [each for ref in refs for each in _named(ref.task_id, ref.life).values()]


def _named(task_id: str, life: Life | None) -> dict[str, Argument]:
    if life is None:
        return {"id": task_id, "ticket": "", "replays": ""}
    return {"id": task_id, "ticket": str(life.ticket), "replays": str(life.replays)}


async def discard(store: Inside, operation: Discard) -> Word:
    found = word(await store.functions.ask("discard", operation.queue, {"id": operation.task_id}))
    raw = _unescaped(operation.task_id)
    if found is not Word.MISSING or raw == operation.task_id.encode():
        return found
    return word(await store.functions.ask("discard", operation.queue, {"id": raw}))


async def explain(store: Inside, operation: Explain) -> Situation | None:
    task_id = operation.task_id
    reply = await store.functions.ask("explain", operation.queue, {"id": task_id, **BOUNDS})
    store.saw(reply[0])
    return read_situation(task_id, reply)


async def list_running(store: Inside, operation: Running) -> Sequence[Task]:
    key = store.keys.key("leases", operation.queue)
    members = await store.functions.read(operation.queue, "ZRANGE", key, 0, -1)
    tasks: list[Task] = []
    for first in range(0, len(members), LEASES_AT_ONCE):
        piece = members[first : first + LEASES_AT_ONCE]
        reply = await store.functions.ask("running", operation.queue, {}, piece)
        tasks += store.aside.read(operation.queue, read_tasks, reply)
    return tasks


async def list_failed(store: Inside, operation: ListFailed) -> DeadLetters | None:
    place: dict[str, Argument] = {"before_end": "", "before_entry": ""}
    if (after := operation.after) is not None:
        entry = attempts.member(after.ticket, after.task_id)
        place = {"before_end": str(after.expires_at), "before_entry": entry}
    named = {**place, "in_group": operation.group or "", "limit": operation.limit}
    reply = await store.functions.ask("failed", operation.queue, named)
    store.saw(reply[0])
    return store.aside.read(operation.queue, read_dead_letters, reply)


async def list_groups(store: Inside, operation: ListGroups) -> FailureGroups | None:
    named: dict[str, Argument] = {"after_name": operation.after, "limit": operation.limit}
    reply = await store.functions.ask("groups", operation.queue, named)
    store.saw(reply[0])
    return read_groups(reply)


async def read_attempts(
    store: Inside, operation: ReadAttempts
) -> Sequence[Sequence[FailedAttempt]]:
    entries, found = attempts.members(operation.refs), list[Sequence[FailedAttempt]]()
    for n in range(0, len(entries), HISTORIES_AT_ONCE):
        piece = entries[n : n + HISTORIES_AT_ONCE]
        reply = await store.functions.ask("attempts", operation.queue, {}, piece)
        found += [attempts.read(texts) for texts in reply]
    return found


async def read_payload(store: Inside, operation: ReadPayload) -> bytes | None:
    now, raw = await store.functions.ask("payload", "", {"id": operation.task_id}, ())
    store.saw(now)
    if raw is None:
        return None
    try:
        task = records.read_strictly(operation.task_id, raw, 0)
    except TaskUnreadableError:
        return None
    return None if is_absent(task, now) else kept_payload(task)


async def list_unreadable(store: Inside, operation: ListUnreadable) -> Sequence[str]:
    key = store.keys.key("unreadable", operation.queue)
    found = await store.functions.read(operation.queue, "ZRANGE", key, 0, operation.limit - 1)
    return [task_id.decode(errors="backslashreplace") for task_id in found]


def _unescaped(task_id: str) -> bytes:
    """The id as it stands in Redis, if `list_unreadable` shows bytes of it that are no UTF-8."""
    return ESCAPED.sub(lambda byte: bytes.fromhex(byte[1].decode()), task_id.encode())


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
