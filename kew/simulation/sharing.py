"""What simulated tasks share: a pool per process, and a session per run. Both report what they are used for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Final

from kew.app.injection import Depends
from kew.app.working.context import TaskContext
from kew.manager import TaskQueueManager
from kew.simulation.facts import Facts
from kew.simulation.feature import Workload
from kew.simulation.handlers import Script, perform
from kew.simulation.hosts import Host
from kew.simulation.plan import Plan

NAME: Final = "resources"
WORKLOAD: Final = "sharing"
FEATURE: Final = "sessions"
FUNCTION: Final = "perform_with_session"
MANY_RETRIES: Final = 30
PART: Final = 0.25  # of the runs of a mix: with a pool, each start of a process does more
CLEANUPS: Final = (0.0, 0.0, 0.3, 2.0, 8.0)  # seconds; the last is longer than an outcome waits


def shares(plan: Plan, workload: Workload) -> bool:
    """Whether the processes of this run have pools."""
    names = [feature.name for feature in workload.features]
    is_mix = len(names) > 1
    return FEATURE in names and (not is_mix or plan.random("sharing").random() < PART)


class Pool:
    """The pool of one process: open at most once at a time, and in use only while it is open."""

    def __init__(self, facts: Facts, process: str, random: Random) -> None:
        self.facts = facts
        self.process = process
        self.random = random
        self.is_open = False
        self.fails = random.random() < 0.3
        self.users = 0

    async def opened(self) -> AsyncIterator[Pool]:
        """The resource. Its first opening may fail."""
        await asyncio.sleep(self.random.choice((0.0, 0.1, 1.0)))
        if self.fails:
            self.fails = False
            raise OSError("the pool can't be opened yet")
        if self.is_open:
            self.facts.fail(NAME, f"{self.process} opened its pool twice")
        self.is_open = True
        yield self
        self.is_open = False
        if self.users:
            self.facts.fail(NAME, f"{self.process} closed its pool while {self.users} runs use it")

    def check_closed(self) -> None:
        """The process has shut down."""
        if self.is_open:
            self.facts.fail(NAME, f"{self.process} has shut down, and its pool is open")


class Session:
    """What one run has for itself."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._run = ""
        self.is_closed = False

    def use(self) -> None:
        """A run uses it, and no other."""
        context = TaskContext.current()
        run = f"{context.task_id} #{context.attempt}"
        if self._run not in ("", run):
            self._pool.facts.fail(NAME, f"{run} has the session of {self._run}")
        if self.is_closed or not self._pool.is_open:
            self._pool.facts.fail(NAME, f"{run} has a session that is closed")
        self._run = run


def share(manager: TaskQueueManager, host: Host, facts: Facts, random: Random) -> None:
    """Give the process a pool, and let it run a function that needs a session."""
    pool = Pool(facts, str(host.process), random)
    resource = manager.resource(pool.opened)

    async def session(pool: Pool = Depends(resource)) -> AsyncIterator[Session]:
        opened = Session(pool)
        pool.users += 1
        try:
            yield opened
        finally:
            try:
                await asyncio.sleep(random.choice(CLEANUPS))
            finally:
                opened.is_closed = True
                pool.users -= 1
            if random.random() < 0.3:
                raise OSError("the session can't be closed")

    async def perform_with_session(script: Script, session: Session = Depends(session)) -> str:
        session.use()
        try:
            return await perform(script)
        finally:
            session.use()

    manager.task(name=FUNCTION, max_retries=MANY_RETRIES, retry_delay=0.5)(perform_with_session)
    host.sharing, host.on_shut_down = perform_with_session, pool.check_closed
