"""What every task of the Redis store goes through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from kew.adapters.redis.arguments import LEASES_AT_ONCE
from kew.adapters.redis.extras import report as report_text
from kew.adapters.redis.inside import Inside
from kew.adapters.redis.library import Argument
from kew.adapters.redis.replies import word
from kew.app.ports import Claim, Extend, Operation, SaveCheckpoint, Settle, Submit, by_method
from kew.domain.requests import Word


async def extend(store: Inside, operation: Extend) -> Sequence[Word]:
    words: list[Word] = []
    while len(words) < len(operation.refs):
        rest: list[Argument] = []
        done = len(words)
        reports = operation.reports[done:] or [None] * LEASES_AT_ONCE
        for ref, report in zip(operation.refs[done:][:LEASES_AT_ONCE], reports, strict=False):
            rest += (ref.task_id, ref.lease, report_text(report) if report else "")
        now, *more = await store.functions.extend(operation.queue, operation.lease_ms, rest)
        store.saw(now)
        words += map(word, more)
    return words


async def save_checkpoint(store: Inside, operation: SaveCheckpoint) -> Word:
    ref = operation.ref
    rest: list[Argument] = [ref.lease, operation.number, operation.data]
    named: dict[str, Argument] = {"id": ref.task_id}
    now, answer = await store.functions.ask("checkpoint", operation.queue, named, rest)
    store.saw(now)
    return word(answer)


HANDLERS: Final[Mapping[type[Operation[Any]], Callable[[Inside, Any], Awaitable[Any]]]] = {
    Submit: by_method,
    Claim: by_method,
    Settle: by_method,
    Extend: extend,
    SaveCheckpoint: save_checkpoint,
}
