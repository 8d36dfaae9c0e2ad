"""Operators steer queues: they drain them, override their settings, and cancel what waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kew.domain.errors import QueueDrainingError, TaskNotFoundError
from kew.domain.rate import Rate
from kew.simulation.feature import (
    ANY_END,
    COMPLETED_OR_CANCELLED,
    MAIN,
    RISKY,
    TIGHT,
    Feature,
    User,
    Workload,
)

QUEUES = (MAIN, RISKY, TIGHT)


async def drain_for_a_while(user: User, queues: Sequence[str] = QUEUES) -> None:
    """Drained, and resumed by the same person."""
    queue = user.random.choice(queues)
    await user.manager.drain_queue(queue, note=f"errand {user.number}")
    await user.pause(1.0, 10.0)
    await user.manager.resume_queue(queue)


async def replay_in_vain(user: User) -> None:
    """A draining queue doesn't take back what was cancelled."""
    asked = user.expect(MAIN, ANY_END)
    if await user.submit(asked, user.script(), _defer_by=30) is None:
        return
    try:
        await user.manager.cancel_task(asked.id)
        await user.manager.drain_queue(MAIN)
        await user.manager.replay_task(asked.id)
    except TaskNotFoundError:
        user.check_gone(asked.id)
    except QueueDrainingError:
        pass
    await user.manager.resume_queue(MAIN)


async def override_for_a_while(user: User, queues: Sequence[str] = QUEUES) -> None:
    """Some settings, of which one or all are declared again after a while."""
    queue = user.random.choice(queues)
    values: dict[str, Any] = {
        "max_workers": user.random.choice((1, 4)),
        "rate": user.random.choice((None, Rate(5, per=1), Rate(3, per=0.5, burst=1))),
        "circuit_breaker_reset_timeout": user.random.choice((1.0, 4.0)),
    }
    names = user.random.sample(sorted(values), user.random.choice((1, 2)))
    await user.manager.set_overrides(queue, **{name: values[name] for name in names})
    await user.pause(1.0, 10.0)
    await user.manager.overrides(queue)
    await user.manager.remove_overrides(queue, *names[: user.random.choice((0, 1))])


async def submit_what_may_be_purged(user: User) -> None:
    """Some of them later."""
    for _ in range(3):
        asked = user.expect(user.random.choice((MAIN, TIGHT)), COMPLETED_OR_CANCELLED)
        await user.submit(asked, user.script(), _defer_by=user.random.choice((0, 0, 2)))


async def purge(user: User) -> None:
    """All that waits is cancelled, or all that is deferred; what is submitted meanwhile goes on."""
    state = user.random.choice((None, "deferred"))
    await user.manager.purge_queue(user.random.choice((MAIN, TIGHT)), state=state)


async def remove_all_overrides(user: User) -> None:
    """Also if there are none."""
    for queue in QUEUES:
        await user.manager.remove_overrides(queue)


FEATURES = (
    Feature("draining", drain_for_a_while, 0.3),
    Feature("overriding", override_for_a_while, 0.3),
    Feature("removing overrides", remove_all_overrides, 0.2),
)
WORKLOADS = (
    Workload(
        "steering",
        (
            Feature("draining", drain_for_a_while, 1.0),
            Feature("replaying in vain", replay_in_vain, 1.0),
            Feature("overriding", override_for_a_while, 1.5),
            Feature("removing overrides", remove_all_overrides, 0.3),
            Feature("what may be purged", submit_what_may_be_purged, 4.0),
            Feature("purging", purge, 0.6),
        ),
    ),
)
