"""Tasks that save what they have done, and report how far they are."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from kew.domain.config import QueueConfig
from kew.simulation.feature import COMPLETED, MAIN, RISKY, TIGHT, Feature, User, Workload

MOST_STEPS = 6


async def save_steps(user: User) -> None:
    """A task of a few steps, each of which is saved; its first attempts may fail."""
    await _save(user, user.random.choice((MAIN, TIGHT)), user.random.choice((0, 0, 1, 2)))


async def save_in_the_mix(user: User) -> None:
    """As `save_steps`, on a queue that retries in the mix, too."""
    await _save(user, MAIN, user.random.choice((0, 0, 1)))


async def _save(user: User, queue: str, failures: int) -> None:
    asked = user.expect(queue, COMPLETED)
    steps = user.random.randrange(1, MOST_STEPS)
    pauses = [user.random.choice((0.01, 0.3, 1.2, 2.0)) for _ in range(steps)]
    script = user.script(pauses=pauses, saves=True, failures=failures, raises="retry")
    await user.submit(asked, script)


def short_leases(random: Random) -> Sequence[QueueConfig]:
    """Queues whose leases end soon if they aren't extended, and whose tasks may fail a few times."""
    return [
        QueueConfig(
            name, lease=2.0, max_retries=3, max_workers=3, max_circuit_breaker_failures=None
        )
        for name in (MAIN, RISKY, TIGHT)
    ]


FEATURES = (Feature("saving", save_in_the_mix, 0.5),)
WORKLOADS = (Workload("saving", (Feature("saving", save_steps),), short_leases),)
