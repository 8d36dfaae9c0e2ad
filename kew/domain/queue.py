"""The pure queue: every operation as a function from a view of one queue to the wanted changes and the answer.

Nothing is applied here. The caller (the memory store, the search of all interleavings) passes a `View`, and applies the
`Change` that it gets. The Lua library of the Redis store mirrors these functions; a differential test holds them equal.
What may hold a task back is a gate; `kew.domain.gates` lists them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import attrs

from kew.domain import breaker as breakers
from kew.domain.admitting import nonce_of, refused, stored
from kew.domain.attempts import FailedAttempt, attempt_of
from kew.domain.breaker_history import blamed
from kew.domain.events import Claimed, Event, Lost, Snoozed, Succeeded
from kew.domain.failures import CountedFailure, slot_of
from kew.domain.gates import fold as gates
from kew.domain.gates.gate import Facts, facts_of
from kew.domain.key_limits import OwnLimits
from kew.domain.key_rooms import KeyRooms, snoozed
from kew.domain.keys import key_of
from kew.domain.lifecycle import Effect, step
from kew.domain.outcomes import outcome_word, went_to
from kew.domain.requests import (
    ClaimRequest,
    Grant,
    Group,
    GroupOutcome,
    LostWorker,
    Settlement,
    SettleOutcome,
    Word,
    lost_workers,
)
from kew.domain.sharing import COME_MS, Starved, notified_again, waiting_since
from kew.domain.task import Submission, Task, is_absent
from kew.domain.unique import is_superseded, meeting, superseded
from kew.domain.values import maker
from kew.domain.view import QueueState, View

LOST = Lost()
EXPIRED_AT_ONCE = 100  # that one claim ends before it grants
RECOVER_AT_ONCE = 100  # ended leases that one claim recovers before it grants
NONE_COUNTED: Final[Mapping[int, CountedFailure]] = MappingProxyType({})


@attrs.frozen(weakref_slot=False)
class Change:
    """What an operation wants written, all of it or nothing.

    `tasks` are whole records. `attempts`: those that failed with this, by the task's id. `lane`: a lane's key and last
    sequence. `starved`: the processes that are starved from now on, or no longer (None). `notified`: the one to notify
    that a part of the limit is left for it. `lost`: the workers whose ended leases this recovers. `counted`: a failure
    that the breaker counts, by its slot. `key_logs`: what the rates of keys remember from now on.
    `key_limits`: the limits that keys have of their own from now on (None: none any more).
    """

    tasks: Sequence[Task] = ()
    state: QueueState | None = None
    lane: tuple[str, int] | None = None
    starved: Sequence[tuple[str, Starved | None]] = ()
    next_in_turn: str | None = None
    lost: Sequence[LostWorker] = ()
    attempts: Sequence[tuple[str, FailedAttempt]] = ()
    counted: Mapping[int, CountedFailure] = NONE_COUNTED
    key_logs: Sequence[tuple[str, tuple[int, ...]]] = ()
    key_limits: Sequence[tuple[str, OwnLimits | None]] = ()


NOTHING = Change()
make_change = maker(Change)


# --- submit


def submit(view: View, group: Group, now: int) -> tuple[Change, GroupOutcome]:
    """Store a group or refuse it whole."""
    repeated = is_unique = False
    seen: set[str] = set()
    for call in group.submissions:
        nonce = nonce_of(view, call.id, now)
        if call.id in seen or nonce not in (None, call.nonce):
            return NOTHING, GroupOutcome(Word.DUPLICATE, call.id)
        seen.add(call.id)
        repeated |= nonce is not None
        if call.unique:
            is_unique = True
    # A group is stored whole or not at all, so one of its own means all of them.
    if repeated and not is_unique:
        return NOTHING, GroupOutcome(Word.SAME)
    if group.after and nonce_of(view, group.after.task_id, now) != group.after.nonce:
        return NOTHING, GroupOutcome(Word.EARLY)
    if is_unique:
        return _submit_unique(view, group.submissions, now)
    if refusal := refused(view, group.submissions, now):
        return NOTHING, refusal
    ticket = view.state.ticket
    tasks = [stored(view, call, ticket + n, now) for n, call in enumerate(group.submissions, 1)]
    return Change(tasks, attrs.evolve(view.state, ticket=ticket + len(tasks))), GroupOutcome(
        Word.DONE
    )


def _submit_unique(
    view: View, calls: Sequence[Submission], now: int
) -> tuple[Change, GroupOutcome]:
    """Store those of a group that meet no holder of their unique key, if all of it can be done."""
    met = meeting(
        calls,
        is_in=lambda task_id: nonce_of(view, task_id, now) is not None,
        holder=lambda key: view.holder(key, now),
        now=now,
    )
    if met.refused:
        return NOTHING, GroupOutcome(Word.HELD, met.refused)
    if not met.new and not met.met:
        return NOTHING, GroupOutcome(Word.SAME)
    if met.new and (refusal := refused(view, met.new, now)):
        return NOTHING, refusal
    ticket = view.state.ticket
    tasks = [stored(view, call, ticket + n, now) for n, call in enumerate(met.new, 1)]
    state = attrs.evolve(view.state, ticket=ticket + len(tasks))
    return Change((*tasks, *met.replaced), state), GroupOutcome(Word.DONE, met=met.met)


# --- claim and recover


def recover(view: View, now: int, limit: int = RECOVER_AT_ONCE) -> Change:
    """Take back what is held under ended leases, earliest first, at most `limit`."""
    state, tasks, overdue = view.state, [], view.overdue(now, limit)
    attempts: list[tuple[str, FailedAttempt]] = []
    for task in overdue:
        lost, effect = step(task, LOST, now, state.settings)
        if task.call.unique and is_superseded(view, task, LOST, now):
            lost, effect = superseded(task, LOST, now, state.settings)
        state = gates.ended(state, effect, task.epoch, now)
        tasks.append(lost)
        attempts += attempts_of(task, LOST, lost, now)
    lost_by = lost_workers(
        (before.lease, after) for before, after in zip(overdue, tasks, strict=True)
    )
    return Change(tasks, state, lost=lost_by, attempts=attempts) if tasks else NOTHING


def attempts_of(
    before: Task, event: Event, after: Task, now: int
) -> Sequence[tuple[str, FailedAttempt]]:
    """The failed attempt that an event makes of a task's run, with the task's id, if it is one."""
    attempt = attempt_of(before, event, after, now)
    return () if attempt is None else ((after.id, attempt),)


def claim(view: View, request: ClaimRequest, now: int) -> tuple[Change, Grant]:
    """Grant up to `want` leases, through every gate. The caller has recovered ended leases just before.

    And ended what has expired. If more has expired than it may end at once, this grants nothing yet.
    """
    edition, last = view.state.edition, view.lane(request.lane_key)
    if request.sequence <= last:
        return NOTHING, _granted_before(view, request, now, last)
    if request.sequence > 1 and last == 0:
        return NOTHING, Grant(word=Word.NO_LANE, edition=edition)
    return _claim_anew(view, request, now)


def _claim_anew(view: View, request: ClaimRequest, now: int) -> tuple[Change, Grant]:
    """Grant what the gates leave: no earlier sending of this claim has arrived."""
    facts = facts_of(view, gates.judged(view.state, now), request, now)
    settings = facts.state.settings
    room, next_in_turn = gates.room_and_next(facts)
    is_behind = bool(view.unstarted(now, 1))
    part = 0 if is_behind else min(request.want, room)
    found = view.ready(request.incarnation, now, part) if part else ()
    next_cost = 1
    if found and settings.rates:  # nothing else counts costs
        count = gates.affordable(facts, found)
        next_cost = found[count].call.cost if count < len(found) else 1
        found = found[:count]
    epoch, token = facts.state.breaker.epoch, facts.state.token
    tasks = [
        step(task, _lease(request, n, token + n, epoch), now, settings)[0]
        for n, task in enumerate(found, 1)
    ]
    after = _after_grant(facts, tasks, request.lease_ms, next_cost)
    is_short = len(tasks) < request.want
    is_reached = is_short and len(tasks) == part and view.waiting() > part
    is_starved = is_reached and len(view.ready(request.incarnation, now, part + 1)) > part
    next_in_turn = next_in_turn if is_reached else None
    wait: int | None = 0
    if is_short and not is_behind:
        wait = _wait_ms(view, after, request, tasks, next_in_turn)
    change = Change(
        tasks,
        after.state,
        (request.lane_key, request.sequence),
        _starved_after(view, request, part, next_in_turn, now, is_starved=is_starved),
        next_in_turn=next_in_turn,
        key_logs=_key_logs(view, tasks, now) if settings.key_rate or view.key_limits else (),
    )
    return change, Grant(
        word=Word.DONE,
        tasks=tuple(tasks),
        wait_ms=wait,
        edition=view.state.edition,
        functions=view.announced_by(request.incarnation),
    )


def _key_logs(view: View, tasks: Sequence[Task], now: int) -> Sequence[tuple[str, tuple[int, ...]]]:
    """What the rates of keys remember once these tasks have started."""
    rooms = KeyRooms(
        settings=view.state.settings,
        now=now,
        held_of=view.held_of,
        logs=view.key_logs,
        limits=view.key_limits,
    )
    for task in tasks:
        rooms.start(key_of(task.call), task.call.cost)
    return rooms.written()


def _after_grant(facts: Facts, granted: Sequence[Task], lease_ms: int, next_cost: int) -> Facts:
    """The facts for any process once these tasks were granted, and the next one costs so much."""
    state, leases = gates.granted(facts.state, granted, facts.now), len(granted)
    longest = max(state.longest_lease_ms, lease_ms)
    if leases or longest != state.longest_lease_ms:
        state = attrs.evolve(state, token=state.token + leases, longest_lease_ms=longest)
    ends = [] if facts.lease_end is None else [facts.lease_end]
    ends += [facts.now + lease_ms] if leases else []
    return attrs.evolve(
        facts,
        state=state,
        held=facts.held + leases,
        lease_end=min(ends, default=None),
        request=None,
        cost=next_cost,
    )


def _starved_after(
    view: View,
    request: ClaimRequest,
    part: int,
    next_in_turn: str | None,
    now: int,
    *,
    is_starved: bool,
) -> list[tuple[str, Starved | None]]:
    """The starved processes from now on: the claimer, since it last held other leases than now, or not; and the next.

    A claimer that could run nothing more is left no part of the limit.
    """
    before = view.starved.get(request.incarnation)
    since = now if part else waiting_since(before, request.holds, now)
    claimer = Starved(request.holds + part, since) if is_starved else None
    after: list[tuple[str, Starved | None]] = [(request.incarnation, claimer)]
    if next_in_turn:
        after.append((next_in_turn, notified_again(view.starved[next_in_turn])))
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
    return Grant(word=Word.SAME, tasks=tuple(tasks), wait_ms=0, edition=view.state.edition)


def _wait_ms(
    view: View,
    facts: Facts,
    request: ClaimRequest,
    taken: Sequence[Task],
    next_in_turn: str | None,
) -> int | None:
    """How long until time alone may bring more: a gate opens or, if there is room, a task is due.

    The process that is next in turn has so long to come for its part.
    """
    instants = [gates.opens_at(facts)]
    if gates.room(facts):
        instants.append(view.next_due(request.incarnation, facts.now, taken))
    if next_in_turn:
        instants.append(facts.now + COME_MS)
    known = [instant for instant in instants if instant is not None]
    return max(0, min(known) - facts.now) if known else None


# --- settle


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
    event = settlement.event
    after, effect = step(task, event, now, view.state.settings)
    state = gates.ended(view.state, effect, task.epoch, now)
    if event.__class__ is Succeeded:  # the usual case pays for nothing that only failures need
        change = make_change((after,), state, None, (), None, (), (), NONE_COUNTED, (), ())
        return change, SettleOutcome(Word.DONE, after.status)
    if task.call.unique and is_superseded(view, task, event, now):
        after, effect = superseded(task, event, now, view.state.settings)
        state = gates.ended(view.state, effect, task.epoch, now)
    key_logs: Sequence[tuple[str, tuple[int, ...]]] = ()
    if isinstance(event, Snoozed):
        state = gates.snoozed(state, task, event, now)
        key_logs = _snoozed_key(view, task, event, now)
    attempts = attempts_of(task, event, after, now)
    counted = counted_by(view.state, effect, task.epoch, now, after)
    state = blamed(state, view.state, after)
    change = Change((after,), state, attempts=attempts, counted=counted, key_logs=key_logs)
    return change, SettleOutcome(Word.DONE, after.status)


def _snoozed_key(
    view: View, task: Task, event: Snoozed, now: int
) -> Sequence[tuple[str, tuple[int, ...]]]:
    """What is remembered of the task's key, if the snooze holds it back."""
    key = key_of(task.call) if event.scope == "key" else ""
    before = view.key_logs.get(key, ()) if key else ()
    after = snoozed(before, event.after_ms, now) if key else before
    return () if after is before else [(key, after)]


def counted_by(
    state: QueueState, effect: Effect | None, epoch: int, now: int, failed: Task | None = None
) -> Mapping[int, CountedFailure]:
    """The failure that the breaker counts with this effect, by its slot, if it does."""
    breaker = breakers.judged(state.breaker, state.settings, now)
    is_failure = effect is Effect.COUNT_FAILURE
    if not is_failure or not breakers.counts(breaker, state.settings, epoch=epoch):
        return NONE_COUNTED
    task_id, error = (failed.id, failed.error) if failed else ("", "")
    return {slot_of(breaker): CountedFailure(at=now, task_id=task_id, error=error)}
