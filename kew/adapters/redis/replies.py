"""Replies of the library as values of the domain: the one place where words are read; an unknown one raises."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from typing import Any, Final

import attrs

from kew.adapters.redis import attempts, records
from kew.adapters.redis.counts import read_memories
from kew.adapters.redis.extras import from_value
from kew.adapters.redis.history import read_past
from kew.adapters.redis.settings import (
    read_declared,
    read_holds,
    read_settings,
    read_signatures,
    read_transitions,
)
from kew.app.ports import (
    Bookmark,
    DeadLetters,
    FailureGroup,
    FailureGroups,
    History,
    QueueStatus,
    Settled,
    Submitted,
    make_settled,
    make_submitted,
)
from kew.domain.attempts import FailedAttempt
from kew.domain.breaker import Breaker, BreakerState
from kew.domain.emptying import Emptied
from kew.domain.errors import TaskUnreadableError
from kew.domain.failures import CountedFailure, recent
from kew.domain.gates import fold as gates
from kew.domain.history import MINUTE_MS, RECENT, rates_of
from kew.domain.requests import (
    Along,
    ClaimRequest,
    Grant,
    Group,
    GroupOutcome,
    LostWorker,
    Settlement,
    SettleOutcome,
    Word,
    make_grant,
)
from kew.domain.task import Task
from kew.domain.view import QueueState


@attrs.define
class Unread:
    """What an answer had that this process doesn't read: ids and records that are damaged, and a newer version."""

    records: list[tuple[bytes, bytes]] = attrs.field(factory=list)
    newest: int = 0


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
    groups: Collection[Group],
    along: Along,
    reply: Sequence[Any],
    unread: Unread | None = None,
) -> Submitted:
    """What became of groups, and of what they took along."""
    now, outcomes, answer, *more = reply
    if outcomes is None:
        return Submitted(
            outcomes=[GroupOutcome(Word.NO_QUEUE)] * len(groups),
            now_ms=now,
            grant=_no_queue(along.claim),
            settled=_all_stale(along.settlements),
        )
    pairs = zip(outcomes[::2], outcomes[1::2], strict=True)
    return make_submitted(
        [_group_outcome(said, task_id) for said, task_id in pairs],
        now,
        None if answer is None else read_grant(answer, Unread() if unread is None else unread),
        _settle_outcomes(more[0]) if more and more[0] is not None else (),
        len(more) > 1,
    )


def _group_outcome(said: bytes, task_id: bytes | list[bytes]) -> GroupOutcome:
    if not task_id and said in WHOLE:
        return WHOLE[said]
    if isinstance(task_id, list):
        ids = [each.decode() for each in task_id]
        return GroupOutcome(word(said), met=tuple(zip(ids[::2], ids[1::2], strict=True)))
    return GroupOutcome(word(said), task_id.decode())


def read_settled(
    settlements: Collection[Settlement],
    claim: ClaimRequest | None,
    reply: Sequence[Any],
    unread: Unread,
) -> Settled:
    """What became of outcomes, and of the claim that came with them."""
    now, outcomes, answer = reply
    if outcomes is None:
        return Settled(outcomes=_all_stale(settlements), now_ms=now, grant=_no_queue(claim))
    grant = None if answer is None else read_grant(answer, unread)
    return make_settled(_settle_outcomes(outcomes), now, grant)


def _settle_outcomes(flat: Sequence[bytes]) -> list[SettleOutcome]:
    return [*map(_settle_outcome, flat[::2], flat[1::2])]


@cache  # there are a few, the same for all
def _settle_outcome(said: bytes, to: bytes) -> SettleOutcome:
    return SettleOutcome(word(said), STATUSES[to] if to else None)


def _all_stale(settlements: Collection[Settlement]) -> list[SettleOutcome]:
    return [SettleOutcome(Word.STALE)] * len(settlements)


def _no_queue(claim: ClaimRequest | None) -> Grant | None:
    return Grant(word=Word.NO_QUEUE) if claim else None


def read_each(found: Iterable[tuple[bytes, Any, records.Raw]], unread: Unread) -> list[Task]:
    """Tasks from an id, the lease's end and a record each. What can't be read is added to `unread`."""
    tasks = []
    for task_id, end, raw in found:
        try:
            tasks.append(records.read(task_id.decode(), raw, int(end)))
        except (TaskUnreadableError, UnicodeDecodeError):
            unread.records.append((task_id, records.record_of(raw)))
    return tasks


def read_tasks(flat: Sequence[Any], unread: Unread) -> list[Task]:
    """Tasks from (id, lease_until, record) triples."""
    return read_each(zip(flat[::3], flat[1::3], flat[2::3], strict=True), unread)


def read_emptied(answer: Sequence[Any], unread: Unread) -> Emptied:
    """What one step of emptying a queue did."""
    flat, kept, more, skip, scan = answer
    cancelled = read_each(
        ((one, 0, raw) for one, raw in zip(flat[::2], flat[1::2], strict=True)), unread
    )
    return Emptied(
        cancelled=tuple(cancelled), kept=kept, more=bool(more), skip=skip, scan=int(scan)
    )


def read_dead_letters(reply: Sequence[Any], unread: Unread) -> DeadLetters | None:
    """A page of dead letters; None: no process has declared the queue."""
    if len(reply) == 1:
        return None
    _, last, flat = reply
    tasks, known = list[Task](), list[FailedAttempt | None]()
    for task_id, raw, attempt in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
        for task in read_each([(task_id, 0, raw)], unread):
            tasks.append(task)
            known.append(attempts.read([attempt])[0] if attempt else None)
    after = None if last is None else Bookmark(int(last[0]), *attempts.parted(last[1]))
    return DeadLetters(tasks=tasks, after=after, attempts=known)


