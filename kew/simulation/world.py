"""The simulated world: hosts with processes, one store behind a faulty network, users, and chaos."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextvars import Context
from random import Random
from typing import Final

from kew.adapters.memory.namespace import Namespace
from kew.app.ports import OPERATIONS
from kew.domain.errors import TaskQueueError
from kew.manager import TaskQueueManager
from kew.simulation.facts import Facts
from kew.simulation.faults import Fault, Tally
from kew.simulation.feature import User, Workload, usual_queues
from kew.simulation.features import workloads
from kew.simulation.handlers import RUNS
from kew.simulation.hosts import Host
from kew.simulation.loop import SimulationLoop
from kew.simulation.network import Network
from kew.simulation.notices import FaultyHub
from kew.simulation.partitions import PartitionedNetwork, PartitionedServer
from kew.simulation.plan import Plan
from kew.simulation.program import run_program
from kew.simulation.runs import Runs
from kew.simulation.server import Server
from kew.simulation.supervisor import Supervisor
from kew.simulation.witness import Witness

ERRANDS_UNTIL: Final = 0.85  # of the horizon
SKEWS: Final = (0.0, 0.0, -3600.0, 7.0, 86_400.0)
# Seconds without any task's end, after the last fault, that mean there will be none.
SETTLING: Final = 600.0
# Seconds that a user's task waits to be due: more is a clock that is wrong.
LONGEST_DELAY: Final = 720.0
LOOK_EVERY: Final = 2.0
CANCEL_ODDS: Final = 0.15


class World:
    """Everything of one run but the loop."""

    def __init__(self, loop: SimulationLoop, plan: Plan) -> None:
        self.loop, self.plan = loop, plan
        self.tally = Tally()
        self.hub = FaultyHub(loop, plan, self.tally)
        namespace = Namespace()
        namespace.hub = self.hub
        self.facts = Facts(plan=plan, loop=loop, records=namespace.records)
        self.server = self._make_server(namespace)
        self.witness = Witness(self.facts, namespace)
        self.server.watch = self.witness.watch
        self.server.task_to_explain = self.witness.task_to_explain
        self.network = self._make_network()
        self.workload: Workload = workloads()[plan.workload]
        self.queues = (self.workload.queues or usual_queues)(plan.random("queues"))
        self.hosts = {host.name: host for host in _hosts(plan)}
        self.runs = Runs(self.facts, self.hosts)
        self.is_healed = False
        self._random = plan.random("world")
        self.supervisor = Supervisor(
            loop,
            self.hub,
            self._random,
            program=lambda host: run_program(self, host),
            prepare=lambda context: context.run(RUNS.set, self.runs),
        )
        self._users = plan.random("users")

    def meddle(self, host: Host, fault: Fault) -> None:
        """Do to a process what a fault asks for."""
        self.supervisor.meddle(host, fault)

    def _make_server(self, namespace: Namespace) -> Server:
        if self.plan.store == "memory":
            return Server(self.loop.world_time, namespace)
        if self.plan.store == "partitions":
            return PartitionedServer(self.loop.world_time, namespace, self.facts)
        from kew.simulation.lua import LuaServer

        server = LuaServer(self.loop.world_time, namespace, self.hub)
        self.facts.peek_may_add_ms = server.peek_may_add_ms
        return server

    def _make_network(self) -> Network:
        if not isinstance(self.server, PartitionedServer):
            return Network(self.loop, self.server, self.plan, self.tally, self.meddle)
        return PartitionedNetwork(
            [
                Network(
                    self.loop, part, self.plan, self.tally, self.meddle, f"network:{part.number}"
                )
                for part in self.server.parts
            ]
        )

    # --- users

    async def users(self) -> None:
        """Send users on errands until the faults stop."""
        random = self._users
        features = [one for one in self.workload.features if one.is_calm or not self.plan.is_quiet]
        if not features:
            return
        weights = [feature.weight for feature in features]
        pace = self.plan.errands / (self.plan.horizon * ERRANDS_UNTIL)
        for number in range(self.plan.errands):
            await asyncio.sleep(random.expovariate(pace))
            if self.loop.world_time() > self.plan.horizon:
                return
            feature = random.choices(features, weights)[0]
            host = random.choice(list(self.hosts.values()))
            is_wanted = feature.name not in self.plan.without
            if host.is_ready and host.is_alive and is_wanted:
                self._send(host, number, feature.name, feature.errand)

    def _send(
        self, host: Host, number: int, name: str, errand: Callable[[User], Awaitable[None]]
    ) -> None:
        assert host.manager is not None
        assert host.process is not None
        self.facts.count(name)
        user = User(
            manager=host.manager,
            host=host,
            random=Random(f"errand:{self.plan.seed}:{number}"),
            facts=self.facts,
            runs=self.runs,
            number=number,
        )
        task = host.process.spawn(_on_errand(user, errand), name=f"{name}-{number}")
        host.errands.add(task)
        task.add_done_callback(host.errands.discard)
        if Fault.CANCELLED in self.plan.faults and self._random.random() < CANCEL_ODDS:
            wait = self._random.choice((0.003, 0.01, 5.0)) * self._random.random()
            self.loop.call_later(wait, self._cancel, host, task, context=Context())

    def _cancel(self, host: Host, errand: asyncio.Task[None]) -> None:
        """Cancel a user's code; what it waits for is often on its way in a task of kew's own."""
        if errand.done():
            return
        shared = (operation.name for operation in OPERATIONS if operation.is_shared)
        for name in shared:
            if host.in_flight[name]:
                self.tally.add(Fault.CANCELLED, name)
        errand.cancel()

    # --- from the first process to the last look

    async def run(self, chaos: Callable[[World], Awaitable[None]]) -> None:
        """Live through the plan: faults and errands, then healing, then everything has to end."""
        for host in self.hosts.values():
            self.supervisor.start(host)
        supervisor = asyncio.ensure_future(self._supervise())
        trouble = asyncio.ensure_future(chaos(self))
        errands = asyncio.ensure_future(self.users())
        await asyncio.sleep(self.plan.horizon)
        trouble.cancel()
        await errands
        self.heal()
        await self._until_quiet()
        supervisor.cancel()
        self.witness.at_end()
        for leftover in self.server.leftovers():
            self.facts.fail("partitions", f"long after the last fault, {leftover}")
        for host in self.hosts.values():
            if not host.is_ready:
                self.facts.fail("liveness", f"{host} is still not ready long after the last fault")
            for errand in host.errands:
                self.facts.fail("liveness", f"{errand.get_name()} still waits for an answer")

    async def _supervise(self) -> None:
        """Restart what crashed by itself, and look for tasks that wait for nothing."""
        while True:
            await asyncio.sleep(1.0)
            self.supervisor.restart_crashed(self.hosts.values())
            self.witness.look_around()

    def heal(self) -> None:
        """No more faults: everything that was broken works again."""
        self.loop.note("the faults stop")
        self.is_healed = self.network.is_healed = True
        self.facts.healed_at = self.loop.world_time()
        self._set_the_store_clock_right()
        self.hub.heal()
        self.network.down_until = -1.0
        for host in self.hosts.values():
            host.partitioned_until = host.silent_until = -1.0
            host.refusals = 0
        self.supervisor.wake(self.hosts.values())

    def _set_the_store_clock_right(self) -> None:
        """What was submitted while the clock was ahead is due when it is there again: let it be there."""
        records = self.server.namespace.records.values()
        due = max((task.ready_at for task in records if not task.is_terminal), default=0)
        early_s = due / 1000 - self.server.clock.now_ms() / 1000
        if early_s > LONGEST_DELAY:
            self.server.clock.ahead_s += early_s
            self.loop.note(f"the store's clock is set {early_s:g} s forward")

    async def _until_quiet(self) -> None:
        """Everything has ended, or nothing has for a long time."""
        ended, progressed_at = 0, self.loop.world_time()
        while self.loop.world_time() < progressed_at + SETTLING:
            await asyncio.sleep(LOOK_EVERY)
            self._set_the_store_clock_right()  # a submit may have been on its way until now
            self._resume()
            if self._is_quiet():
                return
            if self.witness.ended > ended:
                ended, progressed_at = self.witness.ended, self.loop.world_time()

    def _resume(self) -> None:
        """A user paused a queue, and the process ended before it could resume it."""
        for name, queue in self.server.namespace.queues.items():
            ready = [
                host
                for host in self.hosts.values()
                if host.is_ready and not host.errands and host.process and host.process.is_alive
            ]
            if queue.indexed.state.paused and ready:
                host = ready[0]
                assert host.process is not None
                assert host.manager is not None
                task = host.process.spawn(_resume_queue(host.manager, name), name="resume")
                host.errands.add(task)
                task.add_done_callback(host.errands.discard)

    def _is_quiet(self) -> bool:
        records = self.server.namespace.records.values()
        busy = any(host.errands or not host.is_ready for host in self.hosts.values())
        is_over = not busy and all(task.is_terminal for task in records)
        return is_over and not any(self.server.leftovers())


def _hosts(plan: Plan) -> list[Host]:
    """The first host's processes run every function; the last ones only submit."""
    random = plan.random("hosts")
    hosts = [
        Host(f"p{n}", works=True, knows_all=n == 0 or random.random() < 0.7)
        for n in range(plan.processes)
    ]
    hosts += [Host(f"s{n}", works=False, knows_all=False) for n in range(plan.submitters)]
    if Fault.CLOCK in plan.faults:
        for host in hosts:
            host.skew_s = random.choice(SKEWS)
    return hosts


async def _on_errand(user: User, errand: Callable[[User], Awaitable[None]]) -> None:
    """What is raised for users, they expect; anything else is a bug, and ends the run."""
    try:
        await errand(user)
    except (TaskQueueError, TimeoutError) as error:
        user.facts.loop.note(f"errand {user.number}:", type(error).__name__)


async def _resume_queue(manager: TaskQueueManager, queue: str) -> None:
    with contextlib.suppress(TaskQueueError):
        await manager.resume_queue(queue)
