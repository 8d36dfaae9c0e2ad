"""Keys: a customer with a backlog and others with a task now and then share a queue, and each has a limit."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, Final

from kew.domain.config import QueueConfig
from kew.domain.keys import PerKey
from kew.domain.rate import Rate
from kew.simulation.feature import (
    COMPLETED_OR_CANCELLED,
    MAIN,
    TIGHT,
    Feature,
    User,
    Workload,
)
from kew.simulation.features.cancelling import cancel

KEYS: Final = ("acme", "bolt", "core", "dyne", None)
QUEUES: Final = (MAIN, TIGHT)
COSTS: Final = {"bolt": 2}  # of all tasks of this key
ONE_RATE: Final = (Rate(3, per=1.0),)
OWN_RATES: Final = (Rate(2, per=1.0), Rate(6, per=2.0, burst=3))
TWO_RATES: Final = (Rate(2, per=0.5, burst=2), Rate(8, per=6.0))


def cost_of(user: User, key: str | None) -> int:
    """What each task of a key costs."""
    return COSTS.get(key or "", 1)


async def burst(user: User) -> None:
    """More tasks of one key than may run at once."""
    queue, key = user.random.choice(QUEUES), user.random.choice(KEYS[:2])
    for _ in range(4):
        cost = cost_of(user, key)
        await user.submit(user.expect(queue), user.script(), _key=key, _cost=cost)


async def single(user: User) -> None:
    """One task of any key or none, some of them later."""
    delay = user.random.choice((None, None, user.random.random()))
    options: dict[str, Any] = {} if delay is None else {"_defer_by": delay}
    key = user.random.choice(KEYS)
    options["_cost"] = cost_of(user, key)
    await user.submit(user.expect(user.random.choice(QUEUES)), user.script(), _key=key, **options)


async def limit(user: User) -> None:
    """Limits of one key alone, for a while or until they are removed."""
    queue, key = user.random.choice(QUEUES), user.random.choice(KEYS[:3])
    if user.random.random() < 0.3:
        await user.manager.remove_key_limit(queue, key)
        return
    await user.manager.set_key_limit(
        queue,
        key,
        max_workers=user.random.choice((1, 2, 3)),
        rate=user.random.choice((None, (), *OWN_RATES)),
        expires_in=user.random.choice((None, 5.0, 20.0)),
    )
    found = {one.key for one in await user.manager.key_limits(queue)}
    if not found <= {*KEYS}:
        user.fail(f"the keys {found} of {queue} have limits")


async def meet_a_limit_of_a_key(user: User) -> None:
    """Nothing of the key starts for a moment."""
    queue, key = user.random.choice(QUEUES), user.random.choice(KEYS)
    script = user.script(failures=1, raises="key limited")
    await user.submit(user.expect(queue), script, _key=key)


async def change_ones_mind(user: User) -> None:
    """A task of a key is cancelled, most likely while it waits."""
    queue, key = user.random.choice(QUEUES), user.random.choice(KEYS[:3])
    asked = user.expect(queue, COMPLETED_OR_CANCELLED)
    if await user.submit(asked, user.script(), _key=key, _defer_by=2.0 * user.random.random()):
        await user.pause(0.5, 2.0)
        await cancel(user, asked.id)


def keyed_queues(random: Random) -> Sequence[QueueConfig]:
    """A queue whose keys are limited, and one in which they only take turns."""
    return [
        QueueConfig(
            MAIN,
            max_workers=random.choice((3, 8)),
            lease=3.0,
            max_circuit_breaker_failures=None,
            per_key=PerKey(
                max_workers=random.choice((1, 2)), rate=random.choice(((), ONE_RATE, TWO_RATES))
            ),
        ),
        QueueConfig(TIGHT, max_workers=2, lease=1.0, max_circuit_breaker_failures=None),
    ]


FEATURES = (
    Feature("bursts of a key", burst),
    Feature("keys", single),
    Feature("limits of a key", limit, 0.3),
    Feature("snoozes of a key", meet_a_limit_of_a_key, 0.3),
)
CANCELLED: Final = Feature("cancelled tasks of a key", change_ones_mind, 0.3)
WORKLOADS = (Workload("keys", (*FEATURES, CANCELLED), keyed_queues),)
