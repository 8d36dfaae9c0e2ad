"""Steering over several processes on one Redis: overrides apply in all of them, and a drained queue ends empty."""

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from kew import QueueDrainingError, TaskNotFoundError, TaskQueueManager, TaskStatus
from tests.integration.conftest import Managers, Measured
from tests.support import jobs
from tests.support.asking import once, status_once, submit
from tests.support.ledger import Ledger
from tests.support.workers import Worker, Workers

DECLARED: dict[str, Any] = {"name": "q", "lease": 1.0, "max_workers": 4, "max_retries": 2}
OVERRIDDEN = {"max_workers": 1, "max_retries": 0, "task_timeout": 9.0}
FUNCTIONS = ["work", "wait_for"]


@pytest.fixture
async def operator(clean_redis_url: str, managers: Managers) -> TaskQueueManager:
    """A process that declares nothing and runs nothing, but the test's submits."""
    return await managers(clean_redis_url)


async def in_force(worker: Worker) -> dict[str, Any]:
    """The settings that a process applies to its next attempts."""
    found: dict[str, Any] = await worker.ask("in_force", queue="q")
    return found


async def until_in_force(settings: dict[str, Any], *workers: Worker) -> float:
    """How long it took until all of them apply these settings (s)."""
    began = time.monotonic()
    for worker in workers:

        async def ask(worker: Worker = worker) -> dict[str, Any]:
            return await in_force(worker)

        await once(ask, settings.__eq__)
    return time.monotonic() - began


async def run_some(operator: TaskQueueManager, ledger: Ledger, prefix: str, count: int) -> None:
    before = len(ledger.entries("end"))
    for n in range(count):
        await submit(operator, f"{prefix}{n}", jobs.work, seconds=0.05)
    await ledger.until("end", count=before + count)


async def test_an_override_applies_in_all_processes_survives_restarts_and_ends_when_removed(
    operator: TaskQueueManager,
    clean_redis_url: str,
    workers: Workers,
    ledger: Ledger,
    measured: Measured,
):
    serve = {"functions": FUNCTIONS}
    running = [await workers.start(clean_redis_url, DECLARED, **serve) for _ in range(2)]
    await operator.set_overrides("q", **OVERRIDDEN)  # type: ignore[arg-type]  # by name
    measured("override_seconds", await until_in_force(OVERRIDDEN, *running))
    await run_some(operator, ledger, "first", 6)
    assert ledger.most_at_once() == 1

    for worker in running:
        worker.send(signal.SIGTERM)
        await worker.ended()
    redeclared = {**DECLARED, "max_workers": 8, "max_retries": 5}
    running = [await workers.start(clean_redis_url, redeclared, **serve) for _ in range(2)]
    measured("restart_seconds", await until_in_force(OVERRIDDEN, *running))
    overrides = await operator.overrides("q")
    assert {name: each.value for name, each in overrides.items()} == OVERRIDDEN
    assert (overrides["max_workers"].declared, overrides["max_retries"].declared) == (8, 5)
    await run_some(operator, ledger, "second", 6)
    assert ledger.most_at_once() == 1

    await operator.remove_overrides("q")
    by_code = {"max_workers": 8, "max_retries": 5, "task_timeout": None}
    measured("removal_seconds", await until_in_force(by_code, *running))
    assert await operator.overrides("q") == {}


async def test_more_tasks_run_at_once_when_an_override_of_max_workers_is_removed(
    operator: TaskQueueManager,
    clean_redis_url: str,
    workers: Workers,
    ledger: Ledger,
    tmp_path: Path,
):
    for _ in range(2):
        await workers.start(clean_redis_url, DECLARED, functions=FUNCTIONS)
    await operator.set_overrides("q", max_workers=1)
    end = tmp_path / "end"
    for n in range(3):
        await submit(operator, f"t{n}", jobs.wait_for, path=str(end))
    await ledger.until("start")
    assert (await operator.get_queue_status("q"))["current_workers"] == 1
    await operator.remove_overrides("q", "max_workers")
    await ledger.until("start", count=3)
    end.touch()
    await ledger.until("end", count=3)


async def test_a_drained_queue_accepts_nothing_loses_nothing_and_ends_empty(
    operator: TaskQueueManager, clean_redis_url: str, workers: Workers, ledger: Ledger
):
    """Though one of its processes is killed meanwhile."""
    serve = {"functions": FUNCTIONS, "manager": {"tick": 0.5}}
    first, second = [await workers.start(clean_redis_url, DECLARED, **serve) for _ in range(2)]
    accepted = [f"t{n}" for n in range(40)]
    for n, task_id in enumerate(accepted):
        defer: dict[str, Any] = {"_defer_by": 0.5} if n % 4 == 0 else {}
        await submit(operator, task_id, jobs.work, seconds=0.05, **defer)
    await operator.drain_queue("q", note="moving")
    for n, worker in enumerate((first, second)):
        answer = await worker.ask("submit", queue="q", task_id=f"late{n}", function="work")
        assert answer["error"] == "QueueDrainingError"
    with pytest.raises(QueueDrainingError):
        await submit(operator, "late2", jobs.work)
    await second.kill()
    third = await workers.start(clean_redis_url, DECLARED, **serve)  # it declares the queue again
    answer = await third.ask("submit", queue="q", task_id="late3", function="work")
    assert answer["error"] == "QueueDrainingError"
    await status_once(operator, lambda found: not found["queued_tasks"] + found["current_workers"])
    infos = [await operator.get_task_status(task_id) for task_id in accepted]
    assert {info.status for info in infos} == {TaskStatus.COMPLETED}
    assert {entry.task for entry in ledger.entries("end")} == set(accepted)
    for n in range(4):
        with pytest.raises(TaskNotFoundError):
            await operator.get_task_status(f"late{n}")
    await operator.resume_queue("q")
    await submit(operator, "after", jobs.work)
    await ledger.until("end", task="after")
