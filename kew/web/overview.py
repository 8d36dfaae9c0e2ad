"""All queues at a glance, as the list of queues and the events show them."""

from __future__ import annotations

import asyncio
import math
from operator import attrgetter
from typing import Any, Final

from kew import QueueHistory, TaskQueueManager
from kew.app.attention import SEVERITIES

HISTORY_SECONDS: Final = 3600
FRESH_SECONDS: Final = 30.0
SHOWN: Final = ("submitted", "completed", "failed")


class Overview:
    """Reads all queues. Their histories, which change once a minute, are read again after half a minute."""

    def __init__(self) -> None:
        self._histories: dict[str, dict[str, Any]] = {}
        self._read_at = -math.inf

    async def read(self, manager: TaskQueueManager) -> dict[str, Any]:
        """What `overview` says, with the last hour of each queue in its row: a list for each of a few values."""
        found = await overview(manager)
        now = asyncio.get_running_loop().time()
        if now - self._read_at >= FRESH_SECONDS:
            self._read_at = now
            histories = await manager.queue_histories(HISTORY_SECONDS)
            self._histories = {name: _series(history) for name, history in histories.items()}
        rows = [{**row, "history": self._histories.get(row["name"])} for row in found["queues"]]
        return {**found, "queues": rows}


def _series(history: QueueHistory) -> dict[str, Any]:
    counts = {name: [*map(attrgetter(name), history.points)] for name in SHOWN}
    waits = [point.percentile("wait", 0.95) for point in history.points]
    return {"step": history.step, **counts, "wait_p95": waits}


async def overview(manager: TaskQueueManager) -> dict[str, Any]:
    """The status of each queue, by name, and what needs attention, most urgent first."""
    rows = await manager.get_queue_statuses()
    found = [each for row in rows for each in row["attention"]]
    found.sort(key=lambda each: SEVERITIES.index(each["severity"]))
    return {"queues": rows, "attention": found}
