"""Queues with rates: more tasks than may start in a window, some of which fail, are lost or come back.

At the boundary, eight processes share one rate, and there is so much to do that it alone decides what starts when.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from kew.domain.config import QueueConfig
from kew.domain.rate import Rate
from kew.simulation.feature import MAIN, TIGHT, Feature, User, Workload
from kew.simulation.features.batches import submit_many

PROCESSES: Final = 8
WINDOWS: Final = 12  # that a backlog fills
MOST_WAITING: Final = 50
COSTS: Final = (1, 1, 1, 2)  # of tasks; no rate of these queues gives less at once


async def rush(user: User) -> None:
    """More tasks at once than may start in a window, some of which cost more than others."""
    for _ in range(4):
        queue, cost = user.random.choice((MAIN, TIGHT)), user.random.choice(COSTS)
        script = user.script(pauses=[user.random.random()])
        await user.submit(user.expect(queue), script, _cost=cost)


async def fill(user: User) -> None:
    """Work for many windows of a queue that has not much left, and little to do in each task."""
    (config,) = boundary_queues(user.facts.plan.random("queues"))  # as in this run
    waiting = sum(task.is_waiting for task in user.facts.records.values())
    if waiting < MOST_WAITING:
        count = WINDOWS * min(rate.count for rate in config.rate)
        pauses = [0.02 * user.random.random()]
        await submit_many(user, MAIN, count, script=lambda: user.script(pauses=pauses))


async def trickle(user: User) -> None:
    """One task, which may take long enough for its process to be lost meanwhile."""
    await user.submit(user.expect(MAIN), user.script())


def boundary_queues(random: Random) -> Sequence[QueueConfig]:
    """One queue whose slots and processes are never all taken."""
    count, per = random.choice((3, 5)), random.choice((0.5, 1.0))
    rate = Rate(count, per=per, burst=random.choice((None, None, 1, 2)))
    return [
        QueueConfig(MAIN, max_workers=50, lease=3.0, max_circuit_breaker_failures=None, rate=rate)
    ]


def narrow_queues(random: Random) -> Sequence[QueueConfig]:
    """One rate, with or without spacing; and two at once."""
    one = Rate(random.choice((1, 3, 5)), per=random.choice((0.5, 2.0)))
    spaced = Rate(random.choice((4, 6)), per=2.0, burst=random.choice((2, 3)))
    return [
        QueueConfig(
            MAIN,
            max_workers=8,
            lease=3.0,
            max_circuit_breaker_failures=None,
            rate=random.choice((one, spaced)),
        ),
        QueueConfig(
            TIGHT,
            max_workers=3,
            lease=1.0,
            max_circuit_breaker_failures=None,
            rate=(Rate(2, per=0.5), Rate(6, per=5)),
        ),
    ]


RUSHES: Final = Feature("rushes", rush)
BOUNDARY: Final = (Feature("backlogs", fill, 0.08), Feature("single tasks", trickle))
WORKLOADS = (
    Workload("rates", (RUSHES,), narrow_queues),
    Workload("boundary", BOUNDARY, boundary_queues, processes=PROCESSES),
)
RATES: Final = (((30, 700, 0),), ((30, 700, 4),), ((9, 1_000, 2), (40, 10_000, 0)))
SETTINGS: Final = {"rates": ((), (), (), *RATES)}
