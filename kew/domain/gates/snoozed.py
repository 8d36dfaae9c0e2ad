"""A snoozed queue starts nothing until an instant; what runs goes on. A task asked: `RateLimited(scope="queue")`."""

from __future__ import annotations

import attrs

from kew.domain.events import Snoozed
from kew.domain.explaining import Code, Reason, Situation, Sure
from kew.domain.gates.gate import Facts, Gate
from kew.domain.task import Task
from kew.domain.view import QueueState
from kew.domain.words import until_text


class SnoozedQueue(Gate):
    """Its memory is the instant at which the queue goes on, and how long before that the snooze began (both in ms).

    The second number bounds the wait if the clock steps back. Without a snooze there is no memory.
    """

    name = "snoozed"

    def is_used(self, state: QueueState) -> bool:
        return self.name in state.gates

    def judged(self, state: QueueState, now: int) -> QueueState:
        until_at, length = state.gates[self.name]
        if until_at <= now:
            return self.resumed(state)
        return self._until(state, min(until_at, now + length), length)

    def room(self, facts: Facts, left: int) -> int | None:
        return 0 if _ends_at(facts.state) > facts.now else None

    def opens_at(self, facts: Facts) -> int | None:
        until_at = _ends_at(facts.state)
        return until_at if until_at > facts.now else None

    def snoozed(self, state: QueueState, task: Task, event: Snoozed, now: int) -> QueueState:
        """A later instant wins over an earlier one."""
        if event.scope != "queue":
            return state
        before = self.judged(state, now) if self.is_used(state) else state
        if event.after_ms <= 0 or _ends_at(before) >= now + event.after_ms:
            return before
        return self._until(before, now + event.after_ms, event.after_ms)

    def resumed(self, state: QueueState) -> QueueState:
        gates = {name: memory for name, memory in state.gates.items() if name != self.name}
        return attrs.evolve(state, gates=gates)

    def explain(self, situation: Situation, left: int) -> Reason | None:
        until_at = _ends_at(situation.state)
        if until_at <= situation.now:
            return None
        when = until_text(until_at, situation.now)
        text = f"a task snoozed its queue for another {when}, or until resume_queue()"
        return Reason(code=Code.QUEUE_SNOOZED, text=text, sure=Sure.EXACT, until_at=until_at)

    def _until(self, state: QueueState, until_at: int, length: int) -> QueueState:
        if state.gates.get(self.name) == (until_at, length):
            return state
        return attrs.evolve(state, gates={**state.gates, self.name: (until_at, length)})


def snoozed_until(state: QueueState) -> int | None:
    """When a snoozed queue goes on (ms); None: it isn't snoozed. The state has been judged."""
    return _ends_at(state) or None


def _ends_at(state: QueueState) -> int:
    return state.gates.get(SnoozedQueue.name, (0, 0))[0]
