"""Dead letters and cancelled tasks are read and replayed."""

from __future__ import annotations

from kew.domain.errors import TaskCancelledError, TaskFailedError, TaskNotFoundError
from kew.domain.task import Task, TaskStatus
from kew.simulation.feature import ANY_END, MAIN, RISKY, Feature, User, Workload

PATIENCE = 40.0
FAILED = TaskStatus.FAILED


async def replay_a_dead_letter(user: User) -> None:
    """It fails for good; when it is replayed, it succeeds or fails again."""
    asked = user.expect(MAIN, ANY_END)
    failures = user.random.choice((1, 2))
    handle = await user.submit(asked, user.script(failures=failures, raises="give up"))
    if handle is None:
        return
    try:
        await handle.result(timeout=PATIENCE)
    except (TaskFailedError, TaskCancelledError):
        user.runs.replayed(asked.id)
        await user.manager.replay_task(asked.id)
    except TaskNotFoundError:
        user.check_gone(asked.id)


async def replay_a_success(user: User) -> None:
    """The answer is that there is nothing to replay."""
    asked = user.expect(MAIN)
    handle = await user.submit(asked, user.script())
    if handle is None:
        return
    try:
        await handle.result(timeout=PATIENCE)
        is_replayed = await user.manager.replay_task(asked.id)
        if is_replayed and not user.facts.has_forgotten:  # else its completion may be lost
            user.fail(f"{asked.id} had completed, but the replay succeeded")
    except TaskFailedError:
        pass
    except TaskNotFoundError:
        user.check_gone(asked.id)


async def replay_what_was_cancelled(user: User) -> None:
    """Cancelled while it waits, then replayed, and sometimes both once more."""
    asked = user.expect(MAIN, ANY_END)
    handle = await user.submit(asked, user.script(), _defer_by=user.random.choice((5, 30)))
    if handle is None:
        return
    try:
        for _ in range(user.random.choice((1, 2, 3))):
            await user.manager.cancel_task(asked.id)
            await user.pause(1.0)
            await user.manager.replay_task(asked.id)
    except TaskNotFoundError:
        user.check_gone(asked.id)


async def read_the_dead_letters(user: User) -> None:
    """Read all dead letters of a queue, or the last few, while others replay some and more tasks fail."""
    queue = user.random.choice((MAIN, RISKY))
    limit = user.random.choice((None, None, 1, 5))
    before = _dead_letters(user, queue)
    told: set[tuple[str, int]] = set()
    async for info in user.manager.failed_tasks(queue, limit=limit):
        if info.status.value != "failed" or (info.task_id, info.attempt) in told:
            user.fail(
                f"{info.task_id} is listed as a dead letter, but is {info.status.value}, or is listed twice"
            )
        told.add((info.task_id, info.attempt))
    still_there = before.items() & _dead_letters(user, queue).items()
    left_out = {task_id for task_id, task in still_there if (task_id, task.attempt) not in told}
    if left_out and len(told) != limit:
        user.fail(f"{min(left_out)} was a dead letter all the time, but is not listed")


async def replay_the_dead_letters(user: User) -> None:
    """Those that may end in any way, each where it is found."""
    async for info in user.manager.failed_tasks(MAIN):
        if user.facts.asked[info.task_id].ends == ANY_END:
            user.runs.replayed(info.task_id)
            try:
                await user.manager.replay_task(info.task_id)
            except TaskNotFoundError:
                user.check_gone(info.task_id)


def _dead_letters(user: User, queue: str) -> dict[str, Task]:
    """Those that the store has."""
    records = user.facts.records.values()
    return {one.id: one for one in records if one.queue == queue and one.status is FAILED}


FEATURES = (
    Feature("replaying", replay_a_dead_letter, 0.8),
    Feature("replaying successes", replay_a_success, 0.3),
    Feature("replaying cancelled", replay_what_was_cancelled, 0.4),
    Feature("dead letters", read_the_dead_letters, 0.4),
    Feature("replaying all", replay_the_dead_letters, 0.2),
)
WORKLOADS = (Workload("replaying", FEATURES),)
