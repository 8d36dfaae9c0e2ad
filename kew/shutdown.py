"""Shutting a process down: wait for runs, release what still runs, and close everything.

Everything is closed even if the shutdown itself is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from kew.app.process import Process
from kew.app.spawning import clean_context, spawn
from kew.app.submitting.submitter import Submitter
from kew.app.working.context import TaskContext
from kew.bootstrap import Parts, QueueServices
from kew.domain.words import tasks_text
from kew.log import logger, logging_as

SHUT_DOWN = "this manager is shutting down, so it can't create a queue"
HAS_ENDED = "this manager was shut down: call `await manager.initialize()` again, and then create its queues again"
CALLER_GRACE = 2.0  # seconds that a task gets at least to end after it has called shutdown()
GRACE = 1.0  # seconds that hooks, and submits in flight, get at least


async def shut_down(
    process: Process,
    parts: Parts,
    served: Sequence[QueueServices],
    *,
    wait: bool,
    timeout: float,
) -> None:
    """End or release runs, end hooks, and wait for answers to submits, in `timeout` seconds and a few more.

    They go in this order, since runs and hooks may submit. If the process's event loop is closed, there is nothing to
    end.
    """
    if process.loop.is_closed():
        await leave_behind(parts)
        return
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout
    process.is_closing = True
    process.caretaker.close()
    process.scheduling.close()
    running = sum(each.worker.load() for each in served if each.worker is not None)
    grace = f"which get {timeout:g} s" if wait else "which are stopped"
    more = f", {grace}" if running else ""
    with logging_as(process.presence.name):
        logger.info("%s: shutting down: %s run here%s", parts.address, tasks_text(running), more)
        await _shut_down(process, parts, served, wait=wait, until=until)
        logger.info("%s: shut down", parts.address)


async def _shut_down(
    process: Process, parts: Parts, served: Sequence[QueueServices], *, wait: bool, until: float
) -> None:
    loop = asyncio.get_running_loop()
    try:
        await asyncio.gather(*(_stop(each, wait=wait, until=until) for each in served))
        await process.reporter.drain(max(until - loop.time(), GRACE))
        await _until_sent(process.submitter, max(until - loop.time(), GRACE))
        await process.submitter.close()
        await asyncio.gather(*(each.worker.drain() for each in served if each.worker))
        process.results.close()
    except (Exception, asyncio.CancelledError):  # not if the event loop has gone
        await _to_the_end(_close_all(process, parts, served))
        raise
    await _to_the_end(_close_all(process, parts, served))


def begin_after_caller(
    served: Sequence[QueueServices],
    end: Callable[[], Coroutine[Any, Any, None]],
    *,
    wait: bool,
    timeout: float,
) -> asyncio.Task[None]:
    """Shut down in the background, since the caller is a task or a hook that the shutdown waits for: keep the task."""
    for each in served:
        if each.worker is not None:
            each.worker.close()
    grace = max(0.0, CALLER_GRACE - (timeout if wait else 0.0))
    ending = _end_after(TaskContext.current(), served, end, grace)
    return spawn(ending, name="kew-shutdown", context=clean_context())


async def _end_after(
    caller: TaskContext,
    served: Sequence[QueueServices],
    end: Callable[[], Coroutine[Any, Any, None]],
    grace: float,
) -> None:
    """The caller gets a moment to end, or its task would be released, and shut the next process down again."""
    try:
        for each in served:
            if grace and each.worker is not None and each.config.name == caller.queue:
                await each.worker.until_ended(caller.fencing_token, grace)
        await end()
    except Exception:
        logger.exception("the shutdown that a task or a hook asked for failed")


async def leave_behind(parts: Parts) -> None:
    """Their event loop is closed: nothing that was started there can be ended, and leases will expire."""
    parts.watchdog.close()
    with contextlib.suppress(RuntimeError):  # that the loop is closed
        await parts.wakeup.close()


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Do all of this, however often the waiting caller is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    task.result()


async def _until_sent(submitter: Submitter, timeout: float) -> None:
    try:
        async with asyncio.timeout(timeout):
            await submitter.drain()
    except TimeoutError:
        logger.warning("shutdown: submits had no answer after %g s", timeout)


async def _stop(served: QueueServices, *, wait: bool, until: float) -> None:
    if served.worker is not None:
        served.worker.close()
    await served.maintainer.stop()  # first, so that the store gives this process no more work
    if served.worker is not None:
        left = until - asyncio.get_running_loop().time()
        await served.worker.stop(wait=wait, timeout=max(0.0, left))


async def _close_all(process: Process, parts: Parts, served: Sequence[QueueServices]) -> None:
    """Close everything, whatever was reached before."""
    for each in served:
        each.maintainer.close()
    process.admission.close()
    process.caretaker.close()
    process.scheduling.close()
    process.deadlocks.close()
    process.results.close()
    process.reporter.close()
    process.notifications.close()
    parts.watchdog.close()
    await asyncio.gather(
        process.submitter.close(),
        *(each.worker.end() for each in served if each.worker is not None),
    )
    if process.resources:
        workers = [each.worker for each in served if each.worker is not None]
        await asyncio.gather(*(worker.until_stopped() for worker in workers))
        await process.resources.close()
    try:
        await parts.wakeup.close()
    finally:
        await parts.store.close()
