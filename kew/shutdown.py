"""Ending a process: what runs is waited for, what still runs is handed back, and everything is let go of.

Also where the ending itself is cut short.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from typing import Any

from kew.app.process import Process
from kew.app.submitter import Submitter
from kew.bootstrap import Parts, Served
from kew.log import logger

HAS_ENDED = "this manager was shut down: `await manager.initialize()` again, and then create its queues again"
GRACE = 1.0  # seconds that hooks, and submits on their way, get at least


async def shut_down(
    process: Process,
    parts: Parts,
    served: Sequence[Served],
    *,
    wait: bool,
    timeout: float,
) -> None:
    """Within `timeout` seconds and a few more: runs end or are handed back, hooks end, submits get their answers.

    In this order, since runs and hooks may submit. Where the process's event loop is closed, nothing is left to end.
    """
    if process.loop.is_closed():
        await leave_behind(parts)
        return
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout
    process.is_closing = True
    try:
        await asyncio.gather(*(_stop(each, wait=wait, until=until) for each in served))
        await process.reporter.drain(max(until - loop.time(), GRACE))
        await _until_sent(process.submitter, max(until - loop.time(), GRACE))
        await process.submitter.close()
        await asyncio.gather(*(each.worker.hear_out() for each in served if each.worker))
        process.results.close()
    except (Exception, asyncio.CancelledError):  # not where the event loop has gone
        await _to_the_end(_let_go(process, parts, served))
        raise
    await _to_the_end(_let_go(process, parts, served))


async def leave_behind(parts: Parts) -> None:
    """Their event loop is closed: nobody can end what was begun there, and leases lapse."""
    parts.watchdog.close()
    with contextlib.suppress(RuntimeError):  # that the loop is closed
        await parts.wakeup.close()


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Do this whole, however often whoever waits for it is cancelled meanwhile."""
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
        logger.warning("submits were still unanswered after %g s", timeout)


async def _stop(served: Served, *, wait: bool, until: float) -> None:
    if served.worker is not None:
        served.worker.close()
    await served.maintainer.stop()  # first: nobody is to count on this process any more
    if served.worker is not None:
        left = until - asyncio.get_running_loop().time()
        await served.worker.stop(wait=wait, timeout=max(0.0, left))


async def _let_go(process: Process, parts: Parts, served: Sequence[Served]) -> None:
    """Nothing of kew's goes on from here, whatever was reached before."""
    for each in served:
        each.maintainer.close()
    process.admission.close()
    process.results.close()
    process.reporter.close()
    parts.watchdog.close()
    await asyncio.gather(
        process.submitter.close(),
        *(each.worker.end() for each in served if each.worker is not None),
    )
    try:
        await parts.wakeup.close()
    finally:
        await parts.store.close()
