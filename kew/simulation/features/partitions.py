"""One id in the queues of several partitions: not in the mix, since it means most where the store has partitions."""

from __future__ import annotations

import asyncio
from typing import Final

from kew.domain.errors import (
    QueueDrainingError,
    QueueFullError,
    StoreUnavailableError,
    SubmitUncertainError,
    TaskAlreadyExistsError,
)
from kew.simulation.feature import ANY_END, MAIN, RISKY, TIGHT, Feature, User, Workload
from kew.simulation.features import plain
from kew.simulation.handlers import Script, perform

EVERYWHERE: Final = (MAIN, RISKY, TIGHT)
BURST: Final = 8  # more than fit into the tight queue, at times


async def submit_everywhere(user: User) -> None:
    """Concurrent submits of one id to all queues: exactly one is stored."""
    asked = user.expect(MAIN, ANY_END)
    queues = user.random.sample(EVERYWHERE, len(EVERYWHERE))
    told = await asyncio.gather(
        *(_submit(user, asked.id, queue, user.script()) for queue in queues)
    )
    is_free_again = asked.id in user.facts.expired_by_leap  # the first task's record had expired
    if told.count("accepted") > 1 and not is_free_again:
        user.fail(f"{asked.id} was accepted by several queues: {told}")
    if told.count("exists") == len(told):
        user.fail(f"{asked.id} was refused by all queues")
    if "accepted" in told:
        user.facts.accepted(asked.id)


async def submit_too_much(user: User) -> None:
    """More than a queue has room for: what it refuses leaves nothing behind."""
    for _ in range(BURST):
        asked = user.expect(TIGHT)
        await user.submit(asked, Script(pauses=[]))


async def _submit(user: User, task_id: str, queue: str, script: Script) -> str:
    try:
        await user.manager.submit_task(task_id, queue, "simulated", perform, None, script)
    except TaskAlreadyExistsError:
        return "exists"
    except (SubmitUncertainError, StoreUnavailableError, QueueFullError, QueueDrainingError):
        return "unknown"
    return "accepted"


WORKLOADS = (
    Workload(
        "partitions",
        (
            Feature("everywhere", submit_everywhere, 3.0),
            Feature("too much", submit_too_much, 0.5),
            *plain.FEATURES,
        ),
    ),
)
