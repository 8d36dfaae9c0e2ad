"""One id, several submitters: exactly one of them is told that it is in."""

from __future__ import annotations

import asyncio

from kew.adapters.simulation.feature import MAIN, Feature, User, Workload
from kew.adapters.simulation.handlers import Script, perform
from kew.domain.errors import QueueFullError, SubmitUncertainError, TaskAlreadyExistsError


async def submit_twice(user: User) -> None:
    """Two concurrent submits of one id from one process."""
    asked, began = user.expect(MAIN), user.facts.loop.time()
    told = await asyncio.gather(*(_submit(user, asked.id, user.script()) for _ in range(2)))
    # A store that forgot the first of them in between rightly takes the second.
    if told.count("accepted") > 1 and user.facts.forgotten_at < began:
        user.fail(f"{asked.id} was accepted twice")
    if told.count("exists") > 1:
        user.fail(f"{asked.id} was refused to both of its submitters")
    if "accepted" in told:
        user.facts.accepted(asked.id)


async def _submit(user: User, task_id: str, script: Script) -> str:
    try:
        await user.manager.submit_task(task_id, MAIN, "simulated", perform, None, script)
    except TaskAlreadyExistsError:
        return "exists"
    except (SubmitUncertainError, QueueFullError):
        return "unknown"
    return "accepted"


FEATURES = (Feature("twins", submit_twice, 0.5),)
WORKLOADS = (Workload("identity", FEATURES),)
