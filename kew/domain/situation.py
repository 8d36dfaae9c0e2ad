"""The situation of a task: what every store reads of its queue in one atomic step, to say why it isn't running."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from kew.domain.explaining import Candidate, Holder, Situation, SlotLimit
from kew.domain.gates import fold as gates
from kew.domain.gates.gate import Facts
from kew.domain.incarnations import place_of
from kew.domain.key_limits import limits_of, rates_of
from kew.domain.key_rooms import key_opens_at
from kew.domain.keys import key_of
from kew.domain.lifecycle import Effect
from kew.domain.ordering import order_key
from kew.domain.queue import RECOVER_AT_ONCE
from kew.domain.requests import holder_of
from kew.domain.task import Task, shelf_of, without_payload
from kew.domain.view import QueueState, View

COUNTED_AT_MOST: Final = 100  # waiting tasks, and leases
HOLDERS_AT_MOST: Final = 10
CANDIDATES_AT_MOST: Final = 50
COMPARED_AT_MOST: Final = 20  # processes, with the functions of tasks that come first
FOREVER: Final = -1  # no lease ends before


def horizon_of(state: QueueState, task: Task, held: int, now: int) -> int:
    """The earliest instant at which time alone lets a waiting task start; the state has been judged."""
    facts = Facts(state=state, now=now, held=held, cost=task.call.cost)
    return max(now, task.ready_at, gates.latest_opening(facts))


# Long: the fields of a situation, in their order.
def situation_of(
    view: View, task: Task, now: int, *, present: Sequence[str], slots: Mapping[str, SlotLimit]
) -> Situation:
    """What bears on a task of this queue. `present`: the processes that serve it; `slots`: as they announced them."""
    ended = view.overdue(now, RECOVER_AT_ONCE)
    state = _recovered(view.state, ended, now)
    if not task.is_waiting:
        return Situation(now=now, horizon=now, task=_light(task), state=state, held=view.held())
    leased = view.leased_beyond(FOREVER, COUNTED_AT_MOST)
    function, held = task.call.function, view.held() - len(ended)
    horizon = max(horizon_of(state, task, held, now), _paced_until(view, task, now))
    able = sorted(who for who in present if view.can_run(who, function))

    @cache
    def competes(other: str) -> bool:
        """It takes a slot that the task could have; with many processes, any task does."""
        is_alike = shelf_of(other) == shelf_of(function) or len(able) > COMPARED_AT_MOST
        return is_alike or any(view.can_run(who, other) for who in able)

    waiting = view.waiting_by(horizon, COUNTED_AT_MOST + 1)
    first = [one for one in waiting[:COUNTED_AT_MOST] if _is_before(one, task)]
    lost = [one for one in ended if one.ready_at <= horizon]  # the clock may have been set back
    before = (*first, *(one for one in lost if _is_before(one, task)))
    ahead = sum(competes(one.call.function) for one in before)
    due = len(waiting) + len(lost) - 1
    return Situation(
        now=now,
        horizon=horizon,
        task=_light(task),
        state=state,
        held=held,
        holders=_holders(leased, now),
        ahead=min(ahead, COUNTED_AT_MOST),
        is_counted=len(first) < COUNTED_AT_MOST and ahead <= COUNTED_AT_MOST,
        due=min(due, COUNTED_AT_MOST),
        processes=len(present),
        able=len(able),
        candidates=_candidates(
            able[:CANDIDATES_AT_MOST], leased, slots, is_whole=view.held() <= COUNTED_AT_MOST
        ),
        starved=dict(view.starved),
        **_of_key(view, task, ended, leased, now),
    )


def _paced_until(view: View, task: Task, now: int) -> int:
    """When the rates of its key, and a snooze of it, let a task start."""
    key = key_of(task.call)
    rates = rates_of(view.state.settings, limits_of(view.key_limits, key, now))
    if not key:
        return now
    return key_opens_at(view.key_logs.get(key, ()), rates, task.call.cost, now)


def _of_key(
    view: View, task: Task, ended: Sequence[Task], leased: Sequence[Task], now: int
) -> dict[str, Any]:
    """What a situation says of keys."""
    key = key_of(task.call)
    if not key:
        return {"takes_turns": view.takes_turns}
    lost = sum(key_of(one.call) == key for one in ended)
    mine = [one for one in leased if key_of(one.call) == key]
    return {
        "takes_turns": view.takes_turns,
        "key_held": view.held_of(key) - lost,
        "key_holders": _holders(mine, now),
        "key_log": view.key_logs.get(key, ()),
        "key_limits": limits_of(view.key_limits, key, now),
    }


def _recovered(state: QueueState, ended: Sequence[Task], now: int) -> QueueState:
    """The state that the next claim will find: judged, and without the probes of ended leases."""
    state = gates.judged(state, now)
    for task in ended:
        state = gates.ended(state, Effect.RETURN_PROBE, task.epoch, now)
    return state


def _light(task: Task) -> Task:
    """The task without its payload and its result, which may be large."""
    return without_payload(task).moved(result=b"")


def _is_before(other: Task, task: Task) -> bool:
    return order_key(other) < order_key(task)


def _holders(leased: Sequence[Task], now: int) -> tuple[Holder, ...]:
    """Some of the running tasks, the longest running first."""
    live = [task for task in leased if task.lease_until > now]
    live.sort(key=lambda task: (task.started_at, task.ticket))
    return tuple(
        Holder(task_id=task.id, process=place_of(holder_of(task.lease)), started_at=task.started_at)
        for task in live[:HOLDERS_AT_MOST]
    )


def _candidates(
    able: Sequence[str], leased: Sequence[Task], slots: Mapping[str, SlotLimit], *, is_whole: bool
) -> tuple[Candidate, ...]:
    held = Counter(holder_of(task.lease) for task in leased)
    return tuple(
        Candidate(incarnation=who, holds=held[who] if is_whole else None, slots=slots.get(who))
        for who in able
    )
