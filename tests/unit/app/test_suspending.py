"""A suspended machine: leases end while it sleeps, although the event loop's clock stands still meanwhile."""

import asyncio
import time
from typing import Any

from kew import QueueConfig, TaskContext, TaskQueueManager
from kew.adapters import clocks
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.namespace import Namespace
from kew.adapters.memory.store import MemoryStore
from kew.app.ports import Clock
from kew.bootstrap import Parts
from kew.compat import override

LEASE = 30.0
NIGHT = 8 * 3600.0


class Machine(Clock):
    """Its uptime, and the store's clock, go on while it is suspended."""

    def __init__(self) -> None:
        self.slept = 0.0

    def suspend(self, seconds: float) -> None:
        self.slept += seconds

    def uptime(self) -> float:
        return asyncio.get_running_loop().time() + self.slept

    @override
    def now_ms(self) -> int:
        return round((time.time() + self.slept) * 1000)


class Sleepy(MemoryStore):
    """The machine sleeps once, between a grant and its arrival."""

    def __init__(self, machine: Machine, *, is_tired: bool) -> None:
        super().__init__(machine, Namespace())
        self._machine = machine
        self._is_tired = is_tired

    @override
    async def claim(self, *args: Any, **named: Any) -> Any:
        grant = await super().claim(*args, **named)
        if grant.tasks and self._is_tired:
            self._is_tired = False
            self._machine.suspend(NIGHT)
        return grant


def manager_on(machine: Machine, *, is_tired: bool = False) -> TaskQueueManager:
    store = Sleepy(machine, is_tired=is_tired)
    wakeup = MemoryWakeup(store.namespace.hub)
    return TaskQueueManager(
        parts=Parts(store=store, wakeup=wakeup, uptime=machine.uptime), tick=0.05
    )


async def test_what_ran_when_the_machine_was_suspended_is_stopped_a_moment_after_it_woke():
    machine = Machine()
    running, stopped = asyncio.Event(), asyncio.Event()

    async def task() -> int:
        running.set()
        if TaskContext.current().attempt == 1:
            try:
                await asyncio.sleep(60)
            finally:
                stopped.set()
        return TaskContext.current().attempt

    async with manager_on(machine) as manager:
        await manager.create_queue(QueueConfig("q", lease=LEASE))
        await manager.submit_task("t", "q", "t", task)
        await running.wait()
        machine.suspend(NIGHT)
        async with asyncio.timeout(3):
            await stopped.wait()


async def test_a_short_sleep_stops_nothing():
    machine = Machine()
    running = asyncio.Event()

    async def task() -> str:
        running.set()
        await asyncio.sleep(1.5)
        return "done"

    async with manager_on(machine) as manager:
        await manager.create_queue(QueueConfig("q", lease=LEASE))
        info = await manager.submit_task("t", "q", "t", task)
        await running.wait()
        machine.suspend(LEASE / 3)
        assert await manager.handle(info).result(timeout=30) == "done"


async def test_a_grant_that_arrives_after_a_sleep_starts_nothing_that_is_no_longer_held():
    machine = Machine()
    runs: list[int] = []

    async def task() -> None:
        runs.append(TaskContext.current().attempt)

    async with manager_on(machine, is_tired=True) as manager:
        queue = QueueConfig("q", lease=LEASE, max_workers=1)
        await manager.create_queue(queue)
        await manager.submit_task("late", "q", "t", task, None, _defer_by=0.05)
        info = await manager.get_task_status("late")
        await manager.handle(info).result(timeout=30)
    assert runs == [2]


def test_the_systems_uptime_goes_on():
    first = clocks.uptime()
    assert clocks.uptime() >= first


def test_where_there_is_a_clock_that_counts_suspension_it_is_used(monkeypatch):
    monkeypatch.setattr(time, "clock_gettime", lambda clock: 10.0 * clock)
    assert clocks.uptime_of(7)() == 70.0
    assert clocks.uptime_of(None) is time.monotonic
