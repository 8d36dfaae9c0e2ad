"""A paused queue starts nothing; what runs goes on."""

from __future__ import annotations

from kew.domain.explaining import Code, Reason, Situation, Sure
from kew.domain.gates.gate import Facts, Gate
from kew.domain.holding import PAUSED
from kew.domain.view import QueueState
from kew.domain.words import since_text


class Paused(Gate):
    """Closed until a person resumes the queue."""

    name = "paused"

    def is_used(self, state: QueueState) -> bool:
        return state.paused

    def room(self, facts: Facts, left: int) -> int | None:
        return 0

    def explain(self, situation: Situation, left: int) -> Reason | None:
        hold = situation.state.holds.get(PAUSED)
        text = f"the queue is paused{since_text(hold)}, until resume_queue()"
        return Reason(code=Code.PAUSED, text=text, sure=Sure.NEVER)
