"""Operators look at everything: queues and what happened in them, tasks in pages, processes, the indexes themselves."""

from __future__ import annotations

from typing import Final

from kew.domain.errors import TaskNotFoundError
from kew.simulation.feature import COMPLETED_OR_CANCELLED, MAIN, TIGHT, Feature, User, Workload
from kew.simulation.features.keys import limit
from kew.simulation.features.steering import submit_what_may_be_purged

QUEUES: Final = (MAIN, TIGHT)


async def look_at_all_queues(user: User) -> None:
    """Their statuses, and what happened in them, name the same queues unless one came between."""
    before = {status["name"] for status in await user.manager.get_queue_statuses()}
    if user.random.random() < 0.8:
        histories = await user.manager.queue_histories(3600)
        if not before <= histories.keys():
            user.fail(f"of {sorted(before)} only {sorted(histories)} have a history")


async def look_at_one_queue(user: User) -> None:
    """A page of its tasks has no task twice; its history has an entry for each minute at most."""
    queue = user.random.choice(QUEUES)
    page = await user.manager.get_tasks(queue, limit=10)
    ids = [info.task_id for info in page.tasks]
    if len(ids) != len(set(ids)):
        user.fail(f"a page of {queue} has {ids}")
    history = await user.manager.queue_history(queue, 600)
    if len(history.points) > 11:
        user.fail(f"ten minutes of {queue} have {len(history.points)} points")


async def look_at_processes(user: User) -> None:
    """No process is said to run more tasks of a queue than it has slots, or less than none."""
    for process in await user.manager.processes():
        for queue in process.queues:
            running, slots = queue.running or 0, queue.slots or 0  # None: it has not reported yet
            if not 0 <= running <= slots:
                user.fail(f"{process.name} runs {queue.running} of {queue.slots} in {queue.queue}")


async def check_soundness(user: User) -> None:
    """Of the indexes, and sometimes with the mending of what isn't sound."""
    await user.manager.diagnose(repair=user.random.random() < 0.3)


async def read_arguments(user: User) -> None:
    """Those of a task are what it was submitted with, as long as they are kept: until it completes."""
    asked = user.expect(user.random.choice(QUEUES), COMPLETED_OR_CANCELLED)
    await user.submit(asked, user.script(), _defer_by=user.random.choice((0, 2)))
    try:
        found = await user.manager.get_task_arguments(asked.id)
    except TaskNotFoundError:
        user.check_gone(asked.id)
        return
    if found.args is not None and len(found.args) != 1:
        user.fail(f"{asked.id} was called with {found}")


async def run_now(user: User) -> None:
    """A task that is due in a while is wanted at once."""
    asked = user.expect(user.random.choice(QUEUES), COMPLETED_OR_CANCELLED)
    await user.submit(asked, user.script(), _defer_by=20)
    try:
        await user.manager.run_task_now(asked.id)
    except TaskNotFoundError:
        user.check_gone(asked.id)


async def purge_selected(user: User) -> None:
    """Those of one function, or none at all: only their number is asked for."""
    function = "kew.simulation.handlers:perform"
    dry_run = user.random.random() < 0.2
    await user.manager.purge_queue(user.random.choice(QUEUES), function=function, dry_run=dry_run)


WORKLOADS = (
    Workload(
        "inspecting",
        (
            Feature("what may be purged", submit_what_may_be_purged, 2.0),
            Feature("all queues", look_at_all_queues, 2.0),
            Feature("one queue", look_at_one_queue, 1.5),
            Feature("processes", look_at_processes, 1.5),
            Feature("soundness", check_soundness, 1.5),
            Feature("arguments", read_arguments, 2.0),
            Feature("running now", run_now, 2.0),
            Feature("limits of a key", limit, 2.0),
            Feature("purging some that wait", purge_selected, 8.0),
        ),
    ),
)
