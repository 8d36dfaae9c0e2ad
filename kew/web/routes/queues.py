"""Queues: all of them, one of them, and what operators do to one."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from kew.domain.overrides import SETTING_OF
from kew.web import models, reports, requests
from kew.web.problems import documented
from kew.web.routes.common import Answer, Caller, Manager, Queue, TaskId, backend

router = APIRouter(tags=["queues"])
CHANGE = documented(400, 404, 409, 413)
NAMES = {"enum": list(SETTING_OF)}


@router.get("/api/queues", response_model=models.Queues, responses=documented())
async def queues(request: Request) -> Answer:
    """All queues, each with its last hour, and what needs attention."""
    return Answer(await backend(request).overview())


@router.get("/api/queues/{queue}", response_model=models.QueueDetail, responses=documented(404))
async def queue(named: Queue) -> Answer:
    """One queue: its status, and its settings in force beside those that the code declares."""
    return await detail(named)


async def detail(named: Queue) -> Answer:
    """A queue as the page of one queue shows it."""
    status, settings = await asyncio.gather(named.status(), named.settings())
    return Answer({**status, "settings": settings})


@router.get(
    "/api/queues/{queue}/history", response_model=reports.History, responses=documented(404)
)
async def history(named: Queue, wanted: Annotated[requests.HistoryQuery, Query()]) -> Answer:
    """What happened in it, by the minute up to a day, else by the hour."""
    return Answer((await named.history(wanted.span)).to_dict())


@router.get(
    "/api/queues/{queue}/breaker-history",
    response_model=models.BreakerChanges,
    responses=documented(404),
)
async def breaker_history(named: Queue) -> Answer:
    """The last changes of its circuit breaker, at most 20, the latest first."""
    return Answer({"changes": [each.to_dict() for each in await named.breaker_history()]})


@router.get("/api/queues/{queue}/tasks", response_model=models.TaskPage, responses=documented(404))
async def tasks(named: Queue, wanted: Annotated[requests.TaskQuery, Query()]) -> Answer:
    """A page of its tasks that wait, run or failed for good, with filters."""
    return Answer((await named.tasks(**wanted.model_dump())).to_dict())


@router.get(
    "/api/queues/{queue}/unreadable-tasks",
    response_model=models.Unreadable,
    responses=documented(404),
)
async def unreadable(here: Manager, named: Queue) -> Answer:
    """The ids of tasks whose records can't be read, at most 10,000."""
    return Answer({"task_ids": await here.unreadable_tasks(named.name)})


@router.delete(
    "/api/queues/{queue}/unreadable-tasks/{task_id}",
    response_model=models.PurgedOne,
    responses=CHANGE,
)
async def remove_unreadable(here: Manager, named: Queue, task_id: TaskId) -> Answer:
    """Remove a task whose record can't be read. `removed` is false if it isn't one of those."""
    return Answer({"removed": await here.remove_unreadable_task(named.name, task_id)})


@router.delete("/api/queues/{queue}", response_model=models.Deleted, responses=CHANGE)
async def delete(here: Manager, named: Queue) -> Answer:
    """Remove a queue with all its tasks. A queue that this process works on is in use."""
    await here.delete_queue(named.name)
    return Answer({"deleted": named.name})


# --- holding it


@router.post("/api/queues/{queue}/pause", response_model=models.QueueDetail, responses=CHANGE)
async def pause(request: Request, named: Queue, body: requests.Note | None = None) -> Answer:
    """Let no process start its tasks; running tasks go on."""
    await named.pause(_noted(request, body))
    return await detail(named)


@router.post("/api/queues/{queue}/drain", response_model=models.QueueDetail, responses=CHANGE)
async def drain(request: Request, named: Queue, body: requests.Note | None = None) -> Answer:
    """Let it accept no tasks, and finish those that it has."""
    await named.drain(_noted(request, body))
    return await detail(named)


def _noted(request: Request, body: requests.Note | None) -> str:
    note = body.note if body else ""
    request.state.details = {"note": note}
    return note


@router.post("/api/queues/{queue}/resume", response_model=models.QueueDetail, responses=CHANGE)
async def resume(named: Queue) -> Answer:
    """End a pause, draining, and a snooze of the queue."""
    await named.resume()
    return await detail(named)


@router.post(
    "/api/queues/{queue}/reset-breaker", response_model=models.QueueDetail, responses=CHANGE
)
async def reset_breaker(named: Queue, who: Caller) -> Answer:
    """Close the circuit breaker."""
    await named.reset_breaker(by=who.shown)
    return await detail(named)


@router.post(
    "/api/queues/{queue}/open-breaker", response_model=models.QueueDetail, responses=CHANGE
)
async def open_breaker(named: Queue, who: Caller) -> Answer:
    """Open the circuit breaker, as its failures would."""
    await named.open_breaker(by=who.shown)
    return await detail(named)


@router.post(
    "/api/queues/{queue}/purge", response_model=models.Purged | models.Counted, responses=CHANGE
)
async def purge(
    request: Request, named: Queue, body: requests.PurgeWaiting | None = None
) -> Answer:
    """Cancel the tasks that wait, or count them (`dry_run`); running tasks go on."""
    wanted = body or requests.PurgeWaiting()
    request.state.details = wanted.model_dump(exclude_none=True)
    count = await named.purge(**wanted.model_dump())
    return Answer({"count": count} if wanted.dry_run else {"cancelled": count})


# --- overrides of its settings


@router.put("/api/queues/{queue}/overrides", response_model=models.QueueDetail, responses=CHANGE)
async def set_overrides(
    request: Request, named: Queue, who: Caller, body: requests.OverridesBody
) -> Answer:
    """Put values in force in place of what the code declares, until they are removed; they join those that are there.

    The names and values are those of `QueueConfig`.
    """
    request.state.details = body.model_dump(exclude_unset=True)
    await named.set_overrides(by=who.shown, **body.overrides())
    return await detail(named)


@router.delete("/api/queues/{queue}/overrides", response_model=models.QueueDetail, responses=CHANGE)
async def remove_overrides(named: Queue) -> Answer:
    """Let what the code declares be in force again."""
    await named.remove_overrides()
    return await detail(named)


@router.delete(
    "/api/queues/{queue}/overrides/{name}", response_model=models.QueueDetail, responses=CHANGE
)
async def remove_override(
    named: Queue, name: Annotated[str, Path(json_schema_extra=NAMES)]
) -> Answer:
    """Let what the code declares for this setting be in force again."""
    await named.remove_overrides(name)
    return await detail(named)
