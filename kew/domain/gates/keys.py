"""At most so many tasks of one key run at once: a claim passes over a key at its limit. `kew.domain.keys` has turns."""

from __future__ import annotations

from kew.domain.explaining import Code, Reason, Situation
from kew.domain.gates.gate import Gate
from kew.domain.key_limits import workers_of
from kew.domain.keys import LATEST, key_of
from kew.domain.view import QueueState
from kew.domain.words import listed, tasks_text


class Keys(Gate):
    """It holds back single tasks, so it leaves the room of the queue as it is."""

    name = "keys"

    def is_used(self, state: QueueState) -> bool:
        return True  # whether a key has limits of its own is no part of the state

    def explain(self, situation: Situation, left: int) -> Reason | None:
        own, key = situation.key_limits, key_of(situation.task.call)
        limit = workers_of(situation.state.settings, own, key)
        if not key or not 0 < limit <= situation.key_held:
            return None
        named = [f"{each.task_id} in {each.process}" for each in situation.key_holders]
        allowing = "per_key" if own.workers is None else "its own limit"
        if key.startswith(LATEST):
            allowing = "Latest"
        running = f"{tasks_text(situation.key_held)} already, as many as {allowing} allows"
        text = f"its key {key!r} runs {running}"
        if named:
            text += f": {listed(named, situation.key_held)}"
        return Reason(code=Code.KEY_FULL, text=text, holders=situation.key_holders)
