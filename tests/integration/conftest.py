"""What the tests with real processes and a real Redis share.

- `store_url`: a store of the test's own, in memory and then on Redis;
- `managers(url, ...)`: initialized managers, shut down when the test ends;
- `ledger`, `workers`: worker processes, and what their tasks really did;
- `measured(name, figure)`: a figure that the run's summary shows.
"""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from kew import TaskQueueManager
from tests.support.ledger import ENVIRONMENT, Ledger
from tests.support.workers import Workers

numbers = itertools.count()


class Managers(Protocol):
    """Makes initialized managers."""

    async def __call__(self, url: str, **options: Any) -> TaskQueueManager: ...


class Measured(Protocol):
    """Takes a figure down."""

    def __call__(self, name: str, figure: float) -> None: ...


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    def take_down(name: str, figure: float) -> None:
        request.node.user_properties.append((name, round(figure, 3)))

    return take_down


@pytest.fixture(params=["memory", "redis"])
def store_url(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return f"memory://test-{next(numbers)}"
    return str(request.getfixturevalue("clean_redis_url"))


@pytest.fixture
async def managers() -> AsyncIterator[Managers]:
    made: list[TaskQueueManager] = []

    async def make(url: str, **options: Any) -> TaskQueueManager:
        if "parts" not in options:
            options["redis_url"] = url
        manager = TaskQueueManager(**options)
        made.append(manager)
        await manager.initialize()
        return manager

    yield make
    for manager in made:
        await manager.shutdown(timeout=0.5)


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    path = tmp_path / "ledger"
    monkeypatch.setenv(ENVIRONMENT, str(path))
    return Ledger(path)


@pytest.fixture
async def workers(ledger: Ledger, tmp_path: Path) -> AsyncIterator[Workers]:
    started = Workers(ledger, tmp_path)
    yield started
    await started.end()
