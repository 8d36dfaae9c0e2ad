"""Tasks: one of them, why it isn't running, and what operators do to it."""

from __future__ import annotations

from fastapi import APIRouter, Request

from kew import (
    InvalidTaskError,
    ResultUnreadableError,
    TaskArguments,
    TaskInfo,
    TaskQueueManager,
    UnknownFunctionError,
)
from kew.app.inspector import NOT_CHANGED
from kew.web import models, requests
from kew.web.problems import ApiError, documented
from kew.web.redaction import Redaction
from kew.web.routes.common import Answer, Manager, TaskId

router = APIRouter(tags=["tasks"])
READ = documented(404, 409)
CHANGE = documented(400, 404, 409, 413)
HIDDEN = "this admin API doesn't show them"


@router.get("/api/tasks/{task_id}", response_model=models.TaskRow, responses=READ)
async def task(request: Request, here: Manager, task_id: TaskId) -> Answer:
    """A task's status. `redacted`: its result isn't shown; `result_unreadable`: why this process can't read it."""
    redaction: Redaction = request.app.state.redaction
    info, unreadable = await _status(here, task_id, result=redaction.shows_any)
    shown = redaction.of(info, {"result": info.result})
    values = {"redacted": True, "result": None} if shown is None else shown
    return Answer({**dict(info), "result_unreadable": unreadable, **values})


async def _status(
    here: TaskQueueManager, task_id: str, *, result: bool
) -> tuple[TaskInfo, str | None]:
    """A task's status, and why its result can't be read."""
    try:
        return await here.get_task_status(task_id, result=result), None
    except ResultUnreadableError as error:
        return await here.get_task_status(task_id, result=False), error.reason


@router.get("/api/tasks/{task_id}/arguments", response_model=models.ArgumentsShown, responses=READ)
async def arguments(request: Request, here: Manager, task_id: TaskId) -> Answer:
    """What a task was called with, as plain data, or why that isn't shown."""
    redaction: Redaction = request.app.state.redaction
    found = await here.get_task_arguments(task_id)
    info = await here.get_task_status(task_id, result=False)
    shown = redaction.of(info, {"args": found.args, "kwargs": found.kwargs})
    if shown is None:
        found = TaskArguments(args=None, kwargs=None, unreadable=HIDDEN)
    return Answer({**found.to_dict(), **(shown or {})})


@router.get("/api/tasks/{task_id}/explain", response_model=models.Why, responses=READ)
async def explain(here: Manager, task_id: TaskId) -> Answer:
    """Why the task isn't running, and when it can."""
    return Answer((await here.explain(task_id)).to_dict())


@router.post("/api/tasks/{task_id}/cancel", response_model=models.Cancelled, responses=CHANGE)
async def cancel(here: Manager, task_id: TaskId) -> Answer:
    """Cancel a task that waits, or ask its run to stop. `cancelled` is false if it had ended otherwise."""
    return Answer({"cancelled": await here.cancel_task(task_id)})


@router.post("/api/tasks/{task_id}/run", response_model=models.DueNow, responses=CHANGE)
async def run(here: Manager, task_id: TaskId) -> Answer:
    """Let a task that waits for its due time or its next attempt be due now. `due` is false if it had ended."""
    return Answer({"due": await here.run_task_now(task_id)})


@router.post("/api/tasks/{task_id}/purge", response_model=models.PurgedOne, responses=CHANGE)
async def purge(here: Manager, task_id: TaskId) -> Answer:
    """Remove a task that failed for good. `removed` is false if it has not failed."""
    return Answer({"removed": await here.purge_dead_letter(task_id)})


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
