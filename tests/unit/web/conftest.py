"""A manager in memory with one queue that isn't worked on."""

import time
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from kew import QueueConfig, TaskQueueManager
from tests.unit.web.serving import served


@pytest.fixture
async def manager() -> AsyncIterator[TaskQueueManager]:
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("mails"), work=False)
        yield manager


@pytest.fixture
async def client(manager: TaskQueueManager) -> AsyncIterator[httpx.AsyncClient]:
    """It has the token, and may change things."""
    async with served(manager) as client:
        yield client


@pytest.fixture
def time_machine_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock of sessions so many seconds ahead."""
    began = time.time()

    def move(seconds: float) -> None:
        monkeypatch.setattr("kew.web.identities.time.time", lambda: began + seconds)

    return move
