"""A world for the user's own program: several processes run it and meet faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Final

import attrs

from kew.adapters.memory.namespace import Namespace
from kew.app.ports import Operation
from kew.domain.errors import StoreUnavailableError
from kew.domain.task import Task
from kew.manager import TaskQueueManager
from kew.simulation.chance import InlineThreads
from kew.simulation.chaos import make_trouble
from kew.simulation.faults import Fault, Tally
from kew.simulation.hosts import Host
from kew.simulation.loop import SimulationLoop
from kew.simulation.network import Network
from kew.simulation.notices import FaultyHub
from kew.simulation.plan import Plan
from kew.simulation.port import FaultyWakeup
from kew.simulation.processes import current_process
from kew.simulation.supervisor import Supervisor, parts_on
from kew.testing.draining import drained
from kew.testing.errors import NotDrainedError
from kew.testing.manager import CURRENT, App, SimulatedManager, make_current, maybe_await
from kew.testing.points import JUDGE, KILL, Point, Verdict, task_context
from kew.testing.running import Ground, Scenario

LOOK_EVERY: Final = 1.0
POINT_ODDS: Final = (0.0, 0.02, 0.1)  # of a fault at an await of a task, by seed
AT_POINTS: Final = (Fault.KILL, Fault.STALL)
LONGEST_STALL: Final = 40.0  # past the lease of most queues


@attrs.frozen(kw_only=True)
class Program:
    """The arguments of `simulate` that are the same in every run."""

    scenario: Scenario[object]
    app: App
    setup: Callable[[], object]
    check: Callable[[], object]
    instead_of: TaskQueueManager | None
    within: float


class Arena:
    """Everything of one run except for the loop."""

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
        self.supervisor = Supervisor(
            loop,
            self.hub,
            self._random,
            program=self._serve,
            prepare=lambda context: context.run(JUDGE.set, self._judge),
        )
        self._seen: dict[str, Task] = {}

    # --- from the first process to the last look

    async def run(self) -> None:
        """Run the scenario with faults; then stop the faults, wait until every task has ended, and check."""
        await maybe_await(self._program.setup())
        for host in self.hosts.values():
            self.supervisor.start(host)
        await self._begin_client()
        trouble = asyncio.ensure_future(self._trouble())
        async with asyncio.timeout(self._program.within):
            await self._as_client(self._act_out())
        await self._struggle()
        trouble.cancel()
        await self._heal()
        await drained(self.server, self.ground.activity, self._program.within)
        if await self._as_client(_called(self._program.check)) is False:
            raise AssertionError("check() returned False")

    async def _trouble(self) -> None:
        async with asyncio.TaskGroup() as group:
            make_trouble(self, group)

    async def _struggle(self) -> None:
        """Let the tasks run with faults for a while."""
        try:
            await drained(self.server, self.ground.activity, self.plan.horizon)
        except NotDrainedError:
            return

    async def _heal(self) -> None:
        self.loop.note("the faults stop")
        self._is_healed = self.network.is_healed = True
        self.hub.heal()
        self.network.down_until = -1.0
        for host in self.hosts.values():
            host.partitioned_until = -1.0
        self.supervisor.wake(self.hosts.values())
        while not all(host.is_ready for host in self.hosts.values()):  # noqa: ASYNC110 - virtual
            await asyncio.sleep(LOOK_EVERY)

    # --- processes

    async def _serve(self, host: Host) -> None:
        """Run a worker. If the store doesn't answer at its start, it exits, as programs do."""
        try:
            await self._begin(host)
        except StoreUnavailableError as error:
            self.loop.note("fails to start:", error)
            self.supervisor.kill(host)
        except Exception as error:  # noqa: BLE001 - the user's start-up is broken, so the run has failed
            self.loop.fail(error)

    async def _act_out(self) -> None:
        await self._program.scenario(CURRENT.get())

    async def _begin(self, host: Host) -> None:
        manager = self._manager(host)
        make_current(manager)
        await manager.initialize()
        if self._program.instead_of is not None:
            manager.adopt(self._program.instead_of)
        await maybe_await(self._program.app(manager))
        host.manager, host.is_ready = manager, True

    def _manager(self, host: Host) -> SimulatedManager:
        random = Random(f"process:{self.plan.seed}:{host.process}")
        assert host.process is not None
        parts = parts_on(
            host,
            self.network,
            FaultyWakeup(host, self.hub),
            random,
            InlineThreads(random),
            is_suspended=Fault.SUSPENDED in self.plan.faults,
        )
        ground = self.ground
        return SimulatedManager(
            parts, ground.server, ground.activity, works=host.works, tick=self.plan.tick
        )

    async def _begin_client(self) -> None:
        """Start the process that runs the scenario. It meets no faults, and retries until it has started."""
        host = self._client
        while True:
            self.supervisor.begin(host)
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
            self._client.process.context.run(make_current, manager)
        return await self._client.process.spawn(work, name="scenario")

    # --- faults

    def meddle(self, host: Host, fault: Fault) -> None:
        """Apply a fault to a worker."""
        if host is self._client or not host.is_alive or self._would_poison(host):
            return
        self.supervisor.meddle(host, fault)

    def _would_poison(self, host: Host) -> bool:
        """Whether one more loss might fail a task here for good, which no user code could prevent."""
        if not host.incarnation:
            return False
        return any(
            task.losses + 2 > queue.indexed.state.settings.max_deliveries
            for queue in self.server.namespace.queues.values()
            for task in queue.indexed.leases_of(f"{host.incarnation}.")
        )

    def _judge(self, point: Point) -> Verdict:
        """Sometimes kill or stall a process at an await of a task."""
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
        self.supervisor.kill(host)
        return KILL

    # --- the trace

    def _carried_out(self, operation: Operation[Any], _reply: object, caller: str) -> None:
        """Note each task's change of state."""
        self.ground.activity.tell()
        for task_id, task in self.server.namespace.records.items():
            old = self._seen.get(task_id)
            if old is task:
                continue
            self._seen[task_id] = task
            if old is None or old.status is not task.status or old.attempt != task.attempt:
                self.loop.note(
                    caller, f"{operation.name}: {task_id} #{task.attempt}", _state_of(task)
                )


async def _called(function: Callable[[], object]) -> object:
    return await maybe_await(function())


def _state_of(task: Task) -> str:
    error = f" ({task.error})" if task.error else ""
    return f"is {task.status.value}{error}"
