"""The pure queue: every operation as a function from a view of one queue to the changes wanted and the answer.

Nothing here is applied: a caller (the memory store, the search of all interleavings) hands in a `View`, applies the
`Change` it gets back, and asks again. The Lua library of the Redis store mirrors these functions; a
differential test holds them equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import attrs

from kew.domain import breaker as breakers
from kew.domain.breaker import Breaker, BreakerState
from kew.domain.config import Settings
from kew.domain.events import CancelRequested, Claimed, Lost, Orphaned, Replayed
from kew.domain.lifecycle import Effect, outcome_word, step, went_to
from kew.domain.requests import (
    ClaimRequest,
    Grant,
    Group,
    GroupOutcome,
    LeaseRef,
    Settlement,
    SettleOutcome,
    Word,
)
from kew.domain.sharing import COME_MS, Hungry, part_of, told_again, waiting_since
from kew.domain.task import Life, Submission, Task, TaskStatus, is_absent

RECOVER_AT_ONCE = 100  # ended leases that one claim takes back before it grants


@attrs.frozen(kw_only=True)
class QueueState:
    """What a queue remembers besides its tasks. `ticket` and `token` are the last ones given out."""

    settings: Settings
    version: int = 1
    paused: bool = False
    breaker: Breaker = Breaker()
    ticket: int = 0
    token: int = 0


class View(Protocol):
    """One queue as it is at this moment; reading it changes nothing."""

    @property
    def name(self) -> str:
        """The queue's name."""
        ...

    @property
    def state(self) -> QueueState:
        """All but the tasks."""
        ...

    def find(self, task_id: str) -> Task | None:
        """The record of an id in the whole namespace, whichever queue it is in."""
        ...

    def waiting(self) -> int:
        """How many tasks are QUEUED or RETRY, due or not."""
        ...

    def held(self) -> int:
        """How many leases are current, ended ones included."""
        ...

    def ready(self, incarnation: str, now: int, limit: int) -> Sequence[Task]:
        """Due tasks that this incarnation can run, in order, at most `limit`."""
        ...

    def overdue(self, now: int, limit: int) -> Sequence[Task]:
        """Tasks whose lease has ended, earliest first, at most `limit`."""
        ...

    def leases_of(self, prefix: str) -> Sequence[Task]:
        """Tasks whose current lease begins with `prefix`."""
        ...

    def lane(self, key: str) -> int:
        """The last sequence answered on a lane; 0: the lane is unknown."""
        ...

    def next_due(self, incarnation: str, now: int) -> int | None:
        """The earliest due time after `now` of a waiting task that this incarnation can run (ms)."""
        ...

    def next_lease_end(self) -> int | None:
        """The earliest end of a current lease (ms)."""
        ...

    @property
    def hungry(self) -> Mapping[str, Hungry]:
        """The processes that took all they were allowed when they last claimed, and wanted more while tasks waited."""
        ...


@attrs.frozen
class Change:
    """What an operation wants written, all of it or nothing.

    Whole records, the queue's state, a lane's last sequence; who is hungry from now on, or isn't any more (None), and
    the process to be told that a part of the limit is left for it.
    """

    tasks: Sequence[Task] = ()
    state: QueueState | None = None
    lane: tuple[str, int] | None = None
    hungry: Sequence[tuple[str, Hungry | None]] = ()
    told: str | None = None


NOTHING = Change()


# --- submit


def submit(view: View, group: Group, now: int) -> tuple[Change, GroupOutcome]:
    """Store a group or refuse it whole."""
    repeated = False
    seen: set[str] = set()
    for call in group.submissions:
        nonce = _nonce_of(view, call.id, now)
        if call.id in seen or nonce not in (None, call.nonce):
            return NOTHING, GroupOutcome(Word.DUPLICATE, call.id)
        seen.add(call.id)
        repeated |= nonce is not None
    if repeated:  # a group is stored whole or not at all, so one of its own means all of them
        return NOTHING, GroupOutcome(Word.SAME)
    if group.after and _nonce_of(view, group.after.task_id, now) != group.after.nonce:
        return NOTHING, GroupOutcome(Word.EARLY)
    if view.waiting() + len(group.submissions) > view.state.settings.max_size:
        return NOTHING, GroupOutcome(Word.FULL)
    ticket = view.state.ticket
    tasks = [_stored(view, call, ticket + n, now) for n, call in enumerate(group.submissions, 1)]
    return Change(tasks, attrs.evolve(view.state, ticket=ticket + len(tasks))), GroupOutcome(
        Word.DONE
    )


def _nonce_of(view: View, task_id: str, now: int) -> str | None:
    """The nonce under which the id is in use; None: it is not."""
    known = view.find(task_id)
    return None if known is None or is_absent(known, now) else known.call.nonce


def _stored(view: View, call: Submission, ticket: int, now: int) -> Task:
    due = call.due_at if call.due_at is not None else now + call.delay_ms
    return Task(
        call=call,
        queue=view.name,
        status=TaskStatus.QUEUED,
        ready_at=max(due, now),
        ticket=ticket,
        queued_at=now,
    )


