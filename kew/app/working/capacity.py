"""A manager's `max_concurrency`: how many tasks all its queues may run at once, served by the queues' priority."""

from __future__ import annotations

from typing import Protocol

from kew.domain.config import QueueConfig
from kew.domain.explaining import SlotLimit


class Claimant(Protocol):
    """A queue's worker, as far as sharing capacity goes."""

    priority: int
    missing: int  # slots that it would use if it had them; 0: it knows of no waiting work

    def load(self) -> int:
        """Slots in use or reserved."""
        ...

    def wake(self) -> None:
        """Look for work now."""


class Capacity:
    """Slots shared by the workers of one process; `total` None: no bound."""

    def __init__(self, total: int | None = None) -> None:
        self._total = total
        self._claimants: list[Claimant] = []

    def slots_of(self, config: QueueConfig) -> SlotLimit:
        """How many tasks of a queue this process runs at once, for other processes to know."""
        bounds = (config.max_workers_per_process, self._total)
        return SlotLimit(
            min((bound for bound in bounds if bound is not None), default=0),
            is_shared=self._total is not None,
        )

    def join(self, claimant: Claimant) -> None:
        """Share with this worker from now on."""
        self._claimants.append(claimant)

    def leave(self, claimant: Claimant) -> None:
        """Share with it no more."""
        if claimant in self._claimants:
            self._claimants.remove(claimant)

    def offer(self, claimant: Claimant, want: int, *, settling: int = 0) -> int:
        """How many of `want` slots it may use now; `settling` of its own are about to be free.

        What queues of a higher priority are known to want is left for them.
        """
        if self._total is None:
            return want
        free = self._total - sum(each.load() for each in self._claimants) + settling
        free -= sum(each.missing for each in self._claimants if each.priority < claimant.priority)
        given = max(0, min(want, free))
        claimant.missing = want - given
        return given

    def freed(self) -> None:
        """Slots became free: starved queues look for work, by priority."""
        if self._total is not None:
            for claimant in sorted(self._claimants, key=lambda each: each.priority):
                if claimant.missing:
                    claimant.wake()
