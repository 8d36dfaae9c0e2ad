"""A queue that no process works on is created, looked at and removed, by whichever process comes first."""

from __future__ import annotations

import contextlib

from kew.domain.config import QueueConfig
from kew.domain.errors import QueueInUseError, QueueNotFoundError
from kew.simulation.feature import Feature, User, Workload

SPARE = "spare"


async def create_a_queue(user: User) -> None:
    """It has no tasks, and this process only submits to it."""
    if SPARE not in user.manager.queues:
        await user.manager.create_queue(QueueConfig(SPARE), work=False)


async def remove_a_queue(user: User) -> None:
    """The process that created it can't; any other learns that it is gone, or that there was none."""
    with contextlib.suppress(QueueInUseError, QueueNotFoundError):
        await user.manager.delete_queue(SPARE)


FEATURES = (
    Feature("creating", create_a_queue, 0.1),
    Feature("removing", remove_a_queue, 1.0),
)
WORKLOADS = (Workload("removing", FEATURES),)