# --- claim and recover


def recover(view: View, now: int, limit: int = RECOVER_AT_ONCE) -> Change:
    """Take back what is held under ended leases, earliest first, at most `limit`."""
    state, tasks = view.state, []
    for task in view.overdue(now, limit):
        lost, effect = step(task, Lost(), now, state.settings)
        state = _carried_out(state, effect, task.epoch, now)
        tasks.append(lost)
    return Change(tasks, state) if tasks else NOTHING


def claim(view: View, request: ClaimRequest, now: int) -> tuple[Change, Grant]:
    """Grant up to `want` leases, under every limit. The caller has recovered ended leases just before."""
    version, last = view.state.version, view.lane(request.lane_key)
    if request.sequence <= last:
        return NOTHING, _granted_before(view, request, now, last)
    if request.sequence > 1 and last == 0:
        return NOTHING, Grant(word=Word.NO_LANE, version=version)
    state = attrs.evolve(
        view.state, breaker=breakers.judged(view.state.breaker, view.state.settings, now)
    )
    part, rival = _part(view, state, request, now)
    found = view.ready(request.incarnation, now, part) if part else ()
    epoch, token = state.breaker.epoch, state.token
    tasks = [
        step(task, _lease(request, n, token + n, epoch), now, state.settings)[0]
        for n, task in enumerate(found, 1)
    ]
    state = attrs.evolve(
        state, token=token + len(tasks), breaker=breakers.granted(state.breaker, len(tasks))
    )
    short = len(tasks) < request.want
    is_hungry = short and len(tasks) == part and view.waiting() > part
    rival = rival if is_hungry else None
    wait = _wait_ms(view, state, request, len(tasks), now) if short else 0
    if rival:
        wait = COME_MS if wait is None else min(wait, COME_MS)
    change = Change(
        tasks,
        state,
        (request.lane_key, request.sequence),
        _hungry_after(view, request, part, rival, now, is_hungry=is_hungry),
        told=rival,
    )
    return change, Grant(word=Word.DONE, tasks=tuple(tasks), wait_ms=wait, version=version)


def _part(view: View, state: QueueState, request: ClaimRequest, now: int) -> tuple[int, str | None]:
    """How many leases the claim may take, and the rival to whom it leaves others that it could have taken."""
    free = free_leases(state, view.held())
    room = min(request.want, free)
    if not view.hungry:
        return room, None
    part, rival = part_of(free, view.hungry, request.incarnation, request.holds, now)
    return min(part, room), rival


def _hungry_after(
    view: View, request: ClaimRequest, part: int, rival: str | None, now: int, *, is_hungry: bool
) -> list[tuple[str, Hungry | None]]:
    """Who is hungry from now on: the claimer, since it last held other leases than now, or not; and the rival."""
    if not is_hungry:
        return [(request.incarnation, None)]
    before = view.hungry.get(request.incarnation)
    since = now if part else waiting_since(before, request.holds, now)
    after: list[tuple[str, Hungry | None]] = [
        (request.incarnation, Hungry(request.holds + part, since))
    ]
    if rival:
        after.append((rival, told_again(view.hungry[rival])))
    return after


def _lease(request: ClaimRequest, index: int, token: int, epoch: int) -> Claimed:
    return Claimed(lease=request.lease(index), lease_ms=request.lease_ms, token=token, epoch=epoch)


def _granted_before(view: View, request: ClaimRequest, now: int, last: int) -> Grant:
    """A repeat gets those of its leases that are still live; anything older than the last claim gets nothing."""
    tasks: Iterable[Task] = ()
    if request.sequence == last:
        prefix = f"{request.lane_key}.{request.sequence}."
        live = [task for task in view.leases_of(prefix) if task.lease_until > now]
        tasks = sorted(live, key=lambda task: task.token)
    return Grant(word=Word.SAME, tasks=tuple(tasks), wait_ms=0, version=view.state.version)


def free_leases(state: QueueState, held: int) -> int:
    """How many more leases the queue may grant now; its breaker has been judged."""
    if state.paused:
        return 0
    free = max(0, state.settings.max_workers - held)
    probes = breakers.allowance(state.breaker, state.settings)
    return free if probes is None else min(free, probes)


def _wait_ms(
    view: View, state: QueueState, request: ClaimRequest, taken: int, now: int
) -> int | None:
    """How long until time alone may bring more: a lease ends, the breaker lets a probe through, a task is due."""
    instants = [view.next_lease_end()]
    if taken:
        instants.append(now + request.lease_ms)
    if state.breaker.state is BreakerState.OPEN:
        instants.append(breakers.reopens_at(state.breaker, state.settings))
    if free_leases(state, view.held() + taken):
        instants.append(view.next_due(request.incarnation, now))
    known = [instant for instant in instants if instant is not None]
    return max(0, min(known) - now) if known else None


