"""A hundred days of whole processes with schedules: `python -m tests.simulation.days`.

Each simulated process is an ordinary program: a manager that declares the schedules in code and works on their queue.
Processes are killed, stopped, stalled for hours and restarted; their clocks are off by minutes and jump; the store's
clock steps, and the store is away for hours; requests, replies and notifications are lost. It is autumn 2011: clocks
change in Lord Howe (by half an hour), Berlin and New York, and Apia skips the 30th of December.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from collections.abc import Mapping
from datetime import timedelta
from random import Random
from typing import Any, Final

import attrs

from kew import QueueConfig, TaskContext, TaskQueueManager
from kew.adapters.memory.namespace import Namespace
from kew.app.ports import Operation
from kew.compat import override
from kew.domain.errors import StoreUnavailableError
from kew.simulation.chance import InlineThreads
from kew.simulation.chaos import make_trouble
from kew.simulation.faults import Fault, Tally
from kew.simulation.hosts import Host
from kew.simulation.loop import SimulationLoop
from kew.simulation.network import Network
from kew.simulation.notices import FaultyHub
from kew.simulation.plan import Plan
from kew.simulation.port import FaultyWakeup
from kew.simulation.processes import EPOCH_S
from kew.simulation.server import Server
from kew.simulation.supervisor import Supervisor, parts_on
from tests.simulation.periods import HUNDRED, Period, Report, timings

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
QUEUE: Final = "q"
CATCH_UP: Final = timedelta(days=7)
OFF: Final = (-300.0, -90.0, -5.0, 5.0, 90.0, 300.0)  # seconds by which a clock is wrong
ABSENCES: Final = (10 * MINUTE, HOUR, 6 * HOUR)
FAULTS: Final = frozenset(Fault) - {
    Fault.CANCELLED,  # no user's code waits for answers here
    Fault.STORE_LEAP,  # the store's clock steps by minutes instead
    Fault.DEAF,  # its processes would poll every second for most of the time
    Fault.UNSTARTABLE,
    Fault.FORGET,
}
PACE: Final = 1 / 240  # of faults that come at their own times: a kill every six hours, at pace 1
ON_CALLS: Final = 0.02  # of faults that calls meet
PROCESSES: Final = 3
RECORDS_LAST: Final = 120.0  # seconds, so that no record of a task hides that its tick came twice


class Days:
    """A place with processes, a store and trouble, for so many days."""

    def __init__(self, loop: SimulationLoop, seed: int, period: Period) -> None:
        self.loop, self.period, self.report = loop, period, Report()
        self.plan = Plan(seed=seed, faults=FAULTS, rate=PACE * period.pace, processes=PROCESSES)
        on_calls = attrs.evolve(self.plan, rate=ON_CALLS)
        self.tally = Tally()
        self.hub = FaultyHub(loop, attrs.evolve(self.plan, rate=1.0), self.tally)
        self.namespace = Namespace()
        self.namespace.hub = self.hub
        self.server = Server(loop.world_time, self.namespace)
        self.server.watch = self._watch
        self.network = Network(loop, self.server, on_calls, self.tally, self.meddle)
        self._random = self.plan.random("days")
        then = period.start.timestamp() - EPOCH_S
        self.server.clock.ahead_s = then
        self.hosts = {
            name: Host(name, works=True, knows_all=True)
            for name in (f"p{number}" for number in range(PROCESSES))
        }
        for host in self.hosts.values():
            host.skew_s = then + self._random.choice(OFF)
        self.supervisor = Supervisor(
            loop, self.hub, self._random, program=self._program, prepare=lambda _context: None
        )
        self._seen: set[str] = set()

    def meddle(self, host: Host, fault: Fault) -> None:
        """Kill, stop, stall or suspend the process on a host."""
        self.supervisor.meddle(host, fault)

    # --- the program

    async def _program(self, host: Host) -> None:
        """As a user's: declare the schedules, and work on their queue."""
        manager = self._manager(host)
        for name, timing in timings():
            self._declare(manager, name, **timing)
        config = QueueConfig(QUEUE, lease=300, max_deliveries=1000, task_ttl=RECORDS_LAST)
        await manager.initialize()
        while True:
            try:
                await manager.create_queue(config)
            except StoreUnavailableError:
                await asyncio.sleep(30.0)
            else:
                break
        host.manager, host.is_ready = manager, True

    def _declare(self, manager: TaskQueueManager, name: str, **timing: Any) -> None:
        @manager.periodic(
            timing.pop("cron", None),
            name=name,
            queue=QUEUE,
            args=(name,),
            overlap="allow",
            missed="all",
            catch_up=CATCH_UP,
            start=self.period.start,
            end=self.period.end,
            **timing,
        )
        async def run(name: str) -> None:
            await self._run(name)

    async def _run(self, name: str) -> None:
        task_id = TaskContext.current().task_id
        assert task_id.startswith(f"{name}@")
        self.report.started.append((task_id, self.server.clock.now_ms()))
        await asyncio.sleep(self._random.choice((0.0, 1.0, 10 * MINUTE)))

    def _manager(self, host: Host) -> TaskQueueManager:
        random = Random(f"process:{self.plan.seed}:{host.process}")
        parts = parts_on(
            host,
            self.network,
            FaultyWakeup(host, self.hub),
            random,
            InlineThreads(random),
            is_suspended=True,
        )
        return TaskQueueManager(parts=parts, tick=10.0)

    # --- what happens

    def _watch(self, operation: Operation[Any], _reply: object, _caller: str) -> None:
        """Note each task that came to be. Its record may go later, and must not come again."""
        if operation.name not in ("tick", "submit"):
            return
        for task_id in self.namespace.records.keys() - self._seen:
            self.report.created.append((task_id, self.server.clock.now_ms()))
        self._seen = set(self.namespace.records)

    async def _trouble(self) -> None:
        async with asyncio.TaskGroup() as group:
            make_trouble(self, group)
            group.create_task(self._step_the_store_clock())
            group.create_task(self._be_off())
            group.create_task(self._be_absent())

    def _after(self, mean: float) -> float:
        return self._random.expovariate(self.period.pace / mean)

    async def _step_the_store_clock(self) -> None:
        while True:
            await asyncio.sleep(self._after(8 * HOUR))
            self.server.clock.ahead_s += self._random.choice(OFF)
            self.tally.add(Fault.STORE_CLOCK)

    async def _be_off(self) -> None:
        """Clocks of hosts go wrong by minutes."""
        while True:
            await asyncio.sleep(self._after(6 * HOUR))
            host = self._random.choice(list(self.hosts.values()))
            host.skew_s += self._random.choice(OFF)
            if host.process is not None:
                host.process.skew_s = host.skew_s

    async def _be_absent(self) -> None:
        """A process stands still for long and goes on with what it knew; now and then all do, or the store is away."""
        while True:
            await asyncio.sleep(self._after(8 * HOUR))
            seconds, chance = self._random.choice(ABSENCES), self._random.random()
            hosts = list(self.hosts.values())
            if chance < 0.1:
                self.network.down_until = self.loop.world_time() + seconds
                self.hub.interrupt(self.network.down_until)
                continue
            for host in hosts if chance < 0.2 else [self._random.choice(hosts)]:
                self.supervisor.stall(host, seconds)

    async def run(self) -> None:
        """From the first process until all ticks have been dealt with."""
        for host in self.hosts.values():
            self.supervisor.start(host)
        trouble = asyncio.ensure_future(self._trouble())
        await asyncio.sleep(self.period.hours * HOUR)
        trouble.cancel()
        self._heal()
        await asyncio.sleep(HOUR)
        self.report.unfinished = [
            task.id for task in self.namespace.records.values() if not task.is_terminal
        ]
        self.report.processes = sum(host.starts for host in self.hosts.values())
        self.report.faults = self.tally.total
        self.report.operations = self.server.operations.total()

    def _heal(self) -> None:
        self.network.is_healed = True
        self.hub.heal()
        self.network.down_until = -1.0
        now_s = EPOCH_S + self.loop.world_time()
        right = self.period.end.timestamp() - now_s
        self.server.clock.ahead_s = max(self.server.clock.ahead_s, right)
        for host in self.hosts.values():
            host.partitioned_until = host.silent_until = -1.0
            host.refusals = 0
        self.supervisor.wake(self.hosts.values())


