"""Dead letters and cancelled tasks that somebody puts back."""

from __future__ import annotations

from kew.adapters.simulation.feature import ANY_END, MAIN, Feature, User, Workload
from kew.domain.errors import TaskCancelledError, TaskFailedError, TaskNotFoundError

PATIENCE = 40.0


async def replay_a_dead_letter(user: User) -> None:
    """It fails for good, and succeeds when it is put back."""
    asked = user.expect(MAIN, ANY_END)
    handle = await user.submit(asked, user.script(failures=1, raises="give up"))
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
    """It is told that there is nothing to put back."""
    asked = user.expect(MAIN)
    handle = await user.submit(asked, user.script())
    if handle is None:
        return
    try:
        await handle.result(timeout=PATIENCE)
        if await user.manager.replay_task(asked.id):
            user.fail(f"{asked.id} had completed, and is said to wait again")
    except TaskFailedError:
        pass
    except TaskNotFoundError:
        user.check_gone(asked.id)


async def replay_what_was_cancelled(user: User) -> None:
    """Cancelled while it waits, then put back."""
    asked = user.expect(MAIN, ANY_END)
    handle = await user.submit(asked, user.script(), _defer_by=user.random.choice((5, 30)))
    if handle is None:
        return
    try:
        await user.manager.cancel_task(asked.id)
        await user.pause(1.0)
        await user.manager.replay_task(asked.id)
    except TaskNotFoundError:
        user.check_gone(asked.id)


FEATURES = (
    Feature("replaying", replay_a_dead_letter, 0.8),
    Feature("replaying successes", replay_a_success, 0.3),
    Feature("replaying cancelled", replay_what_was_cancelled, 0.4),
)
WORKLOADS = (Workload("replaying", FEATURES),)
