"""What is done to a queue of the memory store as a whole, and asked about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final
from zlib import crc32

import attrs

from kew.adapters.memory.indexed_queue import IndexedQueue
from kew.adapters.memory.inside import Inside
from kew.adapters.memory.namespace import MemoryQueue
from kew.app.declaring import Declared, InForce
from kew.app.notices import SettingsChanged
from kew.app.ports import (
    NAMED_KEYS,
    Control,
    Declare,
    Empty,
    Examine,
    Examined,
    History,
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
from kew.domain import commands, emptying, overrides
from kew.domain.emptying import Emptied
from kew.domain.failures import recent
from kew.domain.gates import fold as gates
from kew.domain.history import MINUTE_MS, RECENT, Past, rates_of
from kew.domain.holding import Signature
from kew.domain.requests import Word
from kew.domain.view import QueueState


async def declare(store: Inside, operation: Declare) -> Declared:
    queue, settings, edition = operation.queue, operation.settings, operation.edition
    known = store.namespace.queues.get(queue)
    if known is None:
        state = QueueState(settings=settings, edition=edition)
        store.namespace.queues[queue] = MemoryQueue(
            IndexedQueue(queue, state, store.namespace.records)
        )
        return Declared(edition, None)
    before = known.indexed.state
    if operation.replaces:
        store._apply(known, commands.configure(known.indexed, settings, edition), store._now())
    after = known.indexed.state
    in_force = after.settings if after.declared else None
    if after is before:
        return Declared(before.edition, None, in_force)
    store._offer_all(known)
    return Declared(edition, overrides.declared_by_code(before), in_force)


async def read_settings(store: Inside, operation: ReadSettings) -> InForce | None:
    known = store.namespace.queues.get(operation.queue)
    state = known.indexed.state if known else None
    if state is None:
        return None
    return InForce(
        state.settings,
        state.version,
        state.edition,
        state.declared,
        ticket=state.ticket,
        waiting=known.indexed.waiting() if known else 0,
    )


async def queues(store: Inside, operation: Queues) -> Sequence[str]:
    return sorted(store.namespace.queues)


async def status(store: Inside, operation: Status) -> QueueStatus | None:
    known = store.namespace.queues.get(operation.queue)
    if known is None:
        return None
    now, indexed = store._now(), known.indexed
    workers, state = known.present(now), gates.judged(indexed.state, now)
    return QueueStatus(
        name=operation.queue,
        now_ms=now,
        state=state,
        waiting=indexed.waiting_by_priority(),
        held=indexed.held(),
        workers=workers,
        stuck=known.stuck(now),
        oldest_at=indexed.due_longest(now),
        busiest_keys=indexed.busiest_keys(NAMED_KEYS),
        delayed_keys=indexed.delayed_keys(now, NAMED_KEYS),
        rates=rates_of(
            indexed.history.past(indexed.state, indexed.waiting(), now, MINUTE_MS, RECENT + 1)
        ),
        counted=recent(state.breaker, state.settings, indexed.dead.counted),
        dead=indexed.dead.count(now),
    )


async def pasts(store: Inside, operation: Pasts) -> Sequence[Past | None]:
    step_ms, steps = operation.step_ms, operation.steps
    return [await history(store, History(name, step_ms, steps)) for name in operation.queues]


async def history(store: Inside, operation: History) -> Past | None:
    known = store.namespace.queues.get(operation.queue)
    if known is None:
        return None
    indexed = known.indexed
    return indexed.history.past(
        indexed.state, indexed.waiting(), store._now(), operation.step_ms, operation.steps
    )


async def statuses(store: Inside, operation: Statuses) -> Sequence[QueueStatus | None]:
    return [await status(store, Status(name)) for name in operation.queues]


async def examine(store: Inside, operation: Examine) -> Examined | None:
    """The indexes are made by the functions that change the tasks, and no other program can reach them."""
    known = operation.queue in store.namespace.queues
    return Examined(()) if known else None


async def control(store: Inside, operation: Control) -> Word:
    known = store.namespace.queues.get(operation.queue)
    if known is None:
        return Word.NO_QUEUE
    incarnation, sequence = operation.incarnation, operation.sequence
    lane = f"{incarnation}.control"
    if sequence <= known.indexed.lanes.get(lane, 0):
        return Word.SAME
    now = store._now()
    store._apply(known, known.commanded(operation, now), now)
    known.indexed.lanes[lane] = sequence
    known.presence.setdefault(incarnation, now)  # so that maintenance will forget this lane
    store._offer_all(known)
    return Word.DONE


async def override(store: Inside, operation: SetOverrides) -> Word:
    known = store.namespace.queues.get(operation.queue)
    if known is None:
        return Word.NO_QUEUE
    now, edition = store._now(), operation.edition
    signature = Signature(now, operation.by)
    change = commands.override(
        known.indexed, operation.values, operation.removed, edition, signature
    )
    if change.state is None:
        return Word.SAME
    store._apply(known, change, now)
    for incarnation in known.present(now):
        store.namespace.hub.notify(incarnation, SettingsChanged(operation.queue))
    store._offer_all(known)
    return Word.DONE


async def limit_key(store: Inside, operation: LimitKey) -> Word:
    known = store.namespace.queues.get(operation.queue)
    if known is None:
        return Word.NO_QUEUE
    now, own = store._now(), operation.own
    known.indexed.end_limits(now)
    if own is not None and operation.lasts_ms:
        own = attrs.evolve(own, ends_at=now + operation.lasts_ms)
    change = commands.limit_key(known.indexed, operation.key, own)
    if not change.key_limits:
        return Word.SAME
    store._apply(known, change, now)
    store._offer_all(known)
    return Word.DONE


async def key_limits(store: Inside, operation: ListKeyLimits) -> SomeKeyLimits | None:
    known = store.namespace.queues.get(operation.queue)
    if known is None:
        return None
    now, limits = store._now(), known.indexed.key_limits
    keys, after = _scanned(limits, operation)
    in_force = {key: limits[key] for key in keys if not 0 < limits[key].ends_at <= now}
    return SomeKeyLimits(in_force, after)


def _scanned(limits: Collection[str], operation: ListKeyLimits) -> tuple[list[str], int | None]:
    """The keys of a page, and the place behind it. A key's place depends on the key alone, whatever comes and goes."""
    if operation.key:
        return [key for key in (operation.key,) if key in limits], None
    places = sorted((crc32(key.encode()), key) for key in limits)
    left = [(place, key) for place, key in places if place >= operation.scan]
    if len(left) <= operation.limit:
        return [key for _, key in left], None
    after = max(left[operation.limit][0], left[0][0] + 1)  # some keys may share a place
    return [key for place, key in left if place < after], after


async def empty(store: Inside, operation: Empty) -> Emptied | None:
    known = store.namespace.queues.get(operation.queue)
    if known is None:
        return None
    now, limit = store._now(), operation.limit
    change, emptied = emptying.empty(known.indexed, operation.upto, operation.skip, limit, now)
    store._apply(known, change, now)
    return emptied


async def purge(store: Inside, operation: Purge) -> bool:
    known = store.namespace.queues.get(operation.queue)
    if known is None:
        if not operation.edition:
            store.namespace.forget_schedules(operation.queue)
        return True
    if known.indexed.state.edition != operation.edition:
        return False
    store.namespace.forget_schedules(operation.queue)
    del store.namespace.queues[operation.queue]
    for task_id in known.indexed.snapshot().tasks:
        del store.namespace.records[task_id]
    for incarnation in known.presence:
        store.namespace.reports.pop(incarnation, None)
    return True


HANDLERS: Final[Mapping[type[Operation[Any]], Callable[[Inside, Any], Awaitable[Any]]]] = {
    Declare: declare,
    ReadSettings: read_settings,
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
