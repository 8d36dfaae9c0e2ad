"""Closures: no other process can run them, so they fail when theirs has gone."""

from __future__ import annotations

from kew.simulation.feature import ANY_END, COMPLETED, MAIN, TIGHT, Feature, User, Workload
from kew.simulation.handlers import Script, perform


async def submit_closure(user: User) -> None:
    """A function made on the spot."""
    if not user.host.works:
        return

    async def closure(script: Script) -> str:
        return await perform(script)

    queue = user.random.choice((MAIN, TIGHT))
    ends = COMPLETED if user.facts.plan.is_calm else ANY_END
    asked = user.expect(queue, ends, is_pinned=True)
    later = user.random.choice((None, None, 20.0, 90.0))
    await user.submit(asked, user.script(), function=closure, _defer_by=later)


FEATURES = (Feature("closures", submit_closure),)
WORKLOADS = (Workload("closures", FEATURES),)
