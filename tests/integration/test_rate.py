"""A rate over real processes on one Redis: eight of them, with wrong clocks, of which two are killed.

Every task is `at_most_once`, so its record keeps the one instant at which it was granted, by Redis' clock.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from kew import QueueConfig, Rate, TaskQueueManager
from tests.integration.conftest import Managers, Measured
from tests.support import jobs
from tests.support.asking import once
from tests.support.workers import Worker, Workers

COUNT, PER_MS, BURST = 20, 800, 4
PROCESSES, KILLED, WINDOWS = 8, 2, 10
LEAST = 0.95  # of what the rate allows
TASKS = (WINDOWS + 3) * COUNT
RATES: dict[str, dict[str, Any]] = {"free": {"count": COUNT, "per": PER_MS / 1000}}
RATES["spaced"] = {**RATES["free"], "burst": BURST}


async def start_workers(workers: Workers, url: str) -> list[Worker]:
    queues: list[dict[str, Any]] = [
        {"name": name, "lease": 1.0, "max_workers": 100, "rate": rate}
        for name, rate in RATES.items()
    ]
    options: dict[str, Any] = {"at_most_once": ["work"], "manager": {"tick": 0.5}}
    started = [
        await workers.begin(url, *queues, **options, wall_clock_ahead_s=3600 * (n % 3 - 1))
        for n in range(PROCESSES)
    ]
    for worker in started:
        await worker.until(lambda words: "ready" in words)
    return started


def at_most(count: int) -> Callable[[dict[str, Any]], bool]:
    """So few tasks wait."""
    return lambda status: status["queued_tasks"] <= count


async def starts_of(manager: TaskQueueManager, queue: str) -> list[int]:
    """When each task that was started was granted: milliseconds of Redis' clock."""
    found = await asyncio.gather(*(manager.get_task_status(f"{queue}-{n}") for n in range(TASKS)))
    assert {info.attempt for info in found} <= {0, 1}
    return sorted(
        round(info.started_time.timestamp() * 1000) for info in found if info.started_time
    )


async def test_eight_processes_of_which_two_are_killed_use_a_rate_up_and_never_exceed_it(
    clean_redis_url: str, managers: Managers, workers: Workers, measured: Measured
):
    manager = await managers(clean_redis_url)
    for name, rate in RATES.items():
        config = QueueConfig(name, lease=1.0, max_workers=100, rate=Rate(**rate))
        await manager.create_queue(config, work=False)
        await manager.pause_queue(name)
    manager.task(at_most_once=True)(jobs.work)
    for name in RATES:
        entries = [
            {"task_id": f"{name}-{n}", "task_type": "t", "task_func": jobs.work, "args": (0.05,)}
            for n in range(TASKS)
        ]
        await manager.submit_tasks(name, entries)
    running = await start_workers(workers, clean_redis_url)
    for name in RATES:
        await manager.resume_queue(name)
    for kill in range(1, KILLED + 1):
        await once(lambda: manager.get_queue_status("free"), at_most(TASKS - 3 * kill * COUNT))
        await running.pop().kill()
    for name in RATES:
        await once(partial(manager.get_queue_status, name), at_most(COUNT))
    for name in RATES:
        starts = await starts_of(manager, name)
        first, last = starts[0], starts[WINDOWS * COUNT]
        measured(f"{name}_part_of_rate", WINDOWS * PER_MS / (last - first))
        assert largest_window(starts) == COUNT
        assert (last - first) * LEAST <= WINDOWS * PER_MS, "the rate was not used up"
        if name == "spaced":
            assert too_close(starts) == []


def largest_window(starts: list[int]) -> int:
    """The most starts in any window, wherever it begins."""
    return max(sum(at <= each < at + PER_MS for each in starts) for at in starts)


def too_close(starts: list[int]) -> list[tuple[int, int, int]]:
    """Instants between which more started than the burst and its spacing allow; one millisecond may be rounded off."""
    return [
        (first, last, found)
        for n, first in enumerate(starts)
        for found, last in enumerate(starts[n:], 1)
        if (found - BURST) * PER_MS > (last - first + 1) * COUNT
    ]
