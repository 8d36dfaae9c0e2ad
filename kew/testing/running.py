"""`run` and `simulated`: one process on simulated time, over a store of its own, where nothing fails by itself."""

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
from kew.adapters.simulation.chance import NoWatchdog, SeededEntropy
from kew.adapters.simulation.errors import SimulationDeadlock
from kew.adapters.simulation.hosts import Host
from kew.adapters.simulation.loop import SimulationLoop
from kew.adapters.simulation.port import FaultyStore
from kew.adapters.simulation.processes import EPOCH_S
from kew.adapters.simulation.server import Server
from kew.bootstrap import Parts
from kew.manager import TaskQueueManager
from kew.testing.draining import Changes
from kew.testing.manager import (
    CURRENT,
    App,
    InstantThreads,
    ManagerOptions,
    SimulatedManager,
    maybe_await,
)
from kew.testing.standing_in import standing_in_for

T = TypeVar("T")
Scenario = Callable[[SimulatedManager], Awaitable[T]]

DAY: Final = 86_400.0
LONGEST: Final = timedelta(days=20 * 366)
LASTING_MS: Final = round(LONGEST.total_seconds() * 2000)
"""Nobody else could take over, so presence need not be renewed."""

logger = logging.getLogger("kew.testing")


@attrs.frozen(kw_only=True)
class Ground:
    """What stands under a manager: the world of one run."""

    server: Server
    changes: Changes

    @classmethod
    def make(cls, loop: SimulationLoop, namespace: Namespace) -> Ground:
        """A new store; whoever waits is told of all that it carries out."""
        server, changes = Server(loop.time, namespace), Changes()
        server.watch = lambda *_operation: changes.tell()
        return cls(server=server, changes=changes)


class Direct:
    """Carries calls to the store at once."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def call(self, host: Host, operation: str, args: tuple[Any, ...]) -> Any:
        """The store's reply."""
        if operation == "announce":
            args = (*args[:3], LASTING_MS, *args[4:])
        return self._server.execute(operation, args, str(host))


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

    `app(manager)`: your program's own start-up (creates queues, registers functions), called first.
    `instead_of`: the manager that your code has as a global; its functions are known, and its calls reach
    the simulated one while this runs. `start`: the simulated time at the beginning, else midnight of
    1 January 2024, UTC. `seed` decides chance (the jitter of backoffs); all else is the same in every
    run. `options`: hooks, `max_concurrency` and `trust`, as of `TaskQueueManager`. Threads, sockets and
    real sleeps raise `RealIOForbidden`; plain functions run inline. To be called from plain code, not from a
    running loop.
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
    parts = Parts(
        store=FaultyStore(Host("manager", works=True, knows_all=True), Direct(server)),
        wakeup=MemoryWakeup(server.namespace.hub),
        entropy=SeededEntropy(random),
        threads=InstantThreads(),
        watchdog=NoWatchdog(),
    )
    manager = SimulatedManager(parts, server, ground.changes, tick=DAY, options=options)
    CURRENT.set(manager)
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
                "the scenario still waits after 20 simulated years; what it awaits never comes"
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
    """Make a plain test of `async def test_x(manager, ...)`: called, it does `run` with that manager.

    Its other arguments are left to whoever calls, such as a test runner's fixtures. Use it bare, or with
    the arguments of `run`.
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
