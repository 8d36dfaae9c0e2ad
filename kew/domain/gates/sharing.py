"""Starved processes are left their part of the limit; `kew.domain.sharing` has the arithmetic."""

from __future__ import annotations

from kew.domain.explaining import Code, Reason, Situation
from kew.domain.gates.gate import Facts, Gate
from kew.domain.incarnations import place_of
from kew.domain.sharing import part_of
from kew.domain.view import QueueState
from kew.domain.words import listed


class Sharing(Gate):
    """It divides what the gates before it leave, so it comes last of those that count."""

    name = "sharing"

    def is_used(self, state: QueueState) -> bool:
        return True  # whether a process is starved is no part of the state

    def room(self, facts: Facts, left: int) -> int | None:
        return _shared(facts, left)[0]

    def next_in_turn(self, facts: Facts, left: int) -> str | None:
        return _shared(facts, left)[1]

    def explain(self, situation: Situation, left: int) -> Reason | None:
        """A starved process is left a part of the limit, and one that can run the task gets none."""
        starved = situation.starved
        for each in situation.candidates if left and starved else ():
            holds = situation.state.settings.max_workers if each.holds is None else each.holds
            part, _ = part_of(left, starved, each.incarnation, holds, situation.now)
            if not part:
                waiting = listed([place_of(who) for who in starved], len(starved))
                text = (
                    f"free slots are kept for processes that have less than their share: {waiting}"
                )
                return Reason(code=Code.PROCESS_SHARE, text=text)
        return None


def _shared(facts: Facts, left: int) -> tuple[int | None, str | None]:
    """How many of the places `left` this claim may take (None: all), and the starved process that is next in turn."""
    request = facts.request
    if request is None or not facts.starved:
        return None, None
    return part_of(left, facts.starved, request.incarnation, request.holds, facts.now)
