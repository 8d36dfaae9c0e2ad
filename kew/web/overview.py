"""All queues at a glance, as the list of queues and the events show them."""

from __future__ import annotations

import asyncio
from typing import Any

from kew import QueueNotFoundError, TaskQueueManager
from kew.app.attention import SEVERITIES


async def overview(manager: TaskQueueManager) -> dict[str, Any]:
    """The status of each queue, by name, and what needs attention, most urgent first."""
    rows = await _statuses(manager)
    found = [each for row in rows for each in row["attention"]]
    found.sort(key=lambda each: SEVERITIES.index(each["severity"]))
    return {"queues": rows, "attention": found}


async def _statuses(manager: TaskQueueManager) -> list[dict[str, Any]]:
    names = await manager.get_queue_names()
    found = await asyncio.gather(*map(manager.get_queue_status, names), return_exceptions=True)
    rows: list[dict[str, Any]] = []
    for row in found:
        if isinstance(row, QueueNotFoundError):
            continue  # it was deleted meanwhile
        if isinstance(row, BaseException):
            raise row
        rows.append(row)
    return rows
