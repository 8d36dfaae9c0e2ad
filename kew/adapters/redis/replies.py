"""Replies of the library as values of the domain: the one place where words are read; an unknown one raises."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from kew.adapters.redis import records
from kew.app.ports import Bookmark, DeadLetters, QueueStatus, Settled, Submitted
from kew.domain.breaker import Breaker, BreakerState
from kew.domain.queue import QueueState
from kew.domain.requests import (
    ClaimRequest,
    Grant,
    Group,
    GroupOutcome,
    Settlement,
    SettleOutcome,
    Word,
)
from kew.domain.task import Task

WORDS: Final = {each.value.encode(): each for each in Word}
WHOLE: Final = {  # an outcome that names no task is the same for all
    each.value.encode(): GroupOutcome(each) for each in Word
}
STATUSES: Final = {letter.encode(): status for letter, status in records.STATUS.items()}


def word(raw: bytes) -> Word:
    """The word of a reply."""
    try:
        return WORDS[raw]
    except KeyError:
        raise AssertionError(f"an operation answered {raw!r}, which is no word") from None


def read_submitted(
    groups: Collection[Group], claim: ClaimRequest | None, reply: Sequence[Any]
) -> Submitted:
    """What became of groups, and of the claim that came with them."""
    now, outcomes, answer = reply
    if outcomes is None:
        missing = [GroupOutcome(Word.NO_QUEUE)] * len(groups)
        return Submitted(outcomes=missing, now_ms=now, grant=_no_queue(claim))
    pairs = zip(outcomes[::2], outcomes[1::2], strict=True)
    return Submitted(
        outcomes=[_group_outcome(said, task_id) for said, task_id in pairs],
        now_ms=now,
        grant=None if answer is None else read_grant(answer),
    )


def _group_outcome(said: bytes, task_id: bytes) -> GroupOutcome:
    if not task_id and said in WHOLE:
        return WHOLE[said]
    return GroupOutcome(word(said), task_id.decode())


def read_settled(
    settlements: Collection[Settlement], claim: ClaimRequest | None, reply: Sequence[Any]
) -> Settled:
    """What became of outcomes, and of the claim that came with them."""
    now, outcomes, answer = reply
    if outcomes is None:
        stale = [SettleOutcome(Word.STALE)] * len(settlements)
        return Settled(outcomes=stale, now_ms=now, grant=_no_queue(claim))
    pairs = zip(outcomes[::2], outcomes[1::2], strict=True)
    return Settled(
        outcomes=[SettleOutcome(word(said), STATUSES[to] if to else None) for said, to in pairs],
        now_ms=now,
        grant=read_grant(answer),
    )


def _no_queue(claim: ClaimRequest | None) -> Grant | None:
    return Grant(word=Word.NO_QUEUE) if claim else None


def read_tasks(flat: Sequence[Any]) -> list[Task]:
    """Tasks from (id, lease_until, record) triples."""
    triples = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
    return [records.read(task_id.decode(), raw, int(end)) for task_id, end, raw in triples]


def read_dead_letters(reply: Sequence[Any]) -> DeadLetters | None:
    """A page of dead letters; None: nobody declared the queue."""
    if len(reply) == 1:
        return None
    _, last, flat = reply
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return DeadLetters(
        tasks=[records.read(task_id.decode(), raw, 0) for task_id, raw in pairs],
        after=None if last is None else Bookmark(int(last[0]), last[1].decode()),
    )


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
