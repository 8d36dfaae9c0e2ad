"""Results that are awaited, by the process that submitted or by another."""

from __future__ import annotations

from kew.domain.errors import TaskCancelledError, TaskFailedError, TaskNotFoundError
from kew.handles import TaskHandle
from kew.simulation.feature import MAIN, RISKY, Feature, User, Workload

PATIENCE = 60.0


async def await_own(user: User) -> None:
    """Submit, and wait for the result."""
    asked = user.expect(user.random.choice((MAIN, MAIN, RISKY)))
    handle = await user.submit(asked, user.script())
    if handle is not None:
        user.facts.board.append(handle.info)
        await _await(user, handle)


async def await_anothers(user: User) -> None:
    """A task of another user, probably in another process."""
    if user.facts.board:
        told = user.random.choice(user.facts.board[-5:])
        await _await(user, TaskHandle(user.manager, told))


async def ask_for_status(user: User) -> None:
    """A task's status must be one that it can have."""
    if not user.facts.board:
        return
    told = user.random.choice(user.facts.board)
    try:
        info = await user.manager.get_task_status(told.task_id)
    except TaskNotFoundError:
        user.check_gone(told.task_id)
    else:
        if info.status.value == "completed" and not user.has_finished(told.task_id, info.result):
            user.fail(f"{told.task_id} is reported as completed with {info.result!r}")


async def _await(user: User, handle: TaskHandle[str]) -> None:
    task_id = handle.task_id
    try:
        value = await handle.result(timeout=PATIENCE)
    except TaskNotFoundError:
        user.check_gone(task_id)
    except (TaskFailedError, TaskCancelledError) as error:
        user.facts.loop.note(task_id, "is reported as", type(error).__name__)
    else:
        if not user.has_finished(task_id, value):
            user.fail(f"{task_id} is reported to have returned {value!r}")


FEATURES = (
    Feature("results", await_own, 1.5),
    Feature("others' results", await_anothers, 1.5),
    Feature("status", ask_for_status),
)
WORKLOADS = (Workload("results", FEATURES),)
