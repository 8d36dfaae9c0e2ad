"""Operators steer a queue whose keys are limited: they purge what waits, override settings, and limit single keys."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from kew.domain.rate import Rate
from kew.simulation.feature import COMPLETED_OR_CANCELLED, Feature, User, Workload
from kew.simulation.features.keys import KEYS, QUEUES, cost_of, keyed_queues, limit
from kew.simulation.features.steering import drain_for_a_while, override_for_a_while

MOST_AT_ONCE: Final = 5
SLOW: Final = Rate(2, per=20)


async def submit_what_may_be_purged(user: User) -> None:
    """More tasks of a key than may start, some of them later."""
    queue, key = user.random.choice(QUEUES), user.random.choice(KEYS)
    for _ in range(user.random.randrange(1, MOST_AT_ONCE)):
        asked = user.expect(queue, COMPLETED_OR_CANCELLED)
        delay = user.random.choice((0, 0, 0, 2))
        options: dict[str, Any] = {"_key": key, "_cost": cost_of(user, key), "_defer_by": delay}
        await user.submit(asked, user.script(), **options)


async def purge(user: User) -> None:
    """All that waits is cancelled, or all of a key; what is submitted meanwhile goes on."""
    key = user.random.choice((None, None, *KEYS))
    await user.manager.purge_queue(user.random.choice(QUEUES), key=key)


async def hold_back(user: User) -> None:
    """Next to nothing starts until the override is removed, and then what waited."""
    queue = user.random.choice(QUEUES)
    await user.manager.set_overrides(queue, rate=SLOW)
    for _ in range(4):
        asked = user.expect(queue, COMPLETED_OR_CANCELLED)
        await user.submit(asked, user.script(pauses=[]))
    await user.pause(1.0, 2.0)
    await user.manager.remove_overrides(queue, "rate")


WORKLOADS = (
    Workload(
        "key steering",
        (
            Feature("tasks of keys that may be purged", submit_what_may_be_purged, 4.0),
            Feature("purging keys", purge, 0.8),
            Feature("overriding", partial(override_for_a_while, queues=QUEUES), 0.8),
            Feature("holding back", hold_back, 0.4),
            Feature("draining", partial(drain_for_a_while, queues=QUEUES), 0.4),
            Feature("limits of a key", limit, 0.6),
        ),
        keyed_queues,
    ),
)
