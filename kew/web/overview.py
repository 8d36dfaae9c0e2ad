"""All queues at a glance, as the list of queues and the events show them."""

from __future__ import annotations

from typing import Any

from kew import TaskQueueManager
from kew.app.attention import SEVERITIES


async def overview(manager: TaskQueueManager) -> dict[str, Any]:
    """The status of each queue, by name, and what needs attention, most urgent first."""
    rows = await manager.get_queue_statuses()
    found = [each for row in rows for each in row["attention"]]
    found.sort(key=lambda each: SEVERITIES.index(each["severity"]))
    return {"queues": rows, "attention": found}
