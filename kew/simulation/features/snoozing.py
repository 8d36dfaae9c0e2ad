"""Tasks that come back later: alone, with their whole queue, and once too often."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from kew.domain.config import QueueConfig
from kew.simulation.feature import COMPLETED, FAILED, MAIN, RISKY, TIGHT, Feature, User, Workload
from kew.simulation.handlers import perform, perform_plainly

BOUND = 4  # `max_snoozes` of the queues below
QUEUES = (MAIN, RISKY, TIGHT)


async def snooze_a_little(user: User) -> None:
    """A few snoozes, which use no retry up and don't count for the breaker."""
    asked = user.expect(user.random.choice(QUEUES), COMPLETED)
    script = user.script(failures=user.random.randrange(1, BOUND), raises="snooze")
    await user.submit(asked, script, function=user.random.choice((perform, perform_plainly)))


async def meet_a_rate_limit(user: User) -> None:
    """Its queue starts nothing for a moment."""
    asked = user.expect(user.random.choice(QUEUES), COMPLETED)
    await user.submit(asked, user.script(failures=1, raises="rate limited"))


async def snooze_beside_an_error(user: User) -> None:
    """A failure, which costs a retry."""
    asked = user.expect(MAIN, COMPLETED)
    await user.submit(asked, user.script(failures=1, raises="snooze and error"))


async def snooze_for_ever(user: User) -> None:
    """It fails in the end, since it came back too often."""
    asked = user.expect(user.random.choice(QUEUES), FAILED)
    await user.submit(asked, user.script(failures=9999, raises="snooze"))


async def resume(user: User) -> None:
    """A person ends the snooze of a queue, or there is none."""
    await user.manager.resume_queue(user.random.choice(QUEUES))


def bounded_queues(random: Random) -> Sequence[QueueConfig]:
    """Queues whose tasks may snooze a few times; one has a breaker that opens at once."""
    common: dict[str, Any] = {"max_snoozes": BOUND, "max_workers": random.choice((1, 3))}
    main = QueueConfig(MAIN, lease=3.0, max_retries=2, max_circuit_breaker_failures=None, **common)
    risky = QueueConfig(
        RISKY,
        lease=6.0,
        max_circuit_breaker_failures=1,
        circuit_breaker_reset_timeout=2.0,
        **common,
    )
    tight = QueueConfig(TIGHT, lease=2.0, max_circuit_breaker_failures=None, **common)
    return (main, risky, tight)


FEATURES = (
    Feature("snoozing", snooze_a_little, 0.5),
    Feature("rate limits met", meet_a_rate_limit, 0.3),
)
WORKLOADS = (
    Workload(
        "snoozing",
        (
            Feature("snoozing", snooze_a_little, 3.0),
            Feature("rate limits met", meet_a_rate_limit, 1.0),
            Feature("snoozing beside an error", snooze_beside_an_error),
            Feature("snoozing for ever", snooze_for_ever),
            Feature("resuming", resume, 0.5),
        ),
        bounded_queues,
    ),
)
