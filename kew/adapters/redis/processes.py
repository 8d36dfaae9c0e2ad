"""What the processes that work on a queue of the Redis store do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from kew.adapters.redis import records
from kew.adapters.redis.counts import read_counts
from kew.adapters.redis.explaining import write_slots
from kew.adapters.redis.inside import Inside
from kew.adapters.redis.library import Argument
from kew.adapters.redis.records import checked_incarnation
from kew.adapters.redis.replies import read_lost, word
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
from kew.domain.requests import Peeked
from kew.domain.transitions import ORPHANED

LANES_KEPT_MS: Final = 3_600_000  # a late repeat of a claim must not meet a lane that was forgotten
NAMES_AT_ONCE: Final = 1_000  # of functions, in one call
QUEUES_AT_ONCE: Final = 50  # whose workers are asked for at once


async def announce(store: Inside, operation: Announce) -> Announced:
    who = checked_incarnation(operation.incarnation)
    named: dict[str, Argument] = {
        "incarnation": who,
        "ttl_ms": operation.ttl_ms,
        "slots": write_slots(operation.slots),
        "report": operation.report,
    }
    fields = [records.to_field(name) for name in operation.functions]
    while True:
        piece, fields = fields[:NAMES_AT_ONCE], fields[NAMES_AT_ONCE:]
        answer, known, now = await store.functions.work_on(
            "announce", operation.queue, named, piece
        )
        store.saw(now)
        if not fields:
            return Announced(word(answer), None if known < 0 else known, now)


async def depart(store: Inside, operation: Depart) -> None:
    who = checked_incarnation(operation.incarnation)
    store.saw(await store.functions.work_on("depart", operation.queue, {"incarnation": who}))


async def peek(store: Inside, operation: Peek) -> Peeked:
    """The store's clock is estimated from the last reply that contained it: this is a hint, and one command."""
    key = store.keys.key("state", operation.queue)
    text = await store.functions.read(operation.queue, "HGET", key, "counts")
    counts = read_counts(text) if text else None
    if counts is None:
        return Peeked(None, has_waiting=False)
    return Peeked(counts.wait_ms(store.believed_ms()), has_waiting=counts.all_waiting > 0)


async def processes(store: Inside, operation: Processes) -> Sequence[PresentProcess]:
    now, reports, names = await store.functions.ask("processes", "", {})
    store.saw(now)
    reported = {
        who.decode(): _report(text) for who, text in zip(reports[::2], reports[1::2], strict=True)
    }
    queues = sorted(name.decode() for name in names)
    present: dict[str, dict[str, int]] = {}
    for first in range(0, len(queues), QUEUES_AT_ONCE):
        piece = queues[first : first + QUEUES_AT_ONCE]
        found = await asyncio.gather(*(_workers(store, queue, now) for queue in piece))
        for queue, workers in zip(piece, found, strict=True):
            for who, end in zip(workers[::2], workers[1::2], strict=True):
                present.setdefault(who.decode(), {})[queue] = int(float(end))
    return [
        PresentProcess(who, queues, *reported.get(who, (None, "")))
        for who, queues in sorted(present.items())
    ]


async def _workers(store: Inside, queue: str, now: int) -> Sequence[bytes]:
    """The processes whose presence in the queue lasts, and until when."""
    key = store.keys.key("workers", queue)
    found: Sequence[bytes] = await store.functions.read(
        queue, "ZRANGEBYSCORE", key, f"({now}", "+inf", "WITHSCORES"
    )
    return found


def _report(text: bytes) -> tuple[int | None, str]:
    """When it was made, and what it says."""
    at, _, report = text.partition(b" ")
    return (int(at), report.decode(errors="replace")) if at.isdigit() else (None, "")


async def sweep(store: Inside, operation: Sweep) -> Swept:
    gone_by = operation.gone_by
    named: dict[str, Argument] = {
        "limit": operation.limit,
        "presence_ms": operation.presence_ms,
        "gone_by": -1 if gone_by is None else gone_by,
        "kept_ms": LANES_KEPT_MS,
        "orphaned": ORPHANED,
    }
    *counts, lost, more, now = await store.functions.ask("sweep", operation.queue, named)
    store.saw(now)
    recovered, removed, expired, orphaned, departed = counts
    return Swept(
        now_ms=now,
        recovered=recovered,
        removed=removed,
        expired=tuple(map(bytes.decode, expired)),
        orphaned=tuple(sorted(task_id.decode() for task_id in orphaned)),
        departed=departed,
        lost=read_lost(lost),
        more=bool(more),
    )


HANDLERS: Final[Mapping[type[Operation[Any]], Callable[[Inside, Any], Awaitable[Any]]]] = {
    Announce: announce,
    Depart: depart,
    Peek: peek,
    Processes: processes,
    Sweep: sweep,
}
