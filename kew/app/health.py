"""Whether this process works: it is alive, and it can claim."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kew.app.ports import Operation, Peek, Queues, StoreError, TaskStore
from kew.app.working.worker import Worker

ANSWER_SECONDS: Final = 2.0
"""How long the store may take by default: less than a tick."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """The state of one process at one moment.

    `live`: its claim loops run; if not, restart it. `ready`: it can also claim: the store has just answered, and no
    claim has waited longer for an answer. A process that works on no queue is ready if the store answers.
    `reasons`: why it isn't live or ready, for people. `store_seconds`: how long the store took; None: no answer.
    """

    live: bool
    ready: bool
    process: str | None
    reasons: tuple[str, ...] = ()
    store_seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**dataclasses.asdict(self), "reasons": list(self.reasons)}


async def health_of(
    name: str,
    store: TaskStore,
    workers: Mapping[str, Worker],
    *,
    is_closing: bool,
    seconds: float,
) -> Health:
    """Ask the store one question, for `seconds` at most, and look at the claim loops."""
    if is_closing:
        return Health(live=True, ready=False, process=name, reasons=("it is shutting down",))
    loop = asyncio.get_running_loop()
    began_at, took, silent = loop.time(), None, list[str]()
    question: Operation[Any] = next((Peek(queue) for queue in workers), Queues())
    try:
        async with asyncio.timeout(seconds):
            await store.do(question)
        took = loop.time() - began_at
    except TimeoutError:
        silent = [f"the store gave no answer in {seconds:g} s"]
    except StoreError as error:
        silent = [f"the store can't be used: {error}"]
    ended = [
        f"queue {queue}: its claim loop has ended"
        for queue, each in workers.items()
        if each.has_ended
    ]
    reasons = (*ended, *silent, *_unanswered(workers, loop.time(), seconds))
    return Health(
        live=not ended, ready=not reasons, process=name, reasons=reasons, store_seconds=took
    )


def _unanswered(workers: Mapping[str, Worker], now: float, seconds: float) -> Iterator[str]:
    for queue, worker in workers.items():
        since = worker.lanes.unanswered_since
        if since is not None and now - since > seconds:
            yield f"queue {queue}: a claim has had no answer for {now - since:.1f} s"
