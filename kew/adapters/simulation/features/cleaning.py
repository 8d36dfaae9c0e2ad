"""Somebody removes everything while others work."""

from __future__ import annotations

from kew.adapters.simulation.feature import Feature, User, Workload
from kew.adapters.simulation.features import plain


async def clean(user: User) -> None:
    """Every queue, with all its tasks and workers: they begin anew."""
    await user.manager.cleanup()


FEATURES = (Feature("cleaning", clean, 0.05, is_calm=False),)
WORKLOADS = (
    Workload("cleaning", (Feature("cleaning", clean, 0.7, is_calm=False), *plain.FEATURES)),
)
