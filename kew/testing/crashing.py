"""`crash_at_every_await`: kill a task at each of its awaits in turn, and check that it can run again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import Any, Final, TypeVar

import attrs

from kew.adapters.memory.namespace import Namespace
from kew.app.naming import undecorated
from kew.app.ports import Operation, Settle, Submit
from kew.domain.config import QueueConfig
from kew.domain.events import NotStarted, Released
from kew.domain.requests import Settlement
from kew.domain.task import TaskStatus
from kew.functions import TaskFunction
from kew.manager import TaskQueueManager
from kew.simulation.errors import SimulationError
from kew.simulation.faults import Tally
from kew.simulation.hosts import Host
from kew.simulation.loop import SimulationLoop
from kew.simulation.notices import FaultyHub
from kew.simulation.plan import Plan
from kew.simulation.port import FaultyWakeup
from kew.simulation.supervisor import Supervisor, parts_on
from kew.testing.errors import InvariantBroken
from kew.testing.instrument import instrumented, place_of
from kew.testing.logs import quiet
from kew.testing.manager import (
    App,
    InstantThreads,
    SimulatedManager,
    make_current,
    maybe_await,
)
from kew.testing.points import JUDGE, KILL, Point, Verdict, When, suffer, task_context
from kew.testing.running import Ground
from kew.testing.standing_in import standing_in_for

A = TypeVar("A")
TASK_ID: Final = "the-task"
QUEUE: Final = "crashes"
RESTART_AFTER: Final = 1.0
WITHIN: Final = 30 * 86_400.0


@attrs.frozen(kw_only=True)
class Break:
    """A crash that breaks the invariant, and the error that showed it."""

    point: Point
    error: BaseException

    def __str__(self) -> str:
        return f"{self.point}: {type(self.error).__name__}: {self.error}"


@attrs.frozen(kw_only=True)
class CrashReport:
    """The places at which the task was killed, once at each. The invariant held every time."""

    points: Sequence[Point]

    def __str__(self) -> str:
        return f"killed once at each of {len(self.points)} places; the invariant held every time"


@attrs.frozen(kw_only=True)
class CrashTest:
    """The arguments of `crash_at_every_await`."""

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
        function: Callable[..., object] = undecorated(self.task)
        return function


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

    After each kill the task's lease expires, and a new process runs the task again to its end. Then `check()` checks
    the result; it fails by raising, or by returning False. `setup()` runs before each of these runs and resets the
    outside state: an in-memory fake of what the task talks to.

    The task is killed just before and just after each `await`, in all of your code that it calls, even if the `await`
    never waits. It is also killed at its end, after it returned and before kew recorded the outcome. A plain function
    is killed only at its end.

    Raises `InvariantBroken`, an AssertionError, with each place (file and line) that breaks the invariant; otherwise
    returns the places that were tried.

    `app(manager)` is your program's start-up. It is needed if the task submits other tasks, which are then run and
    killed like it. `config`: the task's queue. `instead_of`: as for `run`; the default for a decorated task is the
    manager that decorated it.
    """
    decorated = task if isinstance(task, TaskFunction) else None
    queue = (decorated.queue if decorated else None) or QUEUE
    test = CrashTest(
        task=task,
        args=args,
        kwargs=kwargs or {},
        setup=setup,
        check=check,
        app=app,
        config=config or QueueConfig(queue),
        instead_of=instead_of or _manager_of(decorated),
        seed=seed,
    )
    place_of(test.function)
    with standing_in_for(test.instead_of), instrumented(test.function, check), quiet():
        return _crash_everywhere(test)


def _manager_of(function: TaskFunction[..., Any] | None) -> TaskQueueManager | None:
    manager = function._manager if function else None
    return manager if isinstance(manager, TaskQueueManager) else None


def _crash_everywhere(test: CrashTest) -> CrashReport:
    points: list[Point] = []
    error = _broken(test, points.append, crash_at=None)
    if error is not None:
        raise InvariantBroken(
            f"without any crash: {type(error).__name__}: {error}", [error]
        ) from error
    breaks = []
    for number, point in enumerate(points):
        error = _broken(test, lambda _point: None, crash_at=number)
        if error is not None:
            breaks.append(Break(point=point, error=error))
    if breaks:
        name = getattr(test.function, "__qualname__", test.function)
        lines = [
            f"{name} can't run again after a crash at {len(breaks)} of {len(points)} places:",
            *map(str, breaks),
        ]
        raise InvariantBroken("\n  ".join(lines), breaks) from breaks[0].error
    return CrashReport(points=tuple(points))


