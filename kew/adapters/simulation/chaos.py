"""Trouble that comes at its own times, whatever the processes are doing: one stream of it for each kind of fault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final

from kew.adapters.simulation.faults import Fault
from kew.adapters.simulation.hosts import Host

if TYPE_CHECKING:
    from kew.adapters.simulation.world import World

WRITES_EVERY: Final = 0.5
UNSYNCED: Final = 1.0  # seconds of writes that a lossy store may forget

# How many seconds pass between two of a kind, on average, at rate 1.
MEANS: Final = {
    Fault.KILL: 90.0,
    Fault.STOP: 120.0,
    Fault.STALL: 60.0,
    Fault.CLOCK: 60.0,
    Fault.STORE_CLOCK: 90.0,
    Fault.PARTITION: 60.0,
    Fault.RESTART: 120.0,
    Fault.FORGET: 90.0,
}


async def chaos(world: World) -> None:
    """Make trouble until cancelled."""
    acts: dict[Fault, Callable[[Chaos], None]] = {
        Fault.KILL: lambda trouble: trouble.to_process(Fault.KILL),
        Fault.STOP: lambda trouble: trouble.to_process(Fault.STOP),
        Fault.STALL: lambda trouble: trouble.to_process(Fault.STALL),
        Fault.CLOCK: Chaos.jump_clock,
        Fault.STORE_CLOCK: Chaos.jump_store_clock,
        Fault.PARTITION: Chaos.partition,
        Fault.RESTART: Chaos.restart,
        Fault.FORGET: Chaos.forget,
    }
    async with asyncio.TaskGroup() as group:
        for fault, act in acts.items():
            if fault in world.plan.faults:
                group.create_task(_stream(world, fault, act), name=f"chaos-{fault}")
        if Fault.FORGET in world.plan.faults:
            group.create_task(_write_down(world), name="chaos-writes")


async def _stream(world: World, fault: Fault, act: Callable[[Chaos], None]) -> None:
    random = world.plan.random(f"chaos:{fault}")
    trouble = Chaos(world, random)
    while True:
        await asyncio.sleep(random.expovariate(world.plan.rate / MEANS[fault]))
        act(trouble)


async def _write_down(world: World) -> None:
    while True:
        world.server.write_down()
        await asyncio.sleep(WRITES_EVERY)


class Chaos:
    """What can happen of itself."""

    def __init__(self, world: World, random: Random) -> None:
        self._world = world
        self._random = random

    def _host(self) -> Host:
        return self._random.choice(list(self._world.hosts.values()))

    def to_process(self, fault: Fault) -> None:
        """Kill, stop or stall a process."""
        self._world.tally.add(fault)
        self._world.meddle(self._host(), fault)

    def jump_clock(self) -> None:
        """A process's wall clock goes wrong."""
        host = self._host()
        host.skew_s += self._random.choice((-3600.0, -30.0, -1.0, 1.0, 30.0, 3600.0))
        if host.process is not None:
            host.process.skew_s = host.skew_s
        self._world.tally.add(Fault.CLOCK)
        self._world.loop.note(host, f"has a clock {host.skew_s:g} s ahead")

    def jump_store_clock(self) -> None:
        """The store's clock is put right: a little back, which it hides, or further, which it follows."""
        jump = self._random.choice((-5.0, -0.5, -0.1, 0.3, 2.0))
        self._world.server.clock.ahead_s += jump
        self._world.tally.add(Fault.STORE_CLOCK)
        self._world.loop.note(f"the store's clock jumps by {jump:g} s")

    def partition(self) -> None:
        """A process and the store don't reach each other."""
        host, seconds = self._host(), 25.0 * self._random.random()
        host.partitioned_until = max(host.partitioned_until, self._world.loop.time() + seconds)
        host.resets = self._random.random() < 0.3
        self._world.loop.note(host, f"is cut off for {seconds:.3f} s")

    def restart(self) -> None:
        """The store restarts with all that it had written, and without subscribers."""
        self._go_down(5.0 * self._random.random())

    def forget(self) -> None:
        """The store restarts without its last writes."""
        world = self._world
        since = world.server.forget(world.loop.time() - UNSYNCED * self._random.random())
        if since is not None:
            world.tally.add(Fault.FORGET)
            world.facts.forgot(since, world.server.namespace.records)
            world.witness.forgot()
        self._go_down(1.0 + 4.0 * self._random.random())

    def _go_down(self, seconds: float) -> None:
        world = self._world
        world.network.down_until = world.loop.time() + seconds
        world.hub.interrupt(world.network.down_until)
        world.loop.note(f"the store is down for {seconds:.3f} s")
