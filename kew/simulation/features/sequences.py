"""Tasks submitted one after another in the process that runs them: each submit takes the last outcome along."""

from __future__ import annotations

from typing import Final

from kew.simulation.feature import MAIN, TIGHT, Feature, User, Workload

TASKS: Final = 5


async def submit_one_after_another(user: User) -> None:
    """The next is submitted once the store has the one before; most have ended by then, or are about to."""
    queue = user.random.choice((MAIN, TIGHT))
    for _ in range(TASKS):
        pauses = user.random.choice(([], [], [0.003]))
        await user.submit(user.expect(queue), user.script(pauses=pauses))


FEATURES = (Feature("one after another", submit_one_after_another, 1.5),)
WORKLOADS = (Workload("sequences", FEATURES),)