class _Errors(logging.Handler):
    def __init__(self, into: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._into = into

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self._into.append(record.getMessage())


def _fail(loop: SimulationLoop, context: Mapping[str, object]) -> None:
    """An error that ends one of kew's own asyncio tasks, or a program, ends the run."""
    error = context.get("exception")
    loop.fail(error if isinstance(error, Exception) else AssertionError(context["message"]))


def live_through(seed: int, period: Period) -> Report:
    """What came of it."""
    logger = logging.getLogger("kew")
    with SimulationLoop(seed, max_steps=1_000_000_000, fatal=(AssertionError,)) as loop:
        days = Days(loop, seed, period)
        loop.set_exception_handler(lambda _loop, context: _fail(loop, context))
        handler, propagates = _Errors(days.report.errors), logger.propagate
        logger.addHandler(handler)
        logger.propagate = False
        try:
            loop.run(days.run())
        finally:
            logger.removeHandler(handler)
            logger.propagate = propagates
    return days.report


def main() -> None:
    """Live through a hundred days, for each seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--days", type=int, default=HUNDRED.hours // 24)
    chosen = parser.parse_args()
    period = attrs.evolve(HUNDRED, hours=24 * chosen.days)
    print("seed  days   ticks    runs  processes   faults  operations   CPU s  wrong")  # noqa: T201 - the same
    is_good = True
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        began = time.process_time()
        report = live_through(seed, period)
        wrong = report.wrong(period)
        lines = [
            f"{seed:>4}  {chosen.days:>4}  {len(report.created):>6,}  {len(report.started):>6,}  "
            f"{report.processes:>9,}  {report.faults:>7,}  {report.operations:>10,}  "
            f"{time.process_time() - began:>6.0f}  {len(wrong):>5}",
            *wrong[:20],
        ]
        print(*lines, sep="\n  ", flush=True)  # noqa: T201 - it is what the command is for
        is_good = is_good and not wrong
    raise SystemExit(not is_good)


if __name__ == "__main__":
    main()
