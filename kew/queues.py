"""The objects in `manager.queues`."""

from __future__ import annotations

import attrs

from kew.app.inspector import Inspector
from kew.app.ports import Command
from kew.domain.config import QueueConfig

CREATED = (
    "queue {0!r} already exists in this manager: use manager.queues[{0!r}]; for other settings shut the manager down, "
    "initialize it, and create the queue again"
)


class CircuitBreaker:
    """A queue's breaker, shared by all processes."""

    def __init__(self, queue: str, inspector: Inspector) -> None:
        self._queue = queue
        self._inspector = inspector

    async def check_state(self) -> bool:
        """Whether it admits tasks: False only while it is OPEN, by the store's clock."""
        return await self._inspector.may_pass(self._queue)

    async def record_failure(self) -> None:
        """Count a failure that happened outside of the queue's tasks."""
        await self._inspector.control(self._queue, Command.RECORD_FAILURE)

    async def reset(self) -> None:
        """Close it."""
        await self._inspector.control(self._queue, Command.RESET_BREAKER)


@attrs.frozen
class Queue:
    """A queue of this manager."""

    config: QueueConfig
    circuit_breaker: CircuitBreaker

    @property
    def name(self) -> str:
        """The queue's name."""
        return self.config.name