def read_groups(reply: Sequence[Any]) -> FailureGroups | None:
    """A page of groups of dead letters; None: no process has declared the queue."""
    if len(reply) == 1:
        return None
    _, last, flat = reply
    fields = (flat[n::5] for n in range(5))
    return FailureGroups(
        groups=[
            FailureGroup(
                name=name.decode(),
                count=count,
                first_at=int(first_at),
                last_at=int(last_at),
                example=example.decode(),
            )
            for name, count, first_at, last_at, example in zip(*fields, strict=True)
        ],
        after=None if last is None else last.decode(),
    )


def read_grant(answer: Sequence[Any] | None, unread: Unread) -> Grant | None:
    """What a claim brought; None if none was sent."""
    if answer is None:
        return None
    said, wait_ms, edition, leases, functions, *more = answer
    lost, expired = _more_of_grant(more, unread) if more else ((), ())
    known = word(said)
    return make_grant(
        known,
        tuple(read_tasks(leases, unread)),
        _wait_ms(known, wait_ms),
        edition.decode(),
        None if functions < 0 else functions,
        lost,
        expired,
    )


def _more_of_grant(
    more: Sequence[Any], unread: Unread
) -> tuple[tuple[LostWorker, ...], tuple[str, ...]]:
    """What few claims meet: lost workers, a newer version, and tasks that expired."""
    if len(more) > 1:
        unread.newest = more[1]
    expired = more[2] if len(more) > 2 else ()
    return read_lost(more[0]), tuple(map(bytes.decode, expired))


def read_lost(flat: Sequence[Any]) -> tuple[LostWorker, ...]:
    """Workers whose leases ended, from (incarnation, count, ids of failed tasks) triples."""
    triples = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
    return tuple(
        LostWorker(who.decode(), tasks, tuple(each.decode() for each in failed))
        for who, tasks, failed in triples
    )


def _wait_ms(said: Word, wait_ms: int) -> int | None:
    if said in (Word.NO_WORKER, Word.NO_LANE):
        return None
    return None if wait_ms < 0 else wait_ms


def read_state(
    settings: bytes,
    version: int,
    edition: bytes,
    paused: int,
    breaker: bytes,
    ticket: int,
    token: int,
    longest: int,
    memories: Sequence[bytes],
) -> QueueState:
    """A queue's state, from its fields as replies have them."""
    return QueueState(
        settings=read_settings(settings.decode()),
        declared=read_declared(settings.decode()),
        version=version,
        edition=edition.decode(),
        paused=bool(paused),
        breaker=read_breaker(breaker.decode()),
        ticket=ticket,
        token=token,
        longest_lease_ms=longest,
        gates=read_memories(memories),
        holds=read_holds(memories),
        signed=read_signatures(settings.decode(), memories),
        breaker_log=read_transitions(memories),
    )


# Long: the fields of the reply, in their order.
def read_status(queue: str, reply: Sequence[Any]) -> QueueStatus | None:
    """A queue's status."""
    if reply[1] is None:
        return None
    (
        now,
        settings,
        version,
        paused,
        breaker,
        ticket,
        token,
        held,
        waiting,
        workers,
        stuck,
        edition,
        longest,
        unreadable,
        newer,
        memories,
        counted,
        due_longest,
        happened,
        dead,
        (busiest, delayed),
    ) = reply
    counts = zip(stuck[::2], stuck[1::2], strict=True)
    state = gates.judged(
        read_state(settings, version, edition, paused, breaker, ticket, token, longest, memories),
        now,
    )
    return QueueStatus(
        name=queue,
        now_ms=now,
        state=state,
        waiting=dict(enumerate(waiting, 1)),
        held=held,
        workers=[process.decode() for process in workers],
        stuck={records.from_field(name.decode()): count for name, count in sorted(counts)},
        unreadable=unreadable,
        newer=newer,
        counted=recent(
            state.breaker,
            state.settings,
            {slot: read_counted(text) for slot, text in enumerate(counted) if text},
        ),
        oldest_at=due_longest,
        rates=rates_of(
            read_past(
                now,
                History(queue, MINUTE_MS, RECENT + 1),
                sum(waiting),
                happened,
                has_times=False,
            )
        ),
        dead=dead,
        busiest_keys=_by_key(busiest),
        delayed_keys=_by_key(delayed),
    )


def _by_key(flat: Sequence[bytes]) -> dict[str, int]:
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return {from_value(key.decode()): int(number) for key, number in pairs}


def read_counted(text: bytes) -> CountedFailure:
    """A failure, as `lua/include/gates/breaker.lua` writes it."""
    at, size, rest = text.split(b" ", 2)
    task_id, error = rest[: int(size)], rest[int(size) :]
    return CountedFailure(
        at=int(at), task_id=task_id.decode(errors="replace"), error=error.decode(errors="replace")
    )


def read_breaker(text: str) -> Breaker:
    """The breaker, as `lua/include/state.lua` writes it."""
    state, failures, opened_at, epoch, probes = text.split()
    return Breaker(
        state=BreakerState(state),
        failures=int(failures),
        opened_at=int(opened_at),
        epoch=int(epoch),
        probes=int(probes),
    )