# --- settle and extend


def settle(view: View, settlement: Settlement, now: int) -> tuple[Change, SettleOutcome]:
    """Apply an outcome under its lease's identity; repeated, it gets the same answer; under another lease, STALE."""
    task = view.find(settlement.task_id)
    if task is None or is_absent(task, now) or task.queue != view.name:
        return NOTHING, SettleOutcome(Word.STALE)
    if task.lease != settlement.lease:
        word = outcome_word(settlement.event)
        if task.settled != f"{settlement.lease}:{word}":
            return NOTHING, SettleOutcome(Word.STALE)
        return NOTHING, SettleOutcome(Word.SAME, went_to(task, word))
    after, effect = step(task, settlement.event, now, view.state.settings)
    state = _carried_out(view.state, effect, task.epoch, now)
    return Change((after,), state), SettleOutcome(Word.DONE, after.status)


def extend(view: View, ref: LeaseRef, lease_ms: int, now: int) -> tuple[Change, Word]:
    """Prolong a live lease to `lease_ms` from now; never revive an ended one. CANCEL: and the task is to stop."""
    task = view.find(ref.task_id)
    if (
        task is None
        or task.lease != ref.lease
        or task.lease_until <= now
        or task.queue != view.name
    ):
        return NOTHING, Word.STALE
    word = Word.CANCEL if task.cancel_requested else Word.DONE
    return Change((task.moved(lease_until=now + lease_ms),)), word


def _carried_out(state: QueueState, effect: Effect | None, epoch: int, now: int) -> QueueState:
    """The queue's state after the end of a lease granted in `epoch`: an outcome counts, else a probe is given back."""
    before = breakers.judged(state.breaker, state.settings, now)
    match effect:
        case Effect.COUNT_SUCCESS:
            after = breakers.succeeded(before, epoch=epoch)
        case Effect.COUNT_FAILURE:
            after = breakers.failed(before, state.settings, now, epoch=epoch)
        case _:
            after = breakers.returned(before, epoch=epoch)
    return state if after is state.breaker else attrs.evolve(state, breaker=after)


# --- what people ask for


def cancel(view: View, task_id: str, life: Life | None, now: int) -> tuple[Change, Word]:
    """Cancel a waiting task (DONE), or ask the holder of a running one to stop (CANCEL); in this `life` of it alone.

    Here and below, None: whichever life it is in.
    """
    task = _named(view, task_id, life, now)
    if task is None:
        return NOTHING, Word.MISSING
    if _is_past(life, task):
        return NOTHING, Word.ENDED
    if task.is_terminal:
        return NOTHING, Word.SAME if task.status is TaskStatus.CANCELLED else Word.ENDED
    after, effect = step(task, CancelRequested(), now, view.state.settings)
    return Change((after,)), Word.CANCEL if effect else Word.DONE


def replay(view: View, task_id: str, life: Life | None, now: int) -> tuple[Change, Word]:
    """Put a FAILED or CANCELLED task back, its failures and losses forgotten; once from each `life`, else SAME."""
    task = _named(view, task_id, life, now)
    if task is None:
        return NOTHING, Word.MISSING
    if _is_past(life, task):
        return NOTHING, Word.SAME
    if task.status in (TaskStatus.FAILED, TaskStatus.CANCELLED):
        return Change((step(task, Replayed(), now, view.state.settings)[0],)), Word.DONE
    return NOTHING, Word.ILLEGAL if task.status is TaskStatus.COMPLETED else Word.SAME


def _is_past(life: Life | None, task: Task) -> bool:
    """The task was put back since, by this very request or another."""
    return life is not None and life.replays != task.replays


def _named(view: View, task_id: str, life: Life | None, now: int) -> Task | None:
    task = view.find(task_id)
    if task is None or is_absent(task, now) or task.queue != view.name:
        return None
    return task if life is None or task.ticket == life.ticket else None


def orphan(view: View, task: Task, now: int) -> Change:
    """Fail a waiting pinned task whose only process has gone."""
    return Change((step(task, Orphaned(), now, view.state.settings)[0],))


def pause(view: View, *, paused: bool) -> Change:
    """Grant no more leases, or grant them again; running tasks go on."""
    return Change((), attrs.evolve(view.state, paused=paused))


def configure(view: View, settings: Settings) -> Change:
    """The latest declaration wins; an equal one changes nothing, not even the version."""
    if settings == view.state.settings:
        return NOTHING
    return Change((), attrs.evolve(view.state, settings=settings, version=view.state.version + 1))


def record_failure(view: View, now: int) -> Change:
    """Count a failure that a person observed."""
    before = breakers.judged(view.state.breaker, view.state.settings, now)
    after = breakers.failed(before, view.state.settings, now, epoch=before.epoch)
    return Change((), attrs.evolve(view.state, breaker=after))


def reset_breaker(view: View) -> Change:
    """Close the breaker."""
    return Change((), attrs.evolve(view.state, breaker=breakers.reset(view.state.breaker)))
