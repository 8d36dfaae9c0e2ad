"""The simulated world: hosts with processes, one store behind a faulty network, users, and chaos."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextvars import Context
from random import Random
from typing import Final

from kew.adapters.memory.namespace import Namespace
from kew.adapters.simulation.facts import Facts
from kew.adapters.simulation.faults import Fault, Tally
from kew.adapters.simulation.feature import User, Workload, usual_queues
from kew.adapters.simulation.features import workloads
from kew.adapters.simulation.handlers import RUNS
from kew.adapters.simulation.hosts import Host
from kew.adapters.simulation.loop import SimulationLoop
from kew.adapters.simulation.network import Network
from kew.adapters.simulation.notices import FaultyHub
from kew.adapters.simulation.plan import Plan
from kew.adapters.simulation.processes import Process
from kew.adapters.simulation.program import run_program
from kew.adapters.simulation.runs import Runs
from kew.adapters.simulation.server import Server
from kew.adapters.simulation.witness import Witness
from kew.domain.errors import TaskQueueError
from kew.manager import TaskQueueManager

ERRANDS_UNTIL: Final = 0.85  # of the horizon
RESTART_AFTER: Final = (0.1, 15.0)
SKEWS: Final = (0.0, 0.0, -3600.0, 7.0, 86_400.0)
SETTLING: Final = (
    600.0  # seconds without any task's end, after the last fault, that mean there will be none
)
LOOK_EVERY: Final = 2.0
CANCEL_ODDS: Final = 0.15
CARRIED: Final = ("submit", "watch")  # for several callers at once


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
        self.network = Network(loop, self.server, plan, self.tally, self.meddle)
        self.workload: Workload = workloads()[plan.workload]
        self.queues = (self.workload.queues or usual_queues)(plan.random("queues"))
        self.hosts = {host.name: host for host in _hosts(plan)}
        self.runs = Runs(self.facts, self.hosts)
        self.is_healed = False
        self._ended: set[Process] = set()
        self._random = plan.random("world")
        self._users = plan.random("users")

    def _make_server(self, namespace: Namespace) -> Server:
        if self.plan.store == "memory":
            return Server(self.loop.time, namespace)
        from kew.adapters.simulation.lua import LuaServer

        server = LuaServer(self.loop.time, namespace, self.hub)
        self.facts.peek_may_add_ms = server.peek_may_add_ms
        return server

    # --- processes

    def start(self, host: Host) -> None:
        """Begin a process on a host."""
        process = Process(
            self.loop,
            host.name,
            host.starts,
            skew_s=host.skew_s,
            monotonic_offset_s=self._random.random(),
        )
        host.starts += 1
        host.begin(process)
        process.context.run(RUNS.set, self.runs)
        self.loop.note(process, "begins")
        process.spawn(run_program(self, host), name="main")

    def meddle(self, host: Host, fault: Fault) -> None:
        """Do to a process what a fault asks for."""
        match fault:
            case Fault.KILL:
                self.kill(host)
            case Fault.STOP:
                self.ask_to_stop(host)
            case Fault.STALL:
                self.stall(host, self._random.choice((0.5, 8.0, 40.0)) * self._random.random())
            case _:
                raise AssertionError(f"nothing to do to a process: {fault}")

    def kill(self, host: Host) -> None:
        """As SIGKILL; a supervisor starts another process before long."""
        process = host.process
        if process is None or not process.is_alive:
            return
        self.loop.note(process, "is killed")
        process.kill()
        self._later(20.0 * self._random.random(), self.hub.remove, host.incarnation)
        self.ended(host)

    def ended(self, host: Host) -> None:
        """The process on a host is no more; another begins before long."""
        host.is_ready = False
        process = host.process
        if process is not None:
            self._ended.add(process)
        self._later(self._random.uniform(*RESTART_AFTER), self._restart, host, process)

    def _restart(self, host: Host, former: Process | None) -> None:
        if host.process is former and not host.is_alive:
            self.start(host)

    def stall(self, host: Host, seconds: float) -> None:
        """As SIGSTOP and SIGCONT."""
        if host.process is not None and host.is_alive:
            self.loop.note(host.process, f"stalls for {seconds:.3f} s")
            host.process.stall(seconds)
            host.stalled_until = max(host.stalled_until, self.loop.time() + seconds)

    def ask_to_stop(self, host: Host) -> None:
        """As SIGTERM: shut down, and be killed if that takes too long."""
        process, manager = host.process, host.manager
        if process is None or manager is None or not host.is_alive or host.is_stopping:
            return
        self.loop.note(process, "is asked to stop")
        host.is_stopping, host.is_ready = True, False
        timeout = self._random.choice((0.0, 1.0, 5.0))
        process.spawn(self._shut_down(host, timeout), name="stop")
        self._later(60.0, self._kill_if, host, process)

    async def _shut_down(self, host: Host, timeout: float) -> None:
        assert host.manager is not None
        await host.manager.shutdown(wait=self._random.random() < 0.8, timeout=timeout)
        self._later(0.0, self._kill_if, host, host.process)

    def _kill_if(self, host: Host, process: Process | None) -> None:
        if host.process is process:
            self.kill(host)

    def _later(self, seconds: float, act: Callable[..., object], *args: object) -> None:
        self.loop.call_later(seconds, act, *args, context=Context())

    # --- users

    async def users(self) -> None:
        """Send users on errands until the faults stop."""
        random = self._users
        features = [one for one in self.workload.features if one.is_calm or not self.plan.is_calm]
        if not features:
            return
        weights = [feature.weight for feature in features]
        pace = self.plan.errands / (self.plan.horizon * ERRANDS_UNTIL)
        for number in range(self.plan.errands):
            await asyncio.sleep(random.expovariate(pace))
            if self.loop.time() > self.plan.horizon:
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
            self._later(wait, self._cancel, host, task)

    def _cancel(self, host: Host, errand: asyncio.Task[None]) -> None:
        """Cancel a user's code; what it waits for is often on its way in a task of kew's own."""
        if errand.done():
            return
        for operation in CARRIED:
            if host.in_flight[operation]:
                self.tally.add(Fault.CANCELLED, operation)
        errand.cancel()

    # --- from the first process to the last look

    async def run(self, chaos: Callable[[World], Awaitable[None]]) -> None:
        """Live through the plan: faults and errands, then healing, then everything has to end."""
        for host in self.hosts.values():
            self.start(host)
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
        for host in self.hosts.values():
            if not host.is_ready:
                self.facts.fail("liveness", f"{host} is still not ready, long after the last fault")
            for errand in host.errands:
                self.facts.fail("liveness", f"{errand.get_name()} still waits for an answer")

    async def _supervise(self) -> None:
        """Restart what crashed by itself, and look for tasks that wait for nothing."""
        while True:
            await asyncio.sleep(1.0)
            for host in self.hosts.values():
                process = host.process
                if process is not None and not process.is_alive and process not in self._ended:
                    self._ended.add(process)
                    self.ended(host)
            self.witness.look_around()

    def heal(self) -> None:
        """No more faults: everything that was broken works again."""
        self.loop.note("the faults stop")
        self.is_healed = self.network.is_healed = self.hub.is_healed = True
        self.network.down_until = -1.0
        for host in self.hosts.values():
            host.partitioned_until = -1.0
            host.stalled_until = min(host.stalled_until, self.loop.time())
            if host.process is not None and host.is_alive:
                host.process.thaw()

    async def _until_quiet(self) -> None:
        """Everything has ended, or nothing has for a long time."""
        ended, progressed_at = 0, self.loop.time()
        while self.loop.time() < progressed_at + SETTLING:
            await asyncio.sleep(LOOK_EVERY)
            self._resume()
            if self._is_quiet():
                return
            if self.witness.ended > ended:
                ended, progressed_at = self.witness.ended, self.loop.time()

    def _resume(self) -> None:
        """Somebody paused a queue, and its process ended before it could resume it."""
        for name, queue in self.server.namespace.queues.items():
            ready = [host for host in self.hosts.values() if host.is_ready and not host.errands]
            if queue.book.state.paused and ready:
                host = ready[0]
                assert host.process is not None
                assert host.manager is not None
                task = host.process.spawn(_resume_queue(host.manager, name), name="resume")
                host.errands.add(task)
                task.add_done_callback(host.errands.discard)

    def _is_quiet(self) -> bool:
        records = self.server.namespace.records.values()
        busy = any(host.errands or not host.is_ready for host in self.hosts.values())
        return not busy and all(task.is_terminal for task in records)


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
