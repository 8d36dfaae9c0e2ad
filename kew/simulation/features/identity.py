"""One id, several submitters: exactly one of them gets the answer that it was stored."""

from __future__ import annotations

import asyncio

from kew.domain.errors import QueueFullError, SubmitUncertainError, TaskAlreadyExistsError
from kew.simulation.feature import MAIN, Feature, User, Workload
from kew.simulation.handlers import Script, perform


async def submit_twice(user: User) -> None:
    """Two concurrent submits of one id from one process."""
    asked, began = user.expect(MAIN), user.facts.loop.world_time()
    told = await asyncio.gather(*(_submit(user, asked.id, user.script()) for _ in range(2)))
    # A store that forgot the first of them in between rightly takes the second.
    if told.count("accepted") > 1 and user.facts.forgotten_at < began:
        user.fail(f"{asked.id} was accepted twice")
    if told.count("exists") > 1:
        user.fail(f"{asked.id} was refused twice")
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
