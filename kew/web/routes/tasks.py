"""Tasks: one of them, why it isn't running, and what operators do to it."""

from __future__ import annotations

from fastapi import APIRouter, Request

from kew import InvalidTaskError, TaskArguments, UnknownFunctionError
from kew.app.inspector import NOT_CHANGED
from kew.web import models, requests
from kew.web.problems import ApiError, documented
from kew.web.routes.common import Answer, Manager, TaskId

router = APIRouter(tags=["tasks"])
READ = documented(404, 409)
CHANGE = documented(400, 404, 409, 413)
HIDDEN = "this admin API shows neither arguments nor results"


@router.get("/api/tasks/{task_id}", response_model=models.TaskRow, responses=READ)
async def task(request: Request, here: Manager, task_id: TaskId) -> Answer:
    """A task's status. `redacted`: its result isn't shown."""
    found = dict(await here.get_task_status(task_id))
    if not request.app.state.shows_payloads:
        found |= {"result": None, "redacted": True}
    return Answer(found)


@router.get("/api/tasks/{task_id}/arguments", response_model=models.ArgumentsShown, responses=READ)
async def arguments(request: Request, here: Manager, task_id: TaskId) -> Answer:
    """What a task was called with, as plain data, or why that isn't shown."""
    found = await here.get_task_arguments(task_id)
    if not request.app.state.shows_payloads:
        found = TaskArguments(args=None, kwargs=None, unreadable=HIDDEN)
    return Answer(found.to_dict())


@router.get("/api/tasks/{task_id}/explain", response_model=models.Why, responses=READ)
async def explain(here: Manager, task_id: TaskId) -> Answer:
    """Why the task isn't running, and when it can."""
    return Answer((await here.explain(task_id)).to_dict())


@router.post("/api/tasks/{task_id}/cancel", response_model=models.Cancelled, responses=CHANGE)
async def cancel(here: Manager, task_id: TaskId) -> Answer:
    """Cancel a task that waits, or ask its run to stop. `cancelled` is false if it had ended otherwise."""
    return Answer({"cancelled": await here.cancel_task(task_id)})


@router.post("/api/tasks/{task_id}/replay", response_model=models.Replayed, responses=CHANGE)
async def replay(
    request: Request, here: Manager, task_id: TaskId, body: requests.Arguments | None = None
) -> Answer:
    """Let a failed or cancelled task wait again. `replayed` is false if it had completed.

    Other arguments take the place of all that it had; this process must know the task's function then.
    """
    args, kwargs = (body.args, body.kwargs) if body else (None, None)
    if args is not None or kwargs is not None:
        request.state.details = {"arguments": "changed"}
    try:
        return Answer({"replayed": await here.replay_task(task_id, args=args, kwargs=kwargs)})
    except InvalidTaskError as error:
        if isinstance(error.__cause__, UnknownFunctionError):
            raise ApiError(409, "function-unknown", error.reason) from error
        if error.reason.startswith(NOT_CHANGED):
            raise ApiError(409, "not-failed", error.reason) from error
        raise ApiError(422, "invalid-task", error.reason) from error
