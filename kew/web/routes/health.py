"""Probes: whether the process of this API lives, and is ready. They need no token, and say nothing else."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request

from kew import Health, TaskQueueError
from kew.web import models
from kew.web.problems import documented
from kew.web.routes.common import Answer, backend

router = APIRouter(tags=["health"])
NO_TOKEN: Final[dict[str, Any]] = {"security": []}


async def _health(request: Request) -> Health:
    try:
        return await (await backend(request).manager()).health()
    except TaskQueueError:
        return Health(live=True, ready=False, process=None)


def _probe(model: type[models.Live]) -> dict[int | str, dict[str, Any]]:
    return {**documented(), 503: {"model": model, "description": "It is not"}}


@router.get(
    "/api/health/live",
    response_model=models.Live,
    responses=_probe(models.Live),
    openapi_extra=NO_TOKEN,
)
async def live(request: Request) -> Answer:
    """200 while the process works; 503: restart it."""
    health = await _health(request)
    return Answer({"live": health.live}, status_code=200 if health.live else 503)


@router.get(
    "/api/health/ready",
    response_model=models.Ready,
    responses=_probe(models.Ready),
    openapi_extra=NO_TOKEN,
)
async def ready(request: Request) -> Answer:
    """200 while the process can claim: its claims advance, and the store answers; else 503."""
    health = await _health(request)
    answer = {"live": health.live, "ready": health.ready}
    return Answer(answer, status_code=200 if health.ready else 503)
