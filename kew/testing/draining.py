"""Waiting until every task of a store has ended, and why a task can't end.

This reads the memory store directly: a test may know what no process can.
"""

from __future__ import annotations

import asyncio

from kew.adapters.memory.namespace import MemoryQueue, Namespace
from kew.domain.explaining import Code
from kew.domain.reasons import explained
from kew.domain.task import Task
from kew.simulation.server import Server
from kew.testing.errors import Left, NotDrainedError

INSTEAD_OF = (
    "if your code decorates these functions with a global manager, pass instead_of=manager: then the simulated manager "
    "has them, too"
)
GRACE = 0.001  # simulated seconds that a process just notified gets to act


class Activity:
    """Notifies waiting coroutines of each operation that the store carries out."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def tell(self) -> None:
        """Report that an operation was carried out."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, until: float) -> bool:
        """Wait for the next operation. False: none was carried out before that time of the loop."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            async with asyncio.timeout_at(until):
                await future
        except TimeoutError:
            return False
        return True


async def drained(
    server: Server, activity: Activity, within: float, *, has_adopted: bool = True
) -> None:
    """Wait until every task has ended, at most `within` seconds.

    `has_adopted`: the functions of a global manager, if there is one, are registered. Raises `NotDrainedError`, at once
    if no task can make progress.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + within
    until_ms = server.clock.now_ms() + round(within * 1000)
    while _is_busy(server.namespace):
        if not _can_move(server, until_ms):
            await asyncio.sleep(GRACE)
            if _is_busy(server.namespace) and not _can_move(server, until_ms):
                raise _not_drained(server, has_adopted=has_adopted)
        elif not await activity.wait(until) and _is_busy(server.namespace):
            raise _not_drained(server, has_adopted=has_adopted)


def _not_drained(server: Server, *, has_adopted: bool) -> NotDrainedError:
    left = left_in(server)
    codes = {reason.code for one in left for reason in one.why.reasons}
    is_unknown = Code.FUNCTION_UNKNOWN in codes and not has_adopted
    return NotDrainedError(left, INSTEAD_OF if is_unknown else "")


def left_in(server: Server) -> list[Left]:
    """Every task that has not ended, with the reason."""
    now = server.clock.now_ms()
    tasks = [task for task in server.namespace.records.values() if not task.is_terminal]
    tasks.sort(key=lambda task: task.ticket)
    return [_left(server.namespace.queues[task.queue], task, now) for task in tasks]


def _left(queue: MemoryQueue, task: Task, now: int) -> Left:
    situation = queue.situation(task.id, now)
    assert situation is not None
    return Left(task_id=task.id, queue=task.queue, status=task.status, why=explained(situation))


def _is_busy(namespace: Namespace) -> bool:
    return any(
        queue.indexed.waiting() or queue.indexed.held() for queue in namespace.queues.values()
    )


def _can_move(server: Server, until_ms: int) -> bool:
    now = server.clock.now_ms()
    return any(_queue_can_move(queue, now, until_ms) for queue in server.namespace.queues.values())


def _queue_can_move(queue: MemoryQueue, now: int, until_ms: int) -> bool:
    """Whether a task is running, or a process will start one in time."""
    indexed = queue.indexed
    if indexed.held():
        return True
    if indexed.state.paused or not indexed.waiting():
        return False
    return any(
        indexed.ready(who, now, 1) or _in_time(indexed.next_due(who, now), until_ms)
        for who in queue.present(now)
    )


def _in_time(due: int | None, until_ms: int) -> bool:
    return due is not None and due <= until_ms
