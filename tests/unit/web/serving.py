"""The admin API without a server, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from kew import TaskQueueManager
from kew.web import admin

TOKEN = "a-token-for-the-tests-alone"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@asynccontextmanager
async def client_of(app: Any, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application, from this machine."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost", **options
    ) as client:
        yield client


@asynccontextmanager
async def served(
    manager: TaskQueueManager, *, allow_changes: bool = True, **options: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A client that has the token."""
    app = admin(manager, token=TOKEN, allow_changes=allow_changes, **options)
    async with client_of(app, headers=AUTHORIZED) as client:
        yield client
