"""Ending a process: what runs is waited for, what still runs is handed back, and everything is let go of.

Also where the ending itself is cut short.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from kew.app.process import Process
from kew.app.submitter import Outbox
from kew.bootstrap import Parts, Served

logger = logging.getLogger("kew")
GRACE = 1.0  # seconds that hooks get at least


async def shut_down(
    process: Process,
    parts: Parts,
    served: Sequence[Served],
    outboxes: Sequence[Outbox],
    *,
    wait: bool,
    timeout: float,
) -> None:
    """Within `timeout` seconds and a few more: submits get their answers, runs end or are handed back, hooks end."""
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout
    try:
        await _until_sent(outboxes, timeout)
        await asyncio.gather(*(outbox.close() for outbox in outboxes))
        await asyncio.gather(*(_stop(each, wait=wait, until=until) for each in served))
        process.results.close()
        await process.reporter.drain(max(until - loop.time(), GRACE))
    except (Exception, asyncio.CancelledError):  # not where the event loop has gone
        await _let_go(process, parts, served, outboxes)
        raise
    await _let_go(process, parts, served, outboxes)


async def _until_sent(outboxes: Sequence[Outbox], timeout: float) -> None:
    try:
        async with asyncio.timeout(timeout):
            await asyncio.gather(*(outbox.drain() for outbox in outboxes))
    except TimeoutError:
        logger.warning("submits were still unanswered after %g s", timeout)


async def _stop(served: Served, *, wait: bool, until: float) -> None:
    if served.worker is not None:
        served.worker.close()
    await served.maintainer.stop()  # first: nobody is to count on this process any more
    if served.worker is not None:
        left = until - asyncio.get_running_loop().time()
        await served.worker.stop(wait=wait, timeout=max(0.0, left))


async def _let_go(
    process: Process, parts: Parts, served: Sequence[Served], outboxes: Sequence[Outbox]
) -> None:
    """Nothing of kew's goes on from here, whatever was reached before."""
    for each in served:
        each.maintainer.close()
    process.admission.close()
    process.results.close()
    parts.watchdog.close()
    await asyncio.gather(
        *(outbox.close() for outbox in outboxes),
        *(each.worker.end() for each in served if each.worker is not None),
    )
    await parts.wakeup.close()
    await parts.store.close()
