"""What the processes that work on a queue of the memory store do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from kew.adapters.memory.inside import Inside
from kew.app.declaring import Announced
from kew.app.ports import (
    Announce,
    Depart,
    Operation,
    Peek,
    PresentProcess,
    Processes,
    Sweep,
    Swept,
)
from kew.domain import maintenance
from kew.domain import queue as rules
from kew.domain.expiring import expire
from kew.domain.requests import Peeked, Word


async def announce(store: Inside, operation: Announce) -> Announced:
    now, incarnation = store._now(), operation.incarnation
    known = store.namespace.queues.get(operation.queue)
    if known is None:
        return Announced(Word.NO_QUEUE, 0, now)
    is_renewal = incarnation in known.presence and not operation.functions
    # A renewal shortens no presence: the clock may step back and forth again between two of them.
    known.presence[incarnation] = max(known.presence.get(incarnation, 0), now + operation.ttl_ms)
    if operation.slots is not None and not is_renewal:
        known.slots[incarnation] = operation.slots
    if operation.report:
        store.namespace.reports[incarnation] = (now, operation.report)
    known_now = known.indexed.learn(incarnation, operation.functions)
    return Announced(Word.DONE, None if is_renewal else known_now, now)


async def depart(store: Inside, operation: Depart) -> None:
    known, incarnation = store.namespace.queues.get(operation.queue), operation.incarnation
    if known is not None and incarnation in known.presence:
        known.presence[incarnation] = store._now()
        known.idle.pop(incarnation, None)
        known.indexed.forget_starved(incarnation)
    store.namespace.reports.pop(incarnation, None)


async def peek(store: Inside, operation: Peek) -> Peeked:
    known = store.namespace.queues.get(operation.queue)
    if known is None:
        return Peeked(None, has_waiting=False)
    now = store._now()
    need_at = known.need_at(now)
    wait_ms = None if need_at is None else max(0, need_at - now)
    return Peeked(wait_ms, has_waiting=known.indexed.waiting() > 0)


async def processes(store: Inside, operation: Processes) -> Sequence[PresentProcess]:
    now, namespace = store._now(), store.namespace
    present: dict[str, dict[str, int]] = {}
    for queue, known in sorted(namespace.queues.items()):
        for who in known.present(now):
            present.setdefault(who, {})[queue] = known.presence[who]
    return [
        PresentProcess(who, queues, *namespace.reports.get(who, (None, "")))
        for who, queues in sorted(present.items())
    ]


async def sweep(store: Inside, operation: Sweep) -> Swept:
    known = store.namespace.queues.get(operation.queue)
    if known is None:
        return Swept(now_ms=store._now())
    now, limit, gone_by = store._now(), operation.limit, operation.gone_by
    surplus = known.surplus(now, limit)
    for task in surplus:  # first: what fails in this call is reported before it may go
        known.indexed.remove(task)
    lost = rules.recover(known.indexed, now, limit)
    store._apply(known, lost, now)
    unstarted = expire(known.indexed, now, limit)
    store._apply(known, unstarted, now)
    expired = known.indexed.expired(now, limit)
    for task in expired:
        known.indexed.remove(task)
    known.shorten(now, limit, operation.presence_ms)
    orphans = known.orphans(gone_by, now)[:limit]
    for task in orphans:
        store._apply(known, maintenance.orphan(known.indexed, task, now), now)
    known.indexed.forget_key_logs(now)
    known.indexed.unique.mend(now)
    known.forget_idle(now)
    known.indexed.history.trim(now)
    departed = known.forget_departed(gone_by, now)
    for incarnation in departed:
        store.namespace.reports.pop(incarnation, None)
    store._offer_waiting(known, len(lost.tasks))
    return Swept(
        now_ms=now,
        recovered=len(lost.tasks),
        removed=len(expired) + len(surplus),
        expired=tuple(task.id for task in unstarted.tasks),
        orphaned=tuple(sorted(task.id for task in orphans)),
        departed=len(departed),
        lost=lost.lost,
        more=limit
        in (len(lost.tasks), len(expired), len(surplus), len(orphans), len(unstarted.tasks)),
    )


HANDLERS: Final[Mapping[type[Operation[Any]], Callable[[Inside, Any], Awaitable[Any]]]] = {
    Announce: announce,
    Depart: depart,
    Peek: peek,
    Processes: processes,
    Sweep: sweep,
}
