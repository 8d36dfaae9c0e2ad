"""Tasks for later: after a delay by the store's clock, or at an instant that a person names by their own."""

from __future__ import annotations

import math

from kew.simulation.feature import MAIN, TIGHT, Feature, User, Workload

DELAYS = (0.5, 3.0, 20.0, 60.0)


async def submit_for_later(user: User) -> None:
    """A delay in seconds."""
    seconds = round(user.random.choice(DELAYS) * user.random.random(), 3)
    asked = user.expect(user.random.choice((MAIN, TIGHT)))
    await user.submit(asked, user.script(), _defer_by=seconds)


async def submit_for_an_instant(user: User) -> None:
    """An instant, by a clock that may be wrong."""
    until = user.instant(user.random.choice((-5.0, 1.0, 10.0)))
    asked = user.expect(MAIN, due_at=math.ceil(until.timestamp() * 1000))
    if until.timestamp() - user.store_time() < user.facts.plan.horizon + 300:  # not a day ahead
        await user.submit(asked, user.script(), _defer_until=until)


FEATURES = (
    Feature("delay", submit_for_later, 2.0),
    Feature("instant", submit_for_an_instant),
)
WORKLOADS = (Workload("deferral", FEATURES),)
