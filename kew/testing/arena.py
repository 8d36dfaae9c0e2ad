"""A world for the user's own program: several processes run it, and trouble comes to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from random import Random
from typing import Any, Final

import attrs

from kew.adapters.memory.namespace import Namespace
from kew.adapters.simulation.chance import InlineThreads, NoWatchdog, SeededEntropy
from kew.adapters.simulation.chaos import make_trouble
from kew.adapters.simulation.faults import Fault, Tally
from kew.adapters.simulation.hosts import Host
from kew.adapters.simulation.loop import SimulationLoop
from kew.adapters.simulation.network import Network
from kew.adapters.simulation.notices import FaultyHub
from kew.adapters.simulation.plan import Plan
from kew.adapters.simulation.port import FaultyStore, FaultyWakeup
from kew.adapters.simulation.processes import Process, current_process
from kew.bootstrap import Parts
from kew.domain.errors import StoreUnavailableError
from kew.domain.task import Task
from kew.manager import TaskQueueManager
from kew.testing.draining import drained
from kew.testing.errors import NotDrainedError
from kew.testing.manager import CURRENT, App, SimulatedManager, maybe_await
from kew.testing.points import JUDGE, KILL, Point, Verdict, task_context
from kew.testing.running import Ground, Scenario

RESTART_AFTER: Final = (0.1, 15.0)
LOOK_EVERY: Final = 1.0
POINT_ODDS: Final = (0.0, 0.02, 0.1)  # of a fault at an await of a task, by seed
AT_POINTS: Final = (Fault.KILL, Fault.STALL)
LONGEST_STALL: Final = 40.0  # past the lease of most queues


@attrs.frozen(kw_only=True)
class Program:
    """What the user gave: the same in every run."""

    scenario: Scenario[object]
    app: App
    setup: Callable[[], object]
    check: Callable[[], object]
    instead_of: TaskQueueManager | None
    within: float


class Arena:
    """Everything of one run but the loop."""

    def __init__(self, loop: SimulationLoop, plan: Plan, program: Program) -> None:
        self.loop, self.plan = loop, plan
        self.tally = Tally()
        self.hub = FaultyHub(loop, plan, self.tally)
        namespace = Namespace()
        namespace.hub = self.hub
        self.ground = Ground.make(loop, namespace)
        self.server = self.ground.server
        self.server.watch = self._carried_out
        self.network = Network(loop, self.server, plan, self.tally, self.meddle)
        names = [f"worker-{number}" for number in range(plan.processes)]
        self.hosts = {name: Host(name, works=True, knows_all=True) for name in names}
        self._client = Host("client", works=False, knows_all=True)
        self._program = program
        self._random = plan.random("arena")
        self._points = plan.random("points")
        self._point_odds = self._random.choice(POINT_ODDS)
        self._at_points = tuple(one for one in AT_POINTS if one in plan.faults)
        self._is_healed = False
        self._told: dict[str, Task] = {}

    # --- from the first process to the last look

    async def run(self) -> None:
        """The scenario under trouble; then no more of it, and every task has to end; then the check."""
        await maybe_await(self._program.setup())
        for host in self.hosts.values():
            self._start(host)
        await self._begin_client()
        trouble = asyncio.ensure_future(self._trouble())
        async with asyncio.timeout(self._program.within):
            await self._as_client(self._act_out())
        await self._struggle()
        trouble.cancel()
        await self._heal()
        await drained(self.server, self.ground.changes, self._program.within)
        if await self._as_client(_called(self._program.check)) is False:
            raise AssertionError("check() returned False")

    async def _trouble(self) -> None:
        async with asyncio.TaskGroup() as group:
            make_trouble(self, group)

    async def _struggle(self) -> None:
        """Let the tasks get on as well as they can, for a while."""
        try:
            await drained(self.server, self.ground.changes, self.plan.horizon)
        except NotDrainedError:
            return

    async def _heal(self) -> None:
        self.loop.note("the faults stop")
        self._is_healed = self.network.is_healed = self.hub.is_healed = True
        self.network.down_until = -1.0
        for host in self.hosts.values():
            host.partitioned_until = host.stalled_until = -1.0
            if host.process is not None:
                host.process.thaw()
        while not all(host.is_ready for host in self.hosts.values()):  # noqa: ASYNC110 - virtual
            await asyncio.sleep(LOOK_EVERY)

    # --- processes

    def _start(self, host: Host) -> None:
        process = Process(self.loop, host.name, host.starts)
        host.starts += 1
        host.begin(process)
        process.context.run(JUDGE.set, self._judge)
        self.loop.note(process, "begins")
        process.spawn(self._serve(host), name="main")

    async def _serve(self, host: Host) -> None:
        """A worker's life; where its start-up meets a store that doesn't answer, it exits, as programs do."""
        try:
            await self._begin(host)
        except StoreUnavailableError as error:
            self.loop.note("gives up starting:", error)
            self._kill(host)
        except Exception as error:  # noqa: BLE001 - the user's start-up is broken: the run has failed
            self.loop.fail(error)

    async def _act_out(self) -> None:
        await self._program.scenario(CURRENT.get())

    async def _begin(self, host: Host) -> None:
        manager = self._manager(host)
        CURRENT.set(manager)
        await manager.initialize()
        if self._program.instead_of is not None:
            manager.adopt(self._program.instead_of)
        await maybe_await(self._program.app(manager))
        host.manager, host.is_ready = manager, True

    def _manager(self, host: Host) -> SimulatedManager:
        random = Random(f"process:{self.plan.seed}:{host.process}")
        parts = Parts(
            store=FaultyStore(host, self.network),
            wakeup=FaultyWakeup(host, self.hub),
            entropy=SeededEntropy(random),
            threads=InlineThreads(random),
            watchdog=NoWatchdog(),
        )
        ground = self.ground
        return SimulatedManager(
            parts, ground.server, ground.changes, works=host.works, tick=self.plan.tick
        )

    async def _begin_client(self) -> None:
        """The process that runs the scenario: it is never killed, and tries until it has started."""
        host = self._client
        while True:
            host.begin(Process(self.loop, host.name, host.starts))
            host.starts += 1
            try:
                await self._as_client(self._begin(host))
            except StoreUnavailableError as error:
                self.loop.note("the client starts again:", error)
                await asyncio.sleep(LOOK_EVERY)
            else:
                return

    async def _as_client(self, work: Coroutine[Any, Any, Any]) -> Any:
        assert self._client.process is not None
        manager = self._client.manager
        if isinstance(manager, SimulatedManager):
            self._client.process.context.run(CURRENT.set, manager)
        return await self._client.process.spawn(work, name="scenario")

    # --- faults

    def meddle(self, host: Host, fault: Fault) -> None:
        """Do to a worker what a fault asks for."""
        if host is self._client or not host.is_alive or self._would_poison(host):
            return
        match fault:
            case Fault.KILL:
                self._kill(host)
            case Fault.STOP:
                self._ask_to_stop(host)
            case Fault.STALL:
                self._stall(host, LONGEST_STALL * self._random.random() ** 2)
            case _:
                raise AssertionError(f"nothing to do to a process: {fault}")

    def _kill(self, host: Host) -> None:
        """As SIGKILL; another process starts before long."""
        assert host.process is not None
        self.loop.note(host.process, "is killed")
        host.process.kill()
        host.is_ready = False
        self._later(20.0 * self._random.random(), self.hub.remove, host.incarnation)
        self._later(self._random.uniform(*RESTART_AFTER), self._start, host)

    def _stall(self, host: Host, seconds: float) -> None:
        assert host.process is not None
        self.loop.note(host.process, f"stalls for {seconds:.3f} s")
        host.process.stall(seconds)

    def _ask_to_stop(self, host: Host) -> None:
        """As SIGTERM: shut down, then end."""
        process = host.process
        if process is None or not host.is_ready or host.is_stopping:
            return
        self.loop.note(process, "is asked to stop")
        host.is_stopping, host.is_ready = True, False
        process.spawn(self._shut_down(host), name="stop")
        self._later(60.0, self._kill_if, host, process)

    async def _shut_down(self, host: Host) -> None:
        assert host.manager is not None
        await host.manager.shutdown(timeout=self._random.choice((0.0, 5.0)))
        self._later(0.0, self._kill_if, host, host.process)

    def _kill_if(self, host: Host, process: Process | None) -> None:
        if host.process is process and host.is_alive:
            self._kill(host)

    def _would_poison(self, host: Host) -> bool:
        """A task here was lost so often that one more loss might fail it, which no user's code can help."""
        if not host.incarnation:
            return False
        return any(
            task.losses + 2 > queue.book.state.settings.max_deliveries
            for queue in self.server.namespace.queues.values()
            for task in queue.book.leases_of(f"{host.incarnation}.")
        )

    def _judge(self, point: Point) -> Verdict:
        """Now and then a process is killed or stands still at an await of a task."""
        if self._is_healed or not self._at_points or self._points.random() >= self._point_odds:
            return None
        context, process = task_context(), current_process()
        host = next((one for one in self.hosts.values() if one.process is process), None)
        if context is None or host is None or self._would_poison(host):
            return None
        fault = self._points.choice(self._at_points)
        self.tally.add(fault, "await")
        seconds = LONGEST_STALL * self._points.random()
        what = f"stalls for {seconds:.3f} s" if fault is Fault.STALL else "dies"
        self.loop.note(f"{what} in {context.task_id} #{context.attempt}, {point}")
        if fault is Fault.STALL:
            return seconds
        self._kill(host)
        return KILL

    def _later(self, seconds: float, act: Callable[..., object], *args: object) -> None:
        self.loop.call_later(seconds, act, *args, context=Context())

    # --- telling

    def _carried_out(
        self, operation: str, _args: tuple[Any, ...], _reply: object, caller: str
    ) -> None:
        """Note what became of which task."""
        self.ground.changes.tell()
        for task_id, task in self.server.namespace.records.items():
            old = self._told.get(task_id)
            if old is task:
                continue
            self._told[task_id] = task
            if old is None or old.status is not task.status or old.attempt != task.attempt:
                self.loop.note(caller, f"{operation}: {task_id} #{task.attempt}", _state_of(task))


async def _called(function: Callable[[], object]) -> object:
    return await maybe_await(function())


def _state_of(task: Task) -> str:
    error = f" ({task.error})" if task.error else ""
    return f"is {task.status.value}{error}"
