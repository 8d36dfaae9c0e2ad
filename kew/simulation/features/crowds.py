"""Keys at their boundary: sixteen processes share a queue of 1,000 keys, a few of which have half of the tasks.

There is so much to do that the limits of the keys alone decide what starts when.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from kew.domain.config import QueueConfig
from kew.domain.keys import PerKey
from kew.domain.rate import Rate
from kew.simulation.feature import MAIN, Feature, User, Workload
from kew.simulation.features.batches import submit_many

PROCESSES: Final = 16
KEYS: Final = 1_000
POPULAR: Final = 4
BATCH: Final = 30
MOST_WAITING: Final = 30


async def crowd(user: User) -> None:
    """Tasks of many keys, with little to do in each, of a queue that has not much left."""
    if sum(task.is_waiting for task in user.facts.records.values()) >= MOST_WAITING:
        return
    pauses = [0.02 * user.random.random()]

    def key() -> str:
        is_popular = user.random.random() < 0.5
        return f"k{user.random.randrange(POPULAR if is_popular else KEYS)}"

    await submit_many(user, MAIN, BATCH, script=lambda: user.script(pauses=pauses), key=key)


async def straggle(user: User) -> None:
    """A task of a popular key, which may take long enough for its process to be lost meanwhile."""
    key = f"k{user.random.randrange(POPULAR)}"
    await user.submit(user.expect(MAIN), user.script(), _key=key)


def crowded_queues(random: Random) -> Sequence[QueueConfig]:
    """One queue whose slots and processes are never all taken."""
    rate = Rate(random.choice((2, 5)), per=random.choice((0.5, 1.0)))
    return [
        QueueConfig(
            MAIN,
            max_workers=50,
            lease=3.0,
            max_circuit_breaker_failures=None,
            per_key=PerKey(max_workers=random.choice((1, 2)), rate=rate),
        )
    ]


CROWDED: Final = (Feature("crowds", crowd, 0.3), Feature("stragglers", straggle))
WORKLOADS = (Workload("crowds", CROWDED, crowded_queues, processes=PROCESSES),)
