"""At most `max_workers` tasks of a queue run at once, over all processes. Every current lease counts."""

from __future__ import annotations

from kew.domain.explaining import Code, Reason, Situation
from kew.domain.gates.gate import Facts, Gate
from kew.domain.view import QueueState
from kew.domain.words import listed, tasks_text


class Limit(Gate):
    """Full at `max_workers` leases; a lease that isn't extended ends by itself, and its task can start again."""

    name = "limit"

    def is_used(self, state: QueueState) -> bool:
        return True

    def room(self, facts: Facts, left: int) -> int | None:
        return max(0, facts.state.settings.max_workers - facts.held)

    def opens_at(self, facts: Facts) -> int | None:
        return facts.lease_end

    def explain(self, situation: Situation, left: int) -> Reason | None:
        if situation.held < situation.state.settings.max_workers:
            return None
        running = f"{tasks_text(situation.held)} already, as many as max_workers allows"
        named = [f"{each.task_id} in {each.process}" for each in situation.holders]
        text = f"the queue runs {running}: {listed(named, situation.held)}"
        return Reason(code=Code.SLOTS_FULL, text=text, holders=situation.holders)
