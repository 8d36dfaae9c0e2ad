"""Tasks that are cancelled while they wait or run; some ignore it."""

from __future__ import annotations

from kew.domain.errors import TaskNotFoundError
from kew.simulation.feature import (
    COMPLETED_OR_CANCELLED,
    MAIN,
    TIGHT,
    Feature,
    User,
    Workload,
)


async def cancel_soon(user: User) -> None:
    """Cancel while it waits, runs or has just ended."""
    asked = user.expect(user.random.choice((MAIN, TIGHT)), COMPLETED_OR_CANCELLED)
    script = user.script(pauses=[user.random.choice((0.1, 4.0, 12.0))])
    handle = await user.submit(asked, script, _defer_by=user.random.choice((None, None, 3.0)))
    if handle is None:
        return
    await user.pause(0.01, 3.0)
    await cancel(user, asked.id)


async def cancel_a_refuser(user: User) -> None:
    """It goes on, keeps its lease and its slot, and may fail in the end: a cancelled task isn't retried."""
    asked = user.expect(MAIN, COMPLETED_OR_CANCELLED)
    script = user.script(pauses=[6.0, 1.0], refuses=True, failures=user.random.choice((0, 1)))
    handle = await user.submit(asked, script)
    if handle is not None:
        await user.pause(3.0)
        await cancel(user, asked.id)


async def cancel(user: User, task_id: str) -> None:
    """Cancel a task, which may have expired meanwhile."""
    try:
        await user.manager.cancel_task(task_id)
    except TaskNotFoundError:
        user.check_gone(task_id)


FEATURES = (
    Feature("cancelling", cancel_soon, 1.5),
    Feature("refusing", cancel_a_refuser, 0.4),
)
WORKLOADS = (Workload("cancelling", FEATURES),)
