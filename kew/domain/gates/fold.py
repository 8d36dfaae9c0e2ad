"""All gates as one: the least room, the earliest opening, the first reason to park. It names no gate."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from kew.domain.config import MOST_WORKERS
from kew.domain.events import Snoozed
from kew.domain.explaining import Reason, Situation
from kew.domain.gates import GATES
from kew.domain.gates.gate import Facts, Gate
from kew.domain.lifecycle import Effect
from kew.domain.task import Task
from kew.domain.view import QueueState


def _defining(question: str) -> tuple[Gate, ...]:
    """The gates that answer a question; the others keep the answer of `Gate`, which has no effect."""
    return tuple(
        gate for gate in GATES if getattr(type(gate), question) is not getattr(Gate, question)
    )


# Found once: claims and settles ask these for each task.
_JUDGED, _AFFORDS, _GRANTED, _ENDED, _PARKS = map(
    _defining, ("judged", "affords", "granted", "ended", "parks")
)


def judged(state: QueueState, now: int) -> QueueState:
    """The state as it is at `now`."""
    for gate in _JUDGED:
        if gate.is_used(state):
            state = gate.judged(state, now)
    return state


def room(facts: Facts) -> int:
    """How many more tasks may start now."""
    return room_and_next(facts)[0]


def room_at(state: QueueState, now: int, held: int, cost: int) -> int:
    """How many more tasks will be able to start at `now`, the first of this cost, if nothing happens until then."""
    return room(Facts(state=judged(state, now), now=now, held=held, cost=cost))


def affordable(facts: Facts, tasks: Sequence[Task]) -> int:
    """How many of the first of these tasks may start together, for what they cost."""
    count = len(tasks)
    for gate in _AFFORDS:
        if gate.is_used(facts.state):
            allowed = gate.affords(facts, tasks)
            count = count if allowed is None else min(count, allowed)
    return count


def room_and_next(facts: Facts) -> tuple[int, str | None]:
    """How many more tasks may start now, and the process that comes first for what is left to others of it."""
    left, next_in_turn = MOST_WORKERS, None
    for gate in GATES:
        if gate.is_used(facts.state):
            next_in_turn = next_in_turn or gate.next_in_turn(facts, left)
            allowed = gate.room(facts, left)
            left = left if allowed is None else min(left, allowed)
    return left, next_in_turn


def opens_at(facts: Facts) -> int | None:
    """The earliest instant at which time alone may bring room."""
    used = (gate for gate in GATES if gate.is_used(facts.state))
    openings = (gate.opens_at(facts) for gate in used)
    return min((instant for instant in openings if instant is not None), default=None)


def opening(facts: Facts) -> int | None:
    """When time alone will have opened every gate, at the earliest: now, if none is closed. None: it won't."""
    at: int | None = facts.now
    for gate in GATES:
        if at is not None and gate.is_used(facts.state) and gate.room(facts, MOST_WORKERS) == 0:
            opens = gate.opens_at(facts)
            at = None if opens is None else max(at, opens)
    return at


def latest_opening(facts: Facts) -> int:
    """When time alone will have opened the gates that it opens: now, if it opens none."""
    used = (gate for gate in GATES if gate.is_used(facts.state))
    openings = (gate.opens_at(facts) for gate in used)
    return max((instant for instant in openings if instant is not None), default=facts.now)


def explain(situation: Situation) -> Iterator[Reason]:
    """Why the gates hold a waiting task."""
    facts = Facts(state=situation.state, now=situation.now, held=situation.held)
    left = MOST_WORKERS
    for gate in GATES:
        if gate.is_used(situation.state):
            reason = gate.explain(situation, left)
            if reason is not None:
                yield reason
            allowed = gate.room(facts, left)
            left = left if allowed is None else min(left, allowed)


def parks(state: QueueState, incarnation: str, known: Collection[str], function: str) -> str | None:
    """The first reason to set aside a task of this function, for a process that can run the `known` ones."""
    used = (gate for gate in _PARKS if gate.is_used(state))
    reasons = (gate.parks(incarnation, known, function) for gate in used)
    return next((reason for reason in reasons if reason is not None), None)


def granted(state: QueueState, tasks: Sequence[Task], now: int) -> QueueState:
    """The state after these tasks were granted leases."""
    for gate in _GRANTED if tasks else ():
        if gate.is_used(state):
            state = gate.granted(state, tasks, now)
    return state


def ended(state: QueueState, effect: Effect | None, epoch: int, now: int) -> QueueState:
    """The state after a lease of `epoch` ended."""
    for gate in _ENDED:
        if gate.is_used(state):
            state = gate.ended(state, effect, epoch, now)
    return state


def snoozed(state: QueueState, task: Task, event: Snoozed, now: int) -> QueueState:
    """The state after a run of this task asked to come back later."""
    for gate in GATES:
        state = gate.snoozed(state, task, event, now)
    return state


def resumed(state: QueueState) -> QueueState:
    """The state after a person resumed the queue."""
    for gate in GATES:
        if gate.is_used(state):
            state = gate.resumed(state)
    return state
