"""Tasks: one of them, and why it isn't running."""

from __future__ import annotations

from fastapi import APIRouter

from kew.web import models
from kew.web.problems import documented
from kew.web.routes.common import Answer, Manager, TaskId

router = APIRouter(tags=["tasks"])


@router.get("/api/tasks/{task_id}", response_model=models.TaskRow, responses=documented(404, 409))
async def task(here: Manager, task_id: TaskId) -> Answer:
    """A task's status."""
    return Answer(dict(await here.get_task_status(task_id)))


@router.get(
    "/api/tasks/{task_id}/explain", response_model=models.Why, responses=documented(404, 409)
)
async def explain(here: Manager, task_id: TaskId) -> Answer:
    """Why the task isn't running, and when it can."""
    return Answer((await here.explain(task_id)).to_dict())
