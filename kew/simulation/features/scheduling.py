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
SELDOM: Final = 11.0  # in the mix, where there is enough to do


async def keep_a_schedule(user: User) -> None:
    """One that nothing disturbs: each of its ticks becomes a task."""
    await _keep(user, user.random.choice(INTERVALS))


async def keep_a_seldom_one(user: User) -> None:
    """As `keep_a_schedule`, with few ticks."""
    await _keep(user, SELDOM)


async def _keep(user: User, every: float) -> None:
    await _put(user, f"kept-{user.number}", every, overlap="allow", missed="all")
    await asyncio.sleep(LASTS + 5.0)


async def put_a_schedule(user: User) -> None:
    """One of a few that other users steer."""
    await _put_any(user, user.random.choice(NAMES), user.random.choice(INTERVALS))


async def put_and_steer(user: User) -> None:
    """One with few ticks, which the same user steers."""
    name = user.random.choice(NAMES)
    await _put_any(user, name, SELDOM)
    await asyncio.sleep(user.random.choice((0.0, SELDOM, 2 * SELDOM)))
    await _steer(user, name)


async def _put_any(user: User, name: str, every: float) -> None:
    overlap = user.random.choice(("skip", "one", "allow"))
    missed = user.random.choice(("skip", "one", "all"))
    await _put(user, name, every, overlap=overlap, missed=missed)


async def _put(user: User, name: str, every: float, *, overlap: str, missed: str) -> None:
    """It begins now and ends after a while by a right clock, which the store's may not be."""
    random, queue = user.random, user.random.choice((MAIN, RISKY))
    now = EPOCH_S + user.facts.loop.world_time()
    try:
        await user.manager.schedules.put(
            name,
            perform,
            every=every,
            queue=queue,
            args=(user.script(),),
            overlap=overlap,  # type: ignore[arg-type]  # one of them
            missed=missed,  # type: ignore[arg-type]  # one of them
            jitter=random.choice((0.0, 0.0, 1.5)),
            start=datetime.fromtimestamp(now // every * every, UTC),
            end=datetime.fromtimestamp(now + LASTS, UTC),
        )
    except (StoreUnavailableError, QueueNotFoundError, ScheduleNotFoundError):
        return


async def steer_a_schedule(user: User) -> None:
    """One of those that others put."""
    await _steer(user, user.random.choice(NAMES))


async def _steer(user: User, name: str) -> None:
    """Pause it for a moment, or remove it."""
    schedules = user.manager.schedules
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


FEATURES = (
    Feature("kept schedules", keep_a_seldom_one, 0.15),
    Feature("scheduling", put_and_steer, 0.15),
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
