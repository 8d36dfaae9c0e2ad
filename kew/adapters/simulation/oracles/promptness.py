"""Where nothing goes wrong and nothing else runs, a due task doesn't wait for a poll: who can run it was told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from kew.adapters.memory.namespace import MemoryQueue
from kew.adapters.simulation.facts import Facts
from kew.adapters.simulation.oracle import Oracle
from kew.compat import override
from kew.domain.breaker import BreakerState, judged
from kew.domain.task import Task

TOO_LONG_MS: Final = 1500


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
        if not self.facts.plan.is_calm:
            return
        name, at = queue.book.name, self.facts.loop.time()
        ready = [] if is_busy else self._ready(queue, waiting, now)
        if not ready:
            self._since[name] = float("inf")
            return
        self._since[name] = min(self._since[name], at)
        if (at - self._since[name]) * 1000 > TOO_LONG_MS:
            yield f"{ready[:3]} are due, nothing runs, and nobody comes"

    def _ready(self, queue: MemoryQueue, waiting: Mapping[str, Task], now: int) -> list[str]:
        state = queue.book.state
        breaker = judged(state.breaker, state.settings, now)
        if state.paused or breaker.state is BreakerState.OPEN or not queue.present(now):
            return []
        known = set().union(*(queue.book.functions[who] for who in queue.present(now)))
        return [
            task.id
            for task in waiting.values()
            if task.ready_at <= now and task.call.function in known
        ]


ORACLE = Promptness
