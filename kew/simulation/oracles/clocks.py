"""However far the store's clock jumps, no lease, presence, open breaker or snooze lasts as long as the jump."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from kew.adapters.memory.namespace import MemoryQueue
from kew.app.ports import Extend, Sweep
from kew.app.sweeping import TICKS_PER_SWEEP
from kew.compat import override
from kew.domain.breaker import BreakerState
from kew.domain.task import Task
from kew.simulation.facts import Facts
from kew.simulation.oracle import Oracle, Step

SLACK_S: Final = 20.0  # for answers and restarts, once the faults have stopped


class Clocks(Oracle):
    """What a jump may leave: a sweep and a claim put it right, and a dead worker's slot is free soon after."""

    name = "clocks"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._longest_ms: dict[str, int] = defaultdict(int)  # of the leases of a queue
        self._processes: set[str] = set()
        self._started_at = 0.0  # when the last process made its first claim

    @override
    def judge(self, step: Step) -> Iterator[str]:
        if step.request is not None:
            self._lease_of(step.queue, step.request.lease_ms)
            if step.request.incarnation not in self._processes:
                self._processes.add(step.request.incarnation)
                self._started_at = self.facts.loop.world_time()
            yield from self._claimed(step)
        if isinstance(step.operation, Extend):
            self._lease_of(step.queue, step.operation.lease_ms)
        if isinstance(step.operation, Sweep):
            yield from self._shortened(step)
            if not step.reply.more:
                yield from self._swept(step, step.operation.presence_ms)

    def _lease_of(self, queue: str, lease_ms: int) -> None:
        self._longest_ms[queue] = max(self._longest_ms[queue], lease_ms)

    def _claimed(self, step: Step) -> Iterator[str]:
        """A claim judges the breaker and the queue's snooze, which then end no later than if they had begun now."""
        if step.after is None or not step.is_fresh_claim:
            return
        breaker = step.after.breaker
        if breaker.state is BreakerState.OPEN and breaker.opened_at > step.now:
            yield f"the breaker opened {breaker.opened_at - step.now} ms in the future"
        until_at, length = step.after.gates.get("snoozed", (0, 0))
        if until_at > step.now + length:
            yield f"a snooze of {length} ms lasts another {until_at - step.now} ms"

    def _shortened(self, step: Step) -> Iterator[str]:
        """A sweep shortens a lease to the longest that the queue grants, and no further: its worker may be alive."""
        for one in step.alterations:
            if one.old is None or one.new is None or not one.new.lease or one.is_granted:
                continue
            left = one.new.lease_until - step.now
            if one.new.lease_until != one.old.lease_until and left != self._longest_ms[step.queue]:
                yield f"{one.id}: a sweep changed its lease to last another {left} ms"

    def _swept(self, step: Step, presence_ms: int) -> Iterator[str]:
        for task in step.leased.values():
            left = task.lease_until - step.now
            if left > self._longest_ms[step.queue]:
                yield f"{task.id} is leased for another {left} ms after a sweep"
        for incarnation, end in step.presence.items():
            if end - step.now > presence_ms:
                yield f"{incarnation} is present for another {end - step.now} ms after a sweep"

    @override
    def look(
        self, queue: MemoryQueue, waiting: Mapping[str, Task], now: int, *, is_busy: bool
    ) -> Iterator[str]:
        """Once the faults have stopped, a lease that is not extended ends within a sweep and a lease, in real time.

        Poison goes on to take processes down, and a new one sweeps first after as long as between two sweeps.
        """
        name = queue.indexed.name
        most = TICKS_PER_SWEEP * self.facts.plan.tick + self._longest_ms[name] / 1000 + SLACK_S
        at = self.facts.loop.world_time()
        if at < max(self.facts.healed_at, self._started_at) + most:
            return
        for task in self.facts.records.values():
            lease = self.facts.leases.get((task.id, task.token))
            if task.queue == name and task.lease and lease and at > lease.until + most:
                yield f"{task.id} is still leased {at - lease.until:.0f} s after its lease should have ended"


ORACLE = Clocks
