"""A user removes everything while processes work."""

from __future__ import annotations

from kew.simulation.feature import Feature, User, Workload
from kew.simulation.features import plain


async def clean(user: User) -> None:
    """Remove every queue with all its tasks and workers; they start again."""
    await user.manager.cleanup()


FEATURES = (Feature("cleaning", clean, 0.05, is_calm=False),)
WORKLOADS = (
    Workload("cleaning", (Feature("cleaning", clean, 0.7, is_calm=False), *plain.FEATURES)),
)
