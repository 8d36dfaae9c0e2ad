"""Dead letters are grouped, listed by group, replayed and purged in numbers, while more tasks fail."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from kew.domain.backoff import Fixed
from kew.domain.config import QueueConfig
from kew.domain.errors import TaskNotFoundError
from kew.simulation.feature import ANY_END, MAIN, RISKY, Feature, User, Workload
from kew.simulation.handlers import perform_in_vain

IN_VAIN: Final = f"{perform_in_vain.__module__}:{perform_in_vain.__qualname__}"


async def fail_in_vain(user: User) -> None:
    """It fails for good, in one of several ways; nothing depends on how it ends."""
    for _ in range(user.random.choice((1, 3))):
        asked = user.expect(user.random.choice((MAIN, RISKY)), ANY_END)
        raises = user.random.choice(("give up", "error", "error"))
        script = user.script(failures=user.random.choice((2, 99)), raises=raises)
        await user.submit(asked, script, function=perform_in_vain)


async def look_at_groups(user: User) -> None:
    """A list of one group has that group alone, and an example says why it failed."""
    queue = user.random.choice((MAIN, RISKY))
    for group in (await user.manager.dead_letter_groups(queue))[:3]:
        page = await user.manager.dead_letters(queue, group=group.name, limit=5)
        for info in page.tasks:
            if [attempt.group for attempt in info.attempts] != [group.name]:
                user.fail(f"{info.task_id} is listed in {group.name}: {info.attempts}")
        try:
            info = await user.manager.get_task_status(group.example)
        except TaskNotFoundError:
            user.check_gone(group.example)
            continue
        # A closure whose process is gone ends with an entry more, of its last attempt, which was lost before.
        ends = [(attempt.number, attempt.how == "orphaned") for attempt in info.attempts]
        if ends != sorted(set(ends)) or len(ends) > 10:
            user.fail(f"{info.task_id} has the attempts {ends}")


async def replay_many(user: User) -> None:
    """All of them or some, at once or spaced."""
    queue = user.random.choice((MAIN, RISKY))
    limit, every = user.random.choice((None, 4)), user.random.choice((None, 0.5))
    await user.manager.replay_dead_letters(queue, function=IN_VAIN, limit=limit, every=every)


async def purge_some(user: User) -> None:
    """A few, or all of a group."""
    queue = user.random.choice((MAIN, RISKY))
    await user.manager.purge_dead_letters(queue, function=IN_VAIN, limit=user.random.choice((1, 5)))


def queues_that_keep_few(random: Random) -> Sequence[QueueConfig]:
    """The main one keeps a few dead letters; the other one has retries and loses its workers' tasks early."""
    main = QueueConfig(
        MAIN,
        max_workers=5,
        lease=3.0,
        max_circuit_breaker_failures=None,
        max_dead_letters=random.choice((2, 6)),
    )
    risky = QueueConfig(
        RISKY,
        max_workers=3,
        lease=2.0,
        max_retries=random.choice((1, 12)),
        backoff=Fixed(0.2),
        max_deliveries=1,
        max_circuit_breaker_failures=None,
        keep_tracebacks=random.choice((True, False)),
    )
    return (main, risky)


FEATURES = (
    Feature("failing in vain", fail_in_vain, 0.6),
    Feature("groups", look_at_groups, 0.4),
    Feature("replaying many", replay_many, 0.2),
    Feature("purging some", purge_some, 0.1),
)
WORKLOADS = (Workload("dead letters", FEATURES, queues_that_keep_few),)
