"""`crash_at_every_await`: kill a task at each of its awaits in turn, and see whether it can be run again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context
from random import Random
from typing import Any, Final

import attrs

from kew.adapters.memory.namespace import Namespace
from kew.adapters.simulation.chance import NoWatchdog, SeededEntropy
from kew.adapters.simulation.errors import SimulationError
from kew.adapters.simulation.faults import Tally
from kew.adapters.simulation.hosts import Host
from kew.adapters.simulation.loop import SimulationLoop
from kew.adapters.simulation.notices import FaultyHub
from kew.adapters.simulation.plan import Plan
from kew.adapters.simulation.port import FaultyStore, FaultyWakeup
from kew.adapters.simulation.processes import Process
from kew.bootstrap import Parts
from kew.domain.config import QueueConfig
from kew.domain.events import Released
from kew.domain.requests import Settlement
from kew.domain.task import TaskStatus
from kew.handles import TaskFunction
from kew.manager import TaskQueueManager
from kew.testing.errors import InvariantBroken
from kew.testing.instrument import instrumented, place_of
from kew.testing.logs import quiet
from kew.testing.manager import (
    CURRENT,
    App,
    InstantThreads,
    SimulatedManager,
    maybe_await,
    plain,
)
from kew.testing.points import JUDGE, KILL, Point, Verdict, When, suffer, task_context
from kew.testing.running import Ground
from kew.testing.standing_in import standing_in_for

TASK_ID: Final = "the-task"
QUEUE: Final = "crashes"
RESTART_AFTER: Final = 1.0
WITHIN: Final = 30 * 86_400.0


@attrs.frozen(kw_only=True)
class Break:
    """A crash after which things are wrong, and what told so."""

    point: Point
    error: BaseException

    def __str__(self) -> str:
        return f"{self.point}: {type(self.error).__name__}: {self.error}"


@attrs.frozen(kw_only=True)
class CrashReport:
    """Where the task was killed, once at each of these; the invariant held every time."""

    points: Sequence[Point]

    def __str__(self) -> str:
        return f"killed at {len(self.points)} places in turn; the invariant held every time"


@attrs.frozen(kw_only=True)
class Order:
    """What `crash_at_every_await` was asked for."""

    task: Callable[..., object] | TaskFunction[..., Any]
    args: Sequence[object]
    kwargs: Mapping[str, object]
    setup: Callable[[], object]
    check: Callable[[], object]
    app: App | None
    config: QueueConfig
    instead_of: TaskQueueManager | None
    seed: int

    @property
    def function(self) -> Callable[..., object]:
        """The task's own code."""
        return plain(self.task)


def crash_at_every_await(
    task: Callable[..., object] | TaskFunction[..., Any],
    *args: object,
    setup: Callable[[], object],
    check: Callable[[], object],
    kwargs: Mapping[str, object] | None = None,
    app: App | None = None,
    config: QueueConfig | None = None,
    instead_of: TaskQueueManager | None = None,
    seed: int = 0,
) -> CrashReport:
    """Run `task(*args, **kwargs)` once for each of its awaits, and kill its process there, as SIGKILL does.

    The task's lease ends, a fresh process runs it again to its end, and `check()` says whether all is
    well (by raising, or by returning False). Before each of these runs `setup()` makes the state outside
    fresh: an in-memory fake of what the task talks to. Each `await` counts twice, just before and just
    after it, also where nothing waits, and in all code of yours that the task calls; and so does the end,
    between its return and the moment at which kew knows of it. Raises `InvariantBroken`, an
    AssertionError, with each place (file and line) where it broke; else returns what was tried.

    `app(manager)` is your program's start-up, needed where the task submits other tasks, which are run
    and killed likewise. `config`: the task's queue. `instead_of`: as for `run`; for a decorated task it
    is the manager that decorated it. Plain functions are killed at their end alone.
    """
    decorated = task if isinstance(task, TaskFunction) else None
    queue = (decorated.queue if decorated else None) or QUEUE
    order = Order(
        task=task,
        args=args,
        kwargs=kwargs or {},
        setup=setup,
        check=check,
        app=app,
        config=config or QueueConfig(queue),
        instead_of=instead_of or (decorated._manager if decorated else None),
        seed=seed,
    )
    place_of(order.function)
    with standing_in_for(order.instead_of), instrumented(order.function, check), quiet():
        return _crash_everywhere(order)


def _crash_everywhere(order: Order) -> CrashReport:
    points: list[Point] = []
    error = _broken(order, points.append, crash_at=None)
    if error is not None:
        raise InvariantBroken(
            f"without any crash: {type(error).__name__}: {error}", [error]
        ) from error
    breaks = []
    for number, point in enumerate(points):
        error = _broken(order, lambda _point: None, crash_at=number)
        if error is not None:
            breaks.append(Break(point=point, error=error))
    if breaks:
        name = getattr(order.function, "__qualname__", order.function)
        lines = [
            f"{name} can't be run again after a crash at {len(breaks)} of {len(points)} places:",
            *map(str, breaks),
        ]
        raise InvariantBroken("\n  ".join(lines), breaks) from breaks[0].error
    return CrashReport(points=tuple(points))


