"""What every task of the memory store goes through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from kew.adapters.memory.inside import Inside
from kew.app.ports import Claim, Extend, Operation, SaveCheckpoint, Settle, Submit, by_method
from kew.domain import checkpoints, extending
from kew.domain.requests import Word


async def extend(store: Inside, operation: Extend) -> Sequence[Word]:
    now = store._now()
    known = store.namespace.queues.get(operation.queue)
    if known is None:
        return [Word.STALE for _ in operation.refs]
    words = []
    reports = operation.reports or [None] * len(operation.refs)
    for ref, report in zip(operation.refs, reports, strict=True):
        change, word = extending.extend(known.indexed, ref, operation.lease_ms, now, report)
        store._apply(known, change, now)
        words.append(word)
    return words


async def save_checkpoint(store: Inside, operation: SaveCheckpoint) -> Word:
    now = store._now()
    known = store.namespace.queues.get(operation.queue)
    if known is None:
        return Word.STALE
    indexed = known.indexed
    change, word = checkpoints.save(indexed, operation.ref, operation.number, operation.data, now)
    store._apply(known, change, now)
    return word


HANDLERS: Final[Mapping[type[Operation[Any]], Callable[[Inside, Any], Awaitable[Any]]]] = {
    Submit: by_method,
    Claim: by_method,
    Settle: by_method,
    Extend: extend,
    SaveCheckpoint: save_checkpoint,
}
