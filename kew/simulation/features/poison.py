"""Tasks that take their process down: they end, after a bounded number of processes."""

from __future__ import annotations

from kew.simulation.feature import ANY_END, MAIN, RISKY, Feature, User, Workload


async def crash_once(user: User) -> None:
    """The second process survives it."""
    asked = user.expect(MAIN, ANY_END)
    await user.submit(asked, user.script(crashes=1))


async def crash_always(user: User) -> None:
    """It kills every process that runs it; `max_deliveries` of the queue is small."""
    asked = user.expect(RISKY, ANY_END)
    await user.submit(asked, user.script(crashes=99))


FEATURES = (
    Feature("crashing once", crash_once, 0.3, is_calm=False),
    Feature("poison", crash_always, 0.1, is_calm=False),
)
WORKLOADS = (Workload("poison", FEATURES),)
