"""Tasks that fail: once or twice, for good, or asking for a delay of their own."""

from __future__ import annotations

from kew.simulation.feature import COMPLETED, FAILED, MAIN, Feature, User, Workload
from kew.simulation.handlers import perform, perform_patiently

PATIENCE = 3  # retries of `perform_patiently`


async def fail_a_little(user: User) -> None:
    """Fewer failures than retries."""
    if not user.host.knows_all:
        return  # here the function has no retries of its own
    asked = user.expect(MAIN, COMPLETED, max_retries=PATIENCE)
    script = user.script(failures=user.random.randrange(1, PATIENCE + 1))
    await user.submit(asked, script, function=perform_patiently)


async def fail_always(user: User) -> None:
    """A dead letter in the end."""
    asked = user.expect(MAIN, FAILED, max_retries=PATIENCE if user.host.knows_all else None)
    await user.submit(asked, user.script(failures=99), function=perform_patiently)


async def ask_for_retries(user: User) -> None:
    """The task says when; the queue says how often."""
    asked = user.expect(MAIN, COMPLETED)
    await user.submit(asked, user.script(failures=1, raises="retry"), function=perform)


async def give_up(user: User) -> None:
    """Retries are left, and of no use."""
    asked = user.expect(MAIN, FAILED)
    script = user.script(failures=99, raises="give up")
    await user.submit(asked, script, function=perform_patiently)


FEATURES = (
    Feature("retries", fail_a_little, 2.0),
    Feature("dead letters", fail_always, 0.5),
    Feature("retry after", ask_for_retries, 0.7),
    Feature("giving up", give_up, 0.5),
)
WORKLOADS = (Workload("retries", FEATURES),)
