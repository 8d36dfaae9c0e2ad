"""At most so many tasks of one key run at once: a claim passes over a key at its limit. `kew.domain.keys` has turns."""

from __future__ import annotations

from kew.domain.explaining import Code, Reason, Situation
from kew.domain.gates.gate import Gate
from kew.domain.keys import key_of
from kew.domain.view import QueueState
from kew.domain.words import listed, tasks_text


class Keys(Gate):
    """It holds back single tasks, so it leaves the room of the queue as it is."""

    name = "keys"

    def is_used(self, state: QueueState) -> bool:
        return state.settings.key_workers > 0

    def explain(self, situation: Situation, left: int) -> Reason | None:
        limit, key = situation.state.settings.key_workers, key_of(situation.task.call)
        if not key or situation.key_held < limit:
            return None
        named = [f"{each.task_id} in {each.process}" for each in situation.key_holders]
        running = f"{tasks_text(situation.key_held)} already, as many as per_key allows"
        text = f"its key {key!r} runs {running}"
        if named:
            text += f": {listed(named, situation.key_held)}"
        return Reason(code=Code.KEY_FULL, text=text, holders=situation.key_holders)
