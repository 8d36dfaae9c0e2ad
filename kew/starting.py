"""Starting a process: connect, listen, and watch the event loop."""

from __future__ import annotations

from typing import Final

from kew.app.inspector import purge_all
from kew.app.process import Process
from kew.app.working.blocked import BlockedLeases
from kew.bootstrap import Parts
from kew.domain.config import ManagerConfig
from kew.log import logger
from kew.version import VERSION

BLOCKED_AFTER: Final = 2.0
"""Seconds after which a blocked event loop is logged."""
BLOCKED_AFTER_IF_POLITE: Final = 0.25
"""The same if the manager has a `max_loop_lag`."""


async def begin(process: Process, parts: Parts, config: ManagerConfig, *, clean: bool) -> None:
    """Let the process begin; if it can't, nothing is left open. `clean`: remove all queues and tasks first."""
    try:
        await parts.store.open()
        if parts.namespace is not None:  # that of a URL, and no store which a program has made
            from kew.app.undivided import check_undivided  # only if it is used

            await check_undivided(parts.store)
        if clean:
            await purge_all(parts.store)
        await process.listen()
    except BaseException:
        await parts.wakeup.close()
        await parts.store.close()
        raise
    process.caretaker.start()
    is_polite = config.max_loop_lag is not None
    leases = BlockedLeases(parts.store, process.workers)
    parts.watchdog.start(BLOCKED_AFTER_IF_POLITE if is_polite else BLOCKED_AFTER, leases.hold)
    logger.info(
        "%s: ready as process %s, namespace %s, kew %s",
        parts.address,
        process.shown,
        parts.namespace or "(its own)",
        VERSION,
    )
