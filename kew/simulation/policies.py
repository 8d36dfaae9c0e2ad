"""Who runs next, of all that could run now.

asyncio promises that plain callbacks run in the order of `call_soon`, and code relies on it; so
every policy keeps that order, and only chooses among the steps of tasks and the first callback.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping
from random import Random
from typing import Final, Literal, Protocol

from kew.simulation.tasks import LoopCall

PolicyName = Literal["uniform", "pct", "fifo"]


class Policy(Protocol):
    """The calls that are ready, and the choice of the next."""

    def add_step(self, call: LoopCall, /) -> None:
        """Take a step of a task: `call.task` is not None."""
        ...

    def add_callback(self, call: LoopCall, /) -> None:
        """Take a plain callback."""
        ...

    def pick(self) -> LoopCall | None:
        """Remove and return the call to run next, or None if there is none."""
        ...


class Fifo:
    """asyncio's own order: no exploration, a control for the others."""

    def __init__(self, _random: Random) -> None:
        self._calls: deque[LoopCall] = deque()
        self.add_step: Callable[[LoopCall], None] = self._calls.append
        self.add_callback: Callable[[LoopCall], None] = self._calls.append

    def pick(self) -> LoopCall | None:
        return self._calls.popleft() if self._calls else None


class Uniform:
    """Each ready step is equally likely, and so is each callback's turn. Constant time."""

    def __init__(self, random: Random) -> None:
        self._random = random.random
        self._steps: list[LoopCall] = []
        self._callbacks: deque[LoopCall] = deque()
        self.add_step: Callable[[LoopCall], None] = self._steps.append
        self.add_callback: Callable[[LoopCall], None] = self._callbacks.append

    def pick(self) -> LoopCall | None:
        steps = self._steps
        ready = len(steps) + len(self._callbacks)
        if ready <= 1:
            return self._only(steps)
        chosen = int(self._random() * ready)
        if chosen >= len(steps):
            return self._callbacks.popleft()
        steps[chosen], steps[-1] = steps[-1], steps[chosen]
        return steps.pop()

    def _only(self, steps: list[LoopCall]) -> LoopCall | None:
        if steps:
            return steps.pop()
        return self._callbacks.popleft() if self._callbacks else None


class Pct:
    """Strict random priorities: some tasks starve while others run.

    The next process to run is sometimes demoted below all others, so that none is starved forever.
    It finds bugs that need a few steps in an unlikely order, which even choices seldom produce
    ("A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs", Burckhardt and others,
    2010). All plain callbacks together have one priority.
    """

    MAX_STEPS_TO_DEMOTION: Final = 500

    def __init__(self, random: Random) -> None:
        self._random = random
        self._steps: list[
            tuple[float, int, LoopCall]
        ] = []  # a heap: the negated priority, a ticket
        self._callbacks: deque[LoopCall] = deque()
        self._callbacks_priority = random.random()
        self._ticket = 0
        self._lowest = 0.0
        self._until_demotion = self._draw_until_demotion()
        self.add_callback: Callable[[LoopCall], None] = self._callbacks.append

    def add_step(self, call: LoopCall, /) -> None:
        task = call.task
        assert task is not None, "a plain callback was added as a step"
        if task.priority is None:
            task.priority = self._random.random()
        self._ticket += 1
        heapq.heappush(self._steps, (-task.priority, self._ticket, call))

    def pick(self) -> LoopCall | None:
        self._until_demotion -= 1
        if self._until_demotion <= 0:
            self._demote_first()
        if self._callbacks_are_first():
            return self._callbacks.popleft()
        return heapq.heappop(self._steps)[2] if self._steps else None

    def _demote_first(self) -> None:
        """The next process to run now runs after all others."""
        self._until_demotion = self._draw_until_demotion()
        self._lowest -= 1.0
        if self._callbacks_are_first():
            self._callbacks_priority = self._lowest
        elif self._steps:
            call = heapq.heappop(self._steps)[2]
            assert call.task is not None
            call.task.priority = self._lowest
            self.add_step(call)

    def _callbacks_are_first(self) -> bool:
        if not self._callbacks:
            return False
        return not self._steps or self._callbacks_priority > -self._steps[0][0]

    def _draw_until_demotion(self) -> int:
        return self._random.randint(1, self.MAX_STEPS_TO_DEMOTION)


POLICIES: Final[Mapping[PolicyName, Callable[[Random], Policy]]] = {
    "uniform": Uniform,
    "pct": Pct,
    "fifo": Fifo,
}
