"""Replies of the library as values of the domain: the one place where words are read; an unknown one raises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kew.adapters.redis import records
from kew.app.ports import QueueStatus
from kew.domain.breaker import Breaker, BreakerState
from kew.domain.queue import QueueState
from kew.domain.requests import Grant, SettleOutcome, Word
from kew.domain.task import Task

WORDS: Final = {each.value.encode(): each for each in Word}
STATUSES: Final = {letter.encode(): status for letter, status in records.STATUS.items()}


def word(raw: bytes) -> Word:
    """The word of a reply."""
    try:
        return WORDS[raw]
    except KeyError:
        raise AssertionError(f"an operation answered {raw!r}, which is no word") from None


def statuses(outcomes: Sequence[bytes]) -> list[SettleOutcome]:
    """The outcomes of settlements, from (word, status letter or nothing) pairs."""
    pairs = zip(outcomes[::2], outcomes[1::2], strict=True)
    return [SettleOutcome(word(answer), STATUSES[to] if to else None) for answer, to in pairs]


def read_tasks(flat: Sequence[Any]) -> list[Task]:
    """Tasks from (id, lease_until, record) triples."""
    triples = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
    return [records.read(task_id.decode(), raw, int(end)) for task_id, end, raw in triples]


def read_grant(answer: Sequence[Any] | None) -> Grant | None:
    """What a claim brought; None where none was sent."""
    if answer is None:
        return None
    said, wait_ms, version, leases = answer
    return Grant(
        word=word(said),
        tasks=tuple(read_tasks(leases)),
        wait_ms=_wait_ms(word(said), wait_ms),
        version=version,
    )


def _wait_ms(said: Word, wait_ms: int) -> int | None:
    if said in (Word.NO_WORKER, Word.NO_LANE):
        return None
    return None if wait_ms < 0 else wait_ms


def read_status(queue: str, reply: Sequence[Any]) -> QueueStatus | None:
    """A queue's status."""
    if reply[1] is None:
        return None
    now, settings, version, paused, breaker, ticket, token, held, waiting, workers, stuck = reply
    counts = zip(stuck[::2], stuck[1::2], strict=True)
    return QueueStatus(
        name=queue,
        now_ms=now,
        state=QueueState(
            settings=records.read_settings(settings.decode()),
            version=version,
            paused=bool(paused),
            breaker=_read_breaker(breaker.decode()),
            ticket=ticket,
            token=token,
        ),
        waiting=dict(enumerate(waiting, 1)),
        held=held,
        workers=[process.decode() for process in workers],
        stuck={records.from_field(name.decode()): count for name, count in sorted(counts)},
    )


def _read_breaker(text: str) -> Breaker:
    state, failures, opened_at, epoch, probes = text.split()
    return Breaker(
        state=BreakerState(state),
        failures=int(failures),
        opened_at=int(opened_at),
        epoch=int(epoch),
        probes=int(probes),
    )