def _broken(
    order: Order, passed: Callable[[Point], None], crash_at: int | None
) -> Exception | None:
    """What is wrong after one run; None: nothing."""
    plan = Plan(seed=order.seed, policy="fifo")
    with SimulationLoop(order.seed, plan.policy) as loop:
        try:
            loop.run(_Life(loop, plan, order, passed, crash_at).live())
        except SimulationError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the user's check raises says that it broke
            return error
    return None


class _Life:
    """One run: a client that submits, one process at a time that works, and at most one crash."""

    def __init__(
        self,
        loop: SimulationLoop,
        plan: Plan,
        order: Order,
        passed: Callable[[Point], None],
        crash_at: int | None,
    ) -> None:
        self._loop, self._order, self._passed = loop, order, passed
        self._crash_at = crash_at
        self._count = 0
        self._hub = FaultyHub(loop, plan, Tally())
        namespace = Namespace()
        namespace.hub = self._hub
        self._ground = Ground.make(loop, namespace)
        self._host = Host("worker", works=True, knows_all=True)

    async def live(self) -> None:
        """From a fresh state to the check."""
        order = self._order
        await maybe_await(order.setup())
        host = Host("client", works=False, knows_all=False)
        host.begin(Process(self._loop, host.name))
        client = self._manager(host)
        await client.initialize()
        await client.create_queue(order.config)
        kwargs: Any = order.kwargs
        queue, function = order.config.name, order.function
        await client.submit_task(TASK_ID, queue, "task", function, None, *order.args, **kwargs)
        self._start()
        await client.drain(WITHIN)
        if await maybe_await(order.check()) is False:
            raise AssertionError("check() returned False")
        info = client.tasks()[TASK_ID]
        is_once = self._ground.server.namespace.records[TASK_ID].call.at_most_once
        if info.status is not TaskStatus.COMPLETED and not (is_once and self._crash_at is not None):
            raise AssertionError(f"the task ended as {info.status.value}: {info.error}")

    def _start(self) -> None:
        host = self._host
        process = Process(self._loop, host.name, host.starts)
        host.starts += 1
        host.begin(process)
        process.context.run(JUDGE.set, self._judge)
        process.spawn(self._program(), name="main")

    async def _program(self) -> None:
        manager = self._manager(self._host)
        config = self._order.config
        await manager.initialize()
        if self._order.app is not None:
            await maybe_await(self._order.app(manager))
        if config.name not in manager.queues:
            await manager.create_queue(config)

    def _manager(self, host: Host) -> SimulatedManager:
        parts = Parts(
            store=FaultyStore(host, _Carrier(self._ground, self._end)),
            wakeup=FaultyWakeup(host, self._hub),
            entropy=SeededEntropy(Random(f"{host}:{self._order.seed}")),
            threads=InstantThreads(),
            watchdog=NoWatchdog(),
        )
        ground = self._ground
        manager = SimulatedManager(parts, ground.server, ground.changes, works=host.works)
        CURRENT.set(manager)
        if self._order.instead_of is not None:
            manager.adopt(self._order.instead_of)
        manager.register(self._order.function)
        return manager

    async def _end(self, settlement: Settlement) -> None:
        """An attempt has ended, and kew is about to report it."""
        task = self._ground.server.namespace.records.get(settlement.task_id)
        if task is None or isinstance(settlement.event, Released):
            return
        name = task.call.function
        file, line = place_of(self._order.function) if task.id == TASK_ID else (name, 0)
        point = Point(file, line, name.rpartition(":")[2], When.UNRECORDED)
        await suffer(self._judge(point))

    def _judge(self, point: Point) -> Verdict:
        """Kill at the point whose turn it is."""
        if point.when is not When.UNRECORDED and task_context() is None:
            return None
        number, self._count = self._count, self._count + 1
        self._passed(point)
        if number != self._crash_at:
            return None
        self._loop.call_later(RESTART_AFTER, self._start, context=Context())
        return KILL


class _Carrier:
    """Takes calls to the store at once, but for what happens before an outcome is reported."""

    def __init__(self, ground: Ground, end: Callable[[Settlement], Awaitable[None]]) -> None:
        self._ground = ground
        self._end = end

    async def call(self, host: Host, operation: str, args: tuple[Any, ...]) -> Any:
        """The store's reply."""
        if operation == "settle":
            for settlement in args[1]:
                await self._end(settlement)
        return self._ground.server.execute(operation, args, str(host))
