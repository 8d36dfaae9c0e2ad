"""Without faults and other runs, a due task doesn't wait for the slow poll.

A process that can run it was notified, or knows that notifications don't reach it and looks often.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from kew.adapters.memory.namespace import MemoryQueue
from kew.compat import override
from kew.domain.breaker import BreakerState, judged
from kew.domain.key_rooms import KeyRooms
from kew.domain.keys import key_of
from kew.domain.rate import judged as judged_log
from kew.domain.rate import read_logs, room, units_of
from kew.domain.task import PINNED, Task, shelf_of
from kew.simulation.facts import Facts
from kew.simulation.oracle import Oracle
from kew.simulation.oracles import holds

TOO_LONG_MS: Final = 1500
TOO_LONG_WHILE_DEAF_MS: Final = 2500


class Promptness(Oracle):
    """No wake-up is forgotten; the slow poll is for lost notifications."""

    name = "promptness"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._since: dict[str, float] = defaultdict(lambda: float("inf"))

    @override
    def look(
        self, queue: MemoryQueue, waiting: Mapping[str, Task], now: int, *, is_busy: bool
    ) -> Iterator[str]:
        plan = self.facts.plan
        if not plan.is_quiet:
            return
        too_long_ms = TOO_LONG_MS if plan.is_calm else TOO_LONG_WHILE_DEAF_MS
        name, at = queue.indexed.name, self.facts.loop.world_time()
        ready = [] if is_busy else self._ready(queue, waiting, now)
        if not ready:
            self._since[name] = float("inf")
            return
        self._since[name] = min(self._since[name], at)
        if (at - self._since[name]) * 1000 > too_long_ms:
            yield f"{ready[:3]} are due, but no process claims them and nothing runs"

    def _ready(self, queue: MemoryQueue, waiting: Mapping[str, Task], now: int) -> list[str]:
        state = queue.indexed.state
        breaker = judged(state.breaker, state.settings, now)
        if breaker.state is BreakerState.OPEN or not queue.present(now):
            return []
        if any(is_held(state, now) for is_held in holds().values()):
            return []
        due = (task.call.cost for task in waiting.values() if task.ready_at <= now)
        costliest = units_of(max(due, default=1), state.settings.rates)
        logs = read_logs(state.gates.get("rate", ()), state.settings.rates)
        for log, rate in zip(logs, state.settings.rates, strict=True):
            if room(judged_log(log, rate, now), rate, now) < costliest:
                return []
        rooms = KeyRooms(
            settings=state.settings,
            now=now,
            held_of=queue.indexed.held_of,
            logs=queue.indexed.key_logs,
            limits=queue.indexed.key_limits,
        )
        present = queue.present(now)
        known = set[str]().union(*(queue.indexed.functions.get(who, ()) for who in present))
        known.update(PINNED + who for who in present)
        return [
            task.id
            for task in waiting.values()
            if task.ready_at <= now
            and shelf_of(task.call.function) in known
            and rooms.allows(key_of(task.call), task.call.cost)
        ]


ORACLE = Promptness
