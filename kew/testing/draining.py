"""Whether the tasks of a store can still end by themselves, and why not; waiting until they have.

It looks into the memory store directly: a test may know what no process can.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

from kew.adapters.memory.namespace import MemoryQueue, Namespace
from kew.adapters.memory.store import judged
from kew.adapters.simulation.server import Server
from kew.domain.breaker import BreakerState
from kew.domain.task import Task
from kew.testing.errors import Left, NotDrainedError, Why

GRACE = 0.001  # simulated seconds in which whoever was just told may still do something


class Changes:
    """Tells who waits that the store carried something out."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def tell(self) -> None:
        """Something was carried out."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, until: float) -> bool:
        """Until something is carried out; False: not before that instant of the loop."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            async with asyncio.timeout_at(until):
                await future
        except TimeoutError:
            return False
        return True


async def drained(server: Server, changes: Changes, within: float) -> None:
    """Wait until every task has ended, at most `within` seconds.

    Raises `NotDrainedError`: at once where nothing can move by itself.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + within
    until_ms = server.clock.now_ms() + round(within * 1000)
    while _is_busy(server.namespace):
        if not _can_move(server, until_ms):
            await asyncio.sleep(GRACE)
            if _is_busy(server.namespace) and not _can_move(server, until_ms):
                raise NotDrainedError(left_in(server, until_ms))
        elif not await changes.wait(until) and _is_busy(server.namespace):
            raise NotDrainedError(left_in(server, until_ms))


def left_in(server: Server, until_ms: int) -> list[Left]:
    """Every task that has not ended, with the reason."""
    now = server.clock.now_ms()
    queues = server.namespace.queues
    tasks = [task for task in server.namespace.records.values() if not task.is_terminal]
    tasks.sort(key=lambda task: task.ticket)
    return [_left(queues[task.queue], task, now, until_ms) for task in tasks]


def _is_busy(namespace: Namespace) -> bool:
    return any(queue.book.waiting() or queue.book.held() for queue in namespace.queues.values())


def _can_move(server: Server, until_ms: int) -> bool:
    now = server.clock.now_ms()
    return any(_queue_can_move(queue, now, until_ms) for queue in server.namespace.queues.values())


def _queue_can_move(queue: MemoryQueue, now: int, until_ms: int) -> bool:
    """Something runs, or somebody will run something in time."""
    book = queue.book
    if book.held():
        return True
    if book.state.paused or not book.waiting():
        return False
    return any(
        book.ready(who, now, 1) or _in_time(book.next_due(who, now), until_ms)
        for who in queue.present(now)
    )


def _in_time(due: int | None, until_ms: int) -> bool:
    return due is not None and due <= until_ms


def _left(queue: MemoryQueue, task: Task, now: int, until_ms: int) -> Left:
    why, text = next(_reasons(queue, task, now, until_ms))
    return Left(task_id=task.id, queue=task.queue, status=task.status, why=why, text=text)


def _reasons(queue: MemoryQueue, task: Task, now: int, until_ms: int) -> Iterator[tuple[Why, str]]:
    """What keeps a task from ending, the strongest reason first."""
    state, present = queue.book.state, queue.present(now)
    functions = queue.book.functions
    if not task.is_waiting:
        yield Why.RUNNING, f"attempt {task.attempt}"
    if state.paused:
        yield Why.PAUSED, ""
    if not present:
        yield Why.NO_WORKER, "create_queue() starts one"
    if not any(task.call.function in functions.get(who, ()) for who in present):
        yield Why.UNKNOWN_FUNCTION, task.call.function
    if task.ready_at > until_ms or task.ready_at > now:
        yield Why.NOT_DUE, f"until {_moment(task.ready_at)}, it is {_moment(now)}"
    if judged(state, now).breaker.state is not BreakerState.CLOSED:
        yield Why.BREAKER_OPEN, ""
    yield Why.WAITING, ""


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(sep=" ", timespec="milliseconds")
