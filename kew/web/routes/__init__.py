"""The endpoints, a file per noun. Each is a router; `ROUTERS` lists them."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from kew.web.routes import (
    dead_letters,
    events,
    health,
    info,
    keys,
    metrics,
    processes,
    queues,
    schedules,
    tasks,
)

ROUTERS: Final[tuple[APIRouter, ...]] = (
    info.router,
    queues.router,
    dead_letters.router,
    tasks.router,
    processes.router,
    events.router,
    health.router,
    keys.router,
    schedules.router,
    metrics.router,
)
