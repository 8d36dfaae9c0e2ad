"""Tasks that are not worth starting after a while."""

from __future__ import annotations

from kew.simulation.feature import (
    COMPLETED_OR_CANCELLED,
    MAIN,
    TIGHT,
    Feature,
    User,
    Workload,
)
from kew.simulation.features.controls import pause_for_a_while


async def submit_what_may_expire(user: User) -> None:
    """Some are deferred almost until they expire."""
    for _ in range(user.random.choice((1, 3))):
        asked = user.expect(user.random.choice((MAIN, TIGHT)), COMPLETED_OR_CANCELLED)
        expires_in = user.random.choice((0.5, 2.0, 10.0))
        delay = user.random.choice((0.0, 0.0, 0.9 * expires_in))
        await user.submit(asked, user.script(), _expires_in=expires_in, _defer_by=delay)


FEATURES = (Feature("expiring", submit_what_may_expire, 0.4),)
WORKLOADS = (
    Workload(
        "expiring",
        (
            Feature("expiring", submit_what_may_expire, 3.0),
            Feature("pausing", pause_for_a_while, 0.6),
        ),
    ),
)
