"""The processes that work on queues."""

from __future__ import annotations

from fastapi import APIRouter

from kew.web import reports
from kew.web.problems import documented
from kew.web.routes.common import Answer, Manager

router = APIRouter(tags=["processes"])


@router.get("/api/processes", response_model=reports.Processes, responses=documented())
async def processes(here: Manager) -> Answer:
    """The processes that work on queues, by name, each as it was at its last heartbeat."""
    return Answer({"processes": [each.to_dict() for each in await here.processes()]})
