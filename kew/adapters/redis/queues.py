"""What is done to a queue of the Redis store as a whole, and asked about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from kew.adapters.redis.counts import COUNTS, read_counts
from kew.adapters.redis.extras import from_value, to_value
from kew.adapters.redis.history import read_past
from kew.adapters.redis.inside import Inside
from kew.adapters.redis.library import Argument
from kew.adapters.redis.records import checked_incarnation
from kew.adapters.redis.refusals import old_layout
from kew.adapters.redis.replies import read_emptied, read_status, word
from kew.adapters.redis.settings import (
    read_declared,
    read_own_limits,
    read_settings,
    write_overrides,
    write_own_limits,
    write_settings,
)
from kew.app.declaring import Declared, InForce
from kew.app.ports import (
    Control,
    Damaged,
    Declare,
    Empty,
    Examine,
    Examined,
    History,
    IndexFault,
    LimitKey,
    ListKeyLimits,
    Operation,
    Pasts,
    Purge,
    Queues,
    QueueStatus,
    ReadSettings,
    SetOverrides,
    SomeKeyLimits,
    Status,
    Statuses,
)
from kew.domain.config import Settings
from kew.domain.emptying import Emptied
from kew.domain.history import MINUTE_MS, Past
from kew.domain.requests import Word

PURGE_AT_ONCE: Final = 200
OF_KEYS: Final = ("key", "held", "keyed")  # faults
STATUSES_AT_ONCE: Final = 25  # queues: Redis does nothing else meanwhile
TOLD_AT_ONCE: Final = 1_000  # processes, of a change of the settings


async def declare(store: Inside, operation: Declare) -> Declared:
    queue = operation.queue
    named: dict[str, Argument] = {
        "declared_settings": write_settings(operation.settings),
        "edition": operation.edition,
        "replaces": int(operation.replaces),
    }
    edition, replaced, in_force = await store.functions.ask("declare", queue, named)
    while not edition:
        await purge(store, Purge(queue, ""))
        edition, replaced, in_force = await store.functions.ask("declare", queue, named)
    return Declared(edition.decode(), *map(_settings, (replaced, in_force)))


def _settings(text: bytes) -> Settings | None:
    return read_settings(text.decode()) if text else None


async def settings_in_force(store: Inside, operation: ReadSettings) -> InForce | None:
    key = store.keys.key("state", operation.queue)
    text, raw = await store.functions.read(operation.queue, "HMGET", key, "settings", "counts")
    if not text:
        return None
    if len((raw or b"").split()) < COUNTS:
        raise Damaged(old_layout(key))
    counts = read_counts(raw)
    settings, declared = read_settings(text.decode()), read_declared(text.decode())
    return InForce(
        settings,
        counts.version,
        counts.edition,
        declared,
        ticket=counts.ticket,
        waiting=counts.all_waiting,
    )


async def queues(store: Inside, operation: Queues) -> Sequence[str]:
    names = await store.functions.read("", "SMEMBERS", store.keys.key("queues"))
    return sorted(name.decode() for name in names)


async def status(store: Inside, operation: Status) -> QueueStatus | None:
    reply = await store.functions.ask("status", operation.queue, {})
    store.saw(reply[0])
    return read_status(operation.queue, reply)


def _steps(operation: History | Pasts) -> dict[str, Argument]:
    unit = "m" if operation.step_ms == MINUTE_MS else "h"
    return {"step_unit": unit, "step_count": operation.steps}


async def pasts(store: Inside, operation: Pasts) -> Sequence[Past | None]:
    names, found = operation.queues, list[Past | None]()
    for first in range(0, len(names), STATUSES_AT_ONCE):
        piece = names[first : first + STATUSES_AT_ONCE]
        replies = await store.functions.ask_of_each("histories", piece, _steps(operation))
        store.saw(replies[-1][0])
        for name, (now, *answer) in zip(piece, replies, strict=True):
            one = History(name, operation.step_ms, operation.steps)
            found.append(read_past(now, one, *answer) if answer else None)
    return found


async def history(store: Inside, operation: History) -> Past | None:
    now, *answer = await store.functions.ask("history", operation.queue, _steps(operation))
    store.saw(now)
    return read_past(now, operation, *answer) if answer else None


async def statuses(store: Inside, operation: Statuses) -> Sequence[QueueStatus | None]:
    names, found = operation.queues, list[QueueStatus | None]()
    for first in range(0, len(names), STATUSES_AT_ONCE):
        piece = names[first : first + STATUSES_AT_ONCE]
        replies = await store.functions.ask_of_each("statuses", piece, {})
        store.saw(replies[-1][0])
        found += [read_status(name, reply) for name, reply in zip(piece, replies, strict=True)]
    return found


async def examine(store: Inside, operation: Examine) -> Examined | None:
    named: dict[str, Argument] = {
        "part": operation.part,
        "first": operation.first,
        "limit": operation.limit,
    }
    now, *answer = await store.functions.ask("examine", operation.queue, named)
    store.saw(now)
    if not answer:
        return None
    flat = [text.decode(errors="replace") for text in answer[0]]
    faults = (
        IndexFault(kind, from_value(what) if kind in OF_KEYS else what, found)
        for kind, what, found in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
    )
    parts = zip(answer[2][::2], answer[2][1::2], strict=True)
    longer = tuple((part.decode(), int(first)) for part, first in parts)
    return Examined(tuple(faults), answer[1] if answer[1] >= 0 else None, longer)


async def control(store: Inside, operation: Control) -> Word:
    named: dict[str, Argument] = {
        "incarnation": checked_incarnation(operation.incarnation),
        "verb": operation.command.value,
        "sequence": operation.sequence,
        "why": operation.note,
    }
    answer, now = await store.functions.ask("control", operation.queue, named)
    store.saw(now)
    return word(answer)


async def override(store: Inside, operation: SetOverrides) -> Word:
    named: dict[str, Argument] = {
        "changes": write_overrides(operation.values, operation.removed),
        "edition": operation.edition,
        "by": operation.by,
        "told_limit": TOLD_AT_ONCE,
    }
    answer, now = await store.functions.ask("override", operation.queue, named)
    store.saw(now)
    return word(answer)


async def limit_key(store: Inside, operation: LimitKey) -> Word:
    named: dict[str, Argument] = {
        "key": to_value(operation.key),
        "own": write_own_limits(operation.own, operation.lasts_ms),
    }
    answer, now = await store.functions.ask("limit_key", operation.queue, named)
    store.saw(now)
    return word(answer)


async def key_limits(store: Inside, operation: ListKeyLimits) -> SomeKeyLimits | None:
    named: dict[str, Argument] = {
        "key": to_value(operation.key) if operation.key else "",
        "scan": str(operation.scan),
        "look_limit": operation.limit,
    }
    now, *found = await store.functions.ask("key_limits", operation.queue, named)
    store.saw(now)
    if not found:
        return None
    flat, after = found
    limits = {
        from_value(key.decode()): read_own_limits(text)
        for key, text in zip(flat[::2], flat[1::2], strict=True)
    }
    in_force = {key: own for key, own in limits.items() if not 0 < own.ends_at <= now}
    return SomeKeyLimits(in_force, int(after) or None)


async def empty(store: Inside, operation: Empty) -> Emptied | None:
    named: dict[str, Argument] = {
        "upto": operation.upto,
        "skip": operation.skip,
        "scan": str(operation.scan),
        "look_limit": operation.limit,
    }
    now, *answer = await store.functions.ask("empty", operation.queue, named)
    store.saw(now)
    return store.aside.read(operation.queue, read_emptied, answer) if answer else None


async def purge(store: Inside, operation: Purge) -> bool:
    """The queue goes at once, its tasks in bounded steps. The next declaration finishes an interrupted purge."""
    named: dict[str, Argument] = {"edition": operation.edition, "limit": PURGE_AT_ONCE}
    answer = b"more"
    while answer == b"more":
        answer = await store.functions.ask("purge", operation.queue, named)
    return bool(answer == b"done")


HANDLERS: Final[Mapping[type[Operation[Any]], Callable[[Inside, Any], Awaitable[Any]]]] = {
    Declare: declare,
    ReadSettings: settings_in_force,
    Queues: queues,
    Status: status,
    History: history,
    Pasts: pasts,
    Statuses: statuses,
    Examine: examine,
    Control: control,
    SetOverrides: override,
    LimitKey: limit_key,
    ListKeyLimits: key_limits,
    Empty: empty,
    Purge: purge,
}
