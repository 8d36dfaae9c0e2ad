"""Time limits, tasks that may run once at most, and many tasks for few places."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from kew.domain.config import QueueConfig
from kew.simulation.feature import (
    ANY_END,
    COMPLETED,
    FAILED,
    MAIN,
    TIGHT,
    Feature,
    User,
    Workload,
)
from kew.simulation.handlers import perform_in_time, perform_once


async def take_too_long(user: User) -> None:
    """Longer than its function's timeout: a failure like any other."""
    if not user.host.knows_all:
        return  # here the function has no timeout of its own
    asked = user.expect(MAIN, FAILED)
    await user.submit(asked, user.script(pauses=[5.0]), function=perform_in_time)


async def run_once(user: User) -> None:
    """Whatever happens, its code begins once."""
    ends = COMPLETED if user.facts.plan.is_calm else ANY_END
    asked = user.expect(user.random.choice((MAIN, TIGHT)), ends, at_most_once=user.host.knows_all)
    await user.submit(asked, user.script(), function=perform_once)


async def crowd(user: User) -> None:
    """More tasks than places."""
    for _ in range(6):
        await user.submit(user.expect(TIGHT), user.script(pauses=[user.random.random()]))


def narrow_queues(random: Random) -> Sequence[QueueConfig]:
    """One place each, short leases."""
    return [
        QueueConfig(name, max_workers=1, lease=1.0, max_circuit_breaker_failures=None)
        for name in (MAIN, TIGHT)
    ]


FEATURES = (
    Feature("timeouts", take_too_long, 0.4),
    Feature("at most once", run_once),
    Feature("crowds", crowd, 0.4),
)
WORKLOADS = (Workload("limits", FEATURES, narrow_queues),)
