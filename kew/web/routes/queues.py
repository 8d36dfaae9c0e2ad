"""Queues: all of them, one of them, and what operators do to one."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from kew import QueueNotFoundError, TaskQueueManager
from kew.app.attention import SEVERITIES
from kew.web import models
from kew.web.problems import documented
from kew.web.routes.common import Answer, Manager, Queue

router = APIRouter(tags=["queues"])
CHANGE = documented(404, 409, 413)


@router.get("/api/queues", response_model=models.Queues, responses=documented())
async def queues(here: Manager) -> Answer:
    """All queues, and what needs attention."""
    rows = await overview(here)
    found = [each for row in rows for each in row["attention"]]
    found.sort(key=lambda each: SEVERITIES.index(each["severity"]))
    return Answer({"queues": rows, "attention": found})


async def overview(here: TaskQueueManager) -> list[dict[str, Any]]:
    """The status of each queue, by name."""
    names = await here.get_queue_names()
    found = await asyncio.gather(*map(here.get_queue_status, names), return_exceptions=True)
    rows: list[dict[str, Any]] = []
    for row in found:
        if isinstance(row, QueueNotFoundError):
            continue  # it was deleted meanwhile
        if isinstance(row, BaseException):
            raise row
        rows.append(row)
    return rows


@router.get("/api/queues/{queue}", response_model=models.QueueRow, responses=documented(404))
async def queue(named: Queue) -> Answer:
    """One queue."""
    return Answer(await named.status())


@router.post("/api/queues/{queue}/pause", response_model=models.QueueRow, responses=CHANGE)
async def pause(request: Request, named: Queue, body: models.Note | None = None) -> Answer:
    """Let no process start its tasks; running tasks go on."""
    note = body.note if body else ""
    request.state.details = {"note": note}
    await named.pause(note)
    return Answer(await named.status())


@router.post("/api/queues/{queue}/resume", response_model=models.QueueRow, responses=CHANGE)
async def resume(named: Queue) -> Answer:
    """End a pause, draining, and a snooze of the queue."""
    await named.resume()
    return Answer(await named.status())
