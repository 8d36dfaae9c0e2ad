"""Schedules for a while: put, paused, removed and put again, while their ticks come."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

from kew.domain.config import QueueConfig
from kew.domain.errors import QueueNotFoundError, StoreUnavailableError
from kew.domain.schedule_errors import ScheduleNotFoundError
from kew.simulation.feature import MAIN, RISKY, Feature, User, Workload, usual_queues
from kew.simulation.handlers import perform
from kew.simulation.processes import EPOCH_S

NAMES: Final = tuple(f"shared-{number}" for number in range(4))
LASTS: Final = 40.0  # seconds
INTERVALS: Final = (1.0, 2.5, 7.0)


async def keep_a_schedule(user: User) -> None:
    """One that nothing disturbs: each of its ticks becomes a task."""
    await _put(user, f"kept-{user.number}", overlap="allow", missed="all")
    await asyncio.sleep(LASTS + 5.0)


async def put_a_schedule(user: User) -> None:
    """One of a few that other users steer."""
    overlap = user.random.choice(("skip", "one", "allow"))
    missed = user.random.choice(("skip", "one", "all"))
    await _put(user, user.random.choice(NAMES), overlap=overlap, missed=missed)


async def _put(user: User, name: str, *, overlap: str, missed: str) -> None:
    """It ends after a while by a right clock, which the store's may not be."""
    random, queue = user.random, user.random.choice((MAIN, RISKY))
    try:
        await user.manager.schedules.put(
            name,
            perform,
            every=random.choice(INTERVALS),
            queue=queue,
            args=(user.script(),),
            overlap=overlap,  # type: ignore[arg-type]  # one of them
            missed=missed,  # type: ignore[arg-type]  # one of them
            jitter=random.choice((0.0, 0.0, 1.5)),
            end=datetime.fromtimestamp(EPOCH_S + user.facts.loop.world_time() + LASTS, UTC),
        )
    except (StoreUnavailableError, QueueNotFoundError, ScheduleNotFoundError):
        return


async def steer_a_schedule(user: User) -> None:
    """Pause it for a moment, or remove it."""
    schedules, name = user.manager.schedules, user.random.choice(NAMES)
    try:
        if user.random.random() < 0.3:
            await schedules.remove(name)
            return
        await schedules.pause(name, note=f"errand {user.number}")
        await asyncio.sleep(user.random.choice((0.5, 8.0)))
        await schedules.resume(name)
    except (StoreUnavailableError, ScheduleNotFoundError):
        return


def roomy_queues(random: Random) -> Sequence[QueueConfig]:
    """The usual ones, without what refuses or delays tasks."""
    main, risky, tight = usual_queues(random)
    common: dict[str, Any] = {"max_circuit_breaker_failures": None, "max_workers": 8}
    return (
        QueueConfig(MAIN, lease=main.lease, task_ttl=main.task_ttl, **common),
        QueueConfig(RISKY, lease=risky.lease, **common),
        tight,
    )


WORKLOADS = (
    Workload(
        "schedules",
        (
            Feature("kept schedules", keep_a_schedule, 0.6),
            Feature("scheduling", put_a_schedule, 1.0),
            Feature("steering schedules", steer_a_schedule, 0.7),
        ),
        roomy_queues,
    ),
)
