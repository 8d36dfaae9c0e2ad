"""Tasks as they are most of the time: coroutines and plain functions, of every priority."""

from __future__ import annotations

from kew.simulation.feature import MAIN, RISKY, TIGHT, Feature, User
from kew.simulation.handlers import perform, perform_plainly


async def submit_one(user: User) -> None:
    """A task on any queue."""
    queue = user.random.choice((MAIN, MAIN, RISKY, TIGHT))
    await user.submit(user.expect(queue), user.script())


async def submit_plain(user: User) -> None:
    """A plain function, which can't be stopped."""
    await user.submit(user.expect(MAIN), user.script(), function=perform_plainly)


async def submit_burst(user: User) -> None:
    """Several at once, from concurrent callers: they share a round trip."""
    for _ in range(user.random.randrange(3, 8)):
        queue = user.random.choice((MAIN, TIGHT))
        await user.submit(user.expect(queue), user.script(), function=perform)


FEATURES = (
    Feature("plain", submit_one, 4.0),
    Feature("threads", submit_plain),
    Feature("burst", submit_burst),
)