def _broken(
    test: CrashTest, passed: Callable[[Point], None], crash_at: int | None
) -> Exception | None:
    """The error after one run; None: the invariant holds."""
    plan = Plan(seed=test.seed, policy="fifo")
    with SimulationLoop(test.seed, plan.policy) as loop:
        try:
            loop.run(_Life(loop, plan, test, passed, crash_at).live())
        except SimulationError:
            raise
        except Exception as error:  # noqa: BLE001 - any error from the user's check means that the invariant is broken
            return error
    return None


class _Life:
    """One run: a client that submits, one working process at a time, and at most one crash."""

    def __init__(
        self,
        loop: SimulationLoop,
        plan: Plan,
        test: CrashTest,
        passed: Callable[[Point], None],
        crash_at: int | None,
    ) -> None:
        self._loop, self._test, self._passed = loop, test, passed
        self._crash_at = crash_at
        self._count = 0
        self._hub = FaultyHub(loop, plan, Tally())
        namespace = Namespace()
        namespace.hub = self._hub
        self._ground = Ground.make(loop, namespace)
        self._host = Host("worker", works=True, knows_all=True)
        self._supervisor = Supervisor(
            loop,
            self._hub,
            Random(test.seed),
            program=lambda _host: self._program(),
            prepare=lambda context: context.run(JUDGE.set, self._judge),
        )

    async def live(self) -> None:
        """Run from `setup` to `check`."""
        test = self._test
        await maybe_await(test.setup())
        host = Host("client", works=False, knows_all=False)
        self._supervisor.begin(host)
        client = self._manager(host)
        await client.initialize()
        await client.create_queue(test.config)
        kwargs: Any = test.kwargs
        queue, function = test.config.name, test.function
        await client.submit_task(TASK_ID, queue, "task", function, None, *test.args, **kwargs)
        self._supervisor.start(self._host)
        await client.drain(WITHIN)
        if await maybe_await(test.check()) is False:
            raise AssertionError("check() returned False")
        info = client.tasks()[TASK_ID]
        is_once = self._ground.server.namespace.records[TASK_ID].call.at_most_once
        if info.status is not TaskStatus.COMPLETED and not (is_once and self._crash_at is not None):
            raise AssertionError(f"the task ended as {info.status.value}: {info.error}")

    async def _program(self) -> None:
        manager = self._manager(self._host)
        config = self._test.config
        await manager.initialize()
        if self._test.app is not None:
            await maybe_await(self._test.app(manager))
        if config.name not in manager.queues:
            await manager.create_queue(config)

    def _manager(self, host: Host) -> SimulatedManager:
        parts = parts_on(
            host,
            _Carrier(self._ground, self._end),
            FaultyWakeup(host, self._hub),
            Random(f"{host}:{self._test.seed}"),
            InstantThreads(),
        )
        ground = self._ground
        manager = SimulatedManager(parts, ground.server, ground.activity, works=host.works)
        make_current(manager)
        if self._test.instead_of is not None:
            manager.adopt(self._test.instead_of)
        manager.register(self._test.function)
        return manager

    async def _end(self, settlement: Settlement) -> None:
        """An attempt has ended, and its outcome is about to be reported."""
        task = self._ground.server.namespace.records.get(settlement.task_id)
        if task is None or isinstance(settlement.event, Released | NotStarted):
            return
        name = task.call.function
        file, line = place_of(self._test.function) if task.id == TASK_ID else (name, 0)
        point = Point(file, line, name.rpartition(":")[2], When.UNRECORDED)
        await suffer(self._judge(point))

    def _judge(self, point: Point) -> Verdict:
        """Kill the process if it is at the point to crash at."""
        if point.when is not When.UNRECORDED and task_context() is None:
            return None
        number, self._count = self._count, self._count + 1
        self._passed(point)
        if number != self._crash_at:
            return None
        self._supervisor.start_later(self._host, RESTART_AFTER)
        return KILL


class _Carrier:
    """Carries calls to the store at once. Before it reports an outcome, the process may be killed."""

    def __init__(self, ground: Ground, end: Callable[[Settlement], Awaitable[None]]) -> None:
        self._ground = ground
        self._end = end

    async def call(self, host: Host, operation: Operation[A]) -> A:
        """The store's reply."""
        if isinstance(operation, Submit | Settle):
            for settlement in operation.settlements:
                await self._end(settlement)
        return self._ground.server.execute(operation, str(host))
