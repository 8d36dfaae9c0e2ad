"""What a gate is: one rule that can hold a task back, and what it is asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

import attrs

from kew.domain.events import Snoozed
from kew.domain.explaining import Reason, Situation
from kew.domain.lifecycle import Effect
from kew.domain.requests import ClaimRequest
from kew.domain.sharing import Starved
from kew.domain.task import Task
from kew.domain.view import QueueState, View


@attrs.frozen(kw_only=True)
class Facts:
    """One queue at one instant, as gates see it; its state has been judged.

    `held`: how many leases are current. `lease_end`: the earliest end of one (ms). `request`: the claim that asks;
    None: the question is for any process. `cost`: what the next task costs that is to start.
    """

    state: QueueState
    now: int
    held: int
    lease_end: int | None = None
    starved: Mapping[str, Starved] = attrs.field(factory=dict)
    request: ClaimRequest | None = None
    cost: int = 1


def facts_of(view: View, state: QueueState, request: ClaimRequest | None, now: int) -> Facts:
    """The facts of a queue, with a state that has been judged."""
    return Facts(
        state=state,
        now=now,
        held=view.held(),
        lease_end=view.next_lease_end(),
        starved=view.starved,
        request=request,
    )


class Gate:
    """One rule. What a gate doesn't define has no effect.

    A gate is pure and has no state of its own: its memory is in the queue's state.
    """

    name: ClassVar[str]

    def is_used(self, state: QueueState) -> bool:
        """Whether the queue uses it. If not, nothing else is asked."""
        raise NotImplementedError

    def judged(self, state: QueueState, now: int) -> QueueState:
        """The state as it is at `now`: time alone may have changed it."""
        return state

    def room(self, facts: Facts, left: int) -> int | None:
        """How many more tasks may start, of the `left` that the gates before it allow; None: no opinion."""
        return None

    def next_in_turn(self, facts: Facts, left: int) -> str | None:
        """The process that comes first for what this claim leaves of `left`, if it leaves any of it on purpose."""
        return None

    def opens_at(self, facts: Facts) -> int | None:
        """When time alone may bring room (ms); None: there is room, or time alone doesn't bring it."""
        return None

    def parks(self, incarnation: str, known: Collection[str], function: str) -> str | None:
        """The reason under which a task of this function is set aside, if it can't start in this process."""
        return None

    def affords(self, facts: Facts, tasks: Sequence[Task]) -> int | None:
        """How many of the first of these tasks may start together, for what they cost; None: no opinion."""
        return None

    def granted(self, state: QueueState, tasks: Sequence[Task], now: int) -> QueueState:
        """The state after these tasks (at least 1) were granted leases."""
        return state

    def ended(self, state: QueueState, effect: Effect | None, epoch: int, now: int) -> QueueState:
        """The state after a lease of this `epoch` of the breaker ended; `effect`: what its end counts as."""
        return state

    def snoozed(self, state: QueueState, task: Task, event: Snoozed, now: int) -> QueueState:
        """The state after a run of this task asked to come back later."""
        return state

    def resumed(self, state: QueueState) -> QueueState:
        """The state after a person resumed the queue."""
        return state

    def explain(self, situation: Situation, left: int) -> Reason | None:
        """Why it holds a waiting task, if the gates before it let `left` tasks start; None: it doesn't."""
        return None
