"""Why a task isn't running: the oracle of explanations judges the answers."""

from __future__ import annotations

from kew.domain.errors import TaskNotFoundError
from kew.simulation.feature import MAIN, RISKY, TIGHT, Feature, User, Workload


async def explain_one(user: User) -> None:
    """A task of any process, or one of its own that waits for later."""
    task_id = user.random.choice(user.facts.board).task_id if user.facts.board else ""
    if not task_id or user.random.random() < 0.5:
        asked = user.expect(user.random.choice((MAIN, RISKY, TIGHT)))
        await user.submit(asked, user.script(), _defer_by=round(5 * user.random.random(), 3))
        task_id = asked.id
    try:
        why = await user.manager.explain(task_id)
    except TaskNotFoundError:
        user.check_gone(task_id)
    else:
        if why.task_id != task_id or not str(why):
            user.fail(f"no explanation of {task_id}: {why!r}")


FEATURES = (Feature("explaining", explain_one, 0.7),)
WORKLOADS = (Workload("explaining", FEATURES),)
