"""What people do to a whole queue, and what they ask about it."""

from __future__ import annotations

from kew.simulation.feature import MAIN, RISKY, TIGHT, Feature, User, Workload

QUEUES = (MAIN, RISKY, TIGHT)


async def pause_for_a_while(user: User) -> None:
    """Paused, and resumed by the same person."""
    queue = user.random.choice(QUEUES)
    await user.manager.pause_queue(queue)
    await user.pause(1.0, 10.0)
    await user.manager.resume_queue(queue)


async def resume(user: User) -> None:
    """Also if nothing was paused."""
    for queue in QUEUES:
        await user.manager.resume_queue(queue)


async def look_around(user: User) -> None:
    """Everything that can be asked."""
    status = await user.manager.get_queue_status(user.random.choice(QUEUES))
    if status["current_workers"] < 0 or status["queued_tasks"] < 0:
        user.fail(f"impossible counts: {status}")
    for told in await user.manager.get_ongoing_tasks():
        if told.status.value != "processing":
            user.fail(f"{told.task_id} is reported as running, but is {told.status.value}")
    await user.breaker(RISKY).check_state()


async def look_for_the_unreadable(user: User) -> None:
    """Every record can be read here, so there is nothing to find and nothing to remove."""
    queue = user.random.choice(QUEUES)
    if found := await user.manager.unreadable_tasks(queue):
        user.fail(f"these can't be read: {found}")
    task_id = user.random.choice(user.facts.board).task_id if user.facts.board else "none"
    if await user.manager.remove_unreadable_task(queue, task_id):
        user.fail(f"{task_id} was removed as one that can't be read")


FEATURES = (
    Feature("pausing", pause_for_a_while, 0.4),
    Feature("resuming", resume, 0.3),
    Feature("looking", look_around, 0.6),
    Feature("looking for the unreadable", look_for_the_unreadable, 0.7),
)
WORKLOADS = (Workload("controls", FEATURES),)
