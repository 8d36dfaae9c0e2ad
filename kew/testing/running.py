"""`run` and `simulated`: one process on simulated time, with its own store and without faults."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, TypeVar, Unpack

import attrs

from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.namespace import Namespace
from kew.app.ports import Announce, Operation, Sweep
from kew.manager import TaskQueueManager
from kew.simulation.errors import SimulationDeadlock
from kew.simulation.hosts import Host
from kew.simulation.loop import SimulationLoop
from kew.simulation.processes import EPOCH_S
from kew.simulation.server import Server
from kew.simulation.supervisor import parts_on
from kew.testing.draining import Activity
from kew.testing.manager import (
    App,
    InstantThreads,
    ManagerOptions,
    SimulatedManager,
    make_current,
    maybe_await,
)
from kew.testing.standing_in import standing_in_for

A = TypeVar("A")
T = TypeVar("T")
Scenario = Callable[[SimulatedManager], Awaitable[T]]

DAY: Final = 86_400.0
LONGEST: Final = timedelta(days=20 * 366)
LASTING_MS: Final = round(LONGEST.total_seconds() * 2000)
"""There is only one process, so its presence need not be renewed."""

logger = logging.getLogger("kew.testing")


@attrs.frozen(kw_only=True)
class Ground:
    """The store under a manager in one run."""

    server: Server
    activity: Activity

    @classmethod
    def make(cls, loop: SimulationLoop, namespace: Namespace) -> Ground:
        """A new store that reports each operation to `activity`."""
        server, activity = Server(loop.world_time, namespace), Activity()
        server.watch = lambda *_operation: activity.tell()
        return cls(server=server, activity=activity)


class Direct:
    """Carries calls to the store at once."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def call(self, host: Host, operation: Operation[A]) -> A:
        """The store's reply."""
        answer: A = self._server.execute(_lasting(operation), str(host))
        return answer


def _lasting(operation: Operation[Any]) -> Operation[Any]:
    match operation:
        case Announce():
            return attrs.evolve(operation, ttl_ms=LASTING_MS)
        case Sweep():
            return attrs.evolve(operation, presence_ms=LASTING_MS)
        case _:
            return operation


def run(
    scenario: Scenario[T],
    *,
    seed: int = 0,
    app: App | None = None,
    instead_of: TaskQueueManager | None = None,
    start: datetime | None = None,
    **options: Unpack[ManagerOptions],
) -> T:
    """Run `scenario(manager)` on simulated time, and return what it returns or raise what it raises.

    - `app(manager)`: your program's own start-up, which creates queues and registers functions; called first.
    - `instead_of`: the global manager of your code. During the run, its functions are registered with the simulated
      manager, and calls to it reach the simulated manager.
    - `start`: the simulated time at the start, by default midnight of 1 January 2024, UTC.
    - `seed`: decides random values (the jitter of backoffs). Everything else is the same in every run.
    - `options`: hooks, `max_concurrency` and `trust`, as for `TaskQueueManager`.

    Threads, sockets and real sleeps raise `RealIOForbidden`; plain functions run inline. Call it from plain code, not
    inside a running event loop.
    """
    with standing_in_for(instead_of), SimulationLoop(seed, "fifo") as loop:
        ground = Ground.make(loop, Namespace())
        if start is not None:
            ground.server.clock.ahead_s = start.timestamp() - EPOCH_S
        try:
            return loop.run(_live(ground, Random(seed), scenario, app, instead_of, options))
        finally:
            for one in loop.unhandled:
                logger.error("%s", one.message, exc_info=one.error)


async def _live(
    ground: Ground,
    random: Random,
    scenario: Scenario[T],
    app: App | None,
    instead_of: TaskQueueManager | None,
    options: ManagerOptions,
) -> T:
    server = ground.server
    parts = parts_on(
        Host("manager", works=True, knows_all=True),
        Direct(server),
        MemoryWakeup(server.namespace.hub),
        random,
        InstantThreads(),
    )
    manager = SimulatedManager(parts, server, ground.activity, tick=DAY, options=options)
    make_current(manager)
    if instead_of is not None:
        manager.adopt(instead_of)
    async with manager:
        limit = asyncio.timeout(LONGEST.total_seconds())
        try:
            async with limit:
                if app is not None:
                    await maybe_await(app(manager))
                return await scenario(manager)
        except TimeoutError:
            if not limit.expired():
                raise
            raise SimulationDeadlock(
                "the scenario still waits after 20 simulated years; what it awaits never happens"
            ) from None


def simulated(
    test: Callable[..., Awaitable[None]] | None = None,
    *,
    seed: int = 0,
    app: App | None = None,
    instead_of: TaskQueueManager | None = None,
    start: datetime | None = None,
    **options: Unpack[ManagerOptions],
) -> Any:
    """Turn `async def test_x(manager, ...)` into a plain test that passes it to `run`.

    The test runner provides the other arguments, its fixtures for instance. Use the decorator bare, or with the
    arguments of `run`.
    """

    def decorate(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        @functools.wraps(test)
        def plain(*args: Any, **kwargs: Any) -> None:
            def scenario(manager: SimulatedManager) -> Awaitable[None]:
                return test(*args, manager=manager, **kwargs)

            run(scenario, seed=seed, app=app, instead_of=instead_of, start=start, **options)

        signature = inspect.signature(test)
        others = [one for one in signature.parameters.values() if one.name != "manager"]
        plain.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
        del plain.__wrapped__
        return plain

    return decorate if test is None else decorate(test)
