"""Trouble that comes at its own times, whatever the processes are doing: one stream of it for each kind of fault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

from kew.simulation.faults import Fault, Tally
from kew.simulation.hosts import Host
from kew.simulation.loop import SimulationLoop
from kew.simulation.network import Network
from kew.simulation.notices import FaultyHub
from kew.simulation.partitions import PartitionedNetwork, cut_off_in_turn
from kew.simulation.plan import Plan
from kew.simulation.server import Server

if TYPE_CHECKING:
    from kew.simulation.world import World

WRITES_EVERY: Final = 0.5
LONG_DEAF: Final = 120.0
# Seconds of writes that a lossy store may lose: those of a crash, or all since its last snapshot.
UNSYNCED: Final = (1.0, 1.0, 20.0)

# Seconds by which the store's clock leaps, and after which it leaps back, if it does.
LEAPS: Final = (3600.0, 86_400.0)
LEAPS_BACK_AFTER: Final = (1.0, 20.0, 100.0)

# How many seconds pass between two of a kind, on average, at rate 1.
MEANS: Final = {
    Fault.KILL: 90.0,
    Fault.STOP: 120.0,
    Fault.STALL: 60.0,
    Fault.CLOCK: 60.0,
    Fault.STORE_CLOCK: 90.0,
    Fault.STORE_LEAP: 120.0,
    Fault.PARTITION: 60.0,
    Fault.RESTART: 120.0,
    Fault.FORGET: 90.0,
    Fault.DEAF: 60.0,
    Fault.SILENT: 60.0,
    Fault.DEMOTED: 60.0,
    Fault.SUSPENDED: 90.0,
}


class Place(Protocol):
    """Where trouble can be made: hosts with processes, and one store behind a network."""

    @property
    def plan(self) -> Plan: ...
    @property
    def loop(self) -> SimulationLoop: ...
    @property
    def tally(self) -> Tally: ...
    @property
    def hosts(self) -> dict[str, Host]: ...
    @property
    def server(self) -> Server: ...
    @property
    def network(self) -> Network: ...
    @property
    def hub(self) -> FaultyHub: ...

    def meddle(self, host: Host, fault: Fault) -> None:
        """Kill, stop, stall or suspend the process on a host."""


async def chaos(world: World) -> None:
    """Make trouble until cancelled."""
    async with asyncio.TaskGroup() as group:
        make_trouble(world, group)
        if isinstance(world.network, PartitionedNetwork) and Fault.RESTART in world.plan.faults:
            cut_off = cut_off_in_turn(world.plan, world.loop, world.network.networks)
            group.create_task(cut_off, name="chaos-partitions")
        if Fault.FORGET in world.plan.faults:
            _begin(world, group, Fault.FORGET, lambda trouble: _forget(world, trouble))
            group.create_task(_write_down(world), name="chaos-writes")


def make_trouble(place: Place, group: asyncio.TaskGroup) -> None:
    """Begin the streams of everything that any place can suffer."""
    acts: dict[Fault, Callable[[Chaos], None]] = {
        Fault.KILL: lambda trouble: trouble.to_process(Fault.KILL),
        Fault.STOP: lambda trouble: trouble.to_process(Fault.STOP),
        Fault.STALL: lambda trouble: trouble.to_process(Fault.STALL),
        Fault.CLOCK: Chaos.jump_clock,
        Fault.STORE_CLOCK: Chaos.jump_store_clock,
        Fault.STORE_LEAP: Chaos.leap_store_clock,
        Fault.PARTITION: Chaos.partition,
        Fault.RESTART: Chaos.restart,
        Fault.DEAF: Chaos.deafen,
        Fault.SILENT: Chaos.silence,
        Fault.DEMOTED: Chaos.demote,
        Fault.SUSPENDED: lambda trouble: trouble.to_process(Fault.SUSPENDED),
    }
    for fault, act in acts.items():
        if fault in place.plan.faults:
            _begin(place, group, fault, act)


def _begin(
    place: Place, group: asyncio.TaskGroup, fault: Fault, act: Callable[[Chaos], None]
) -> None:
    group.create_task(_stream(place, fault, act), name=f"chaos-{fault}")


async def _stream(place: Place, fault: Fault, act: Callable[[Chaos], None]) -> None:
    random = place.plan.random(f"chaos:{fault}")
    trouble = Chaos(place, random)
    while True:
        await asyncio.sleep(random.expovariate(place.plan.rate / MEANS[fault]))
        act(trouble)


async def _write_down(world: World) -> None:
    while True:
        world.server.write_down()
        await asyncio.sleep(WRITES_EVERY)


class Chaos:
    """What can happen of itself."""

    def __init__(self, place: Place, random: Random) -> None:
        self._place = place
        self.random = random

    def _host(self) -> Host:
        return self.random.choice(list(self._place.hosts.values()))

    def to_process(self, fault: Fault) -> None:
        """Kill, stop, stall or suspend a process."""
        self._place.tally.add(fault)
        self._place.meddle(self._host(), fault)

    def jump_clock(self) -> None:
        """A process's wall clock goes wrong."""
        host = self._host()
        host.skew_s += self.random.choice((-3600.0, -30.0, -1.0, 1.0, 30.0, 3600.0))
        if host.process is not None:
            host.process.skew_s = host.skew_s
        self._place.tally.add(Fault.CLOCK)
        self._place.loop.note(host, f"has a clock {host.skew_s:g} s ahead")

    def jump_store_clock(self) -> None:
        """The store's clock is put right: a little back, which it hides, or further, which it follows."""
        self._place.tally.add(Fault.STORE_CLOCK)
        self._move_store_clock(self.random.choice((-5.0, -0.5, -0.1, 0.3, 2.0)))

    def leap_store_clock(self) -> None:
        """The store's clock goes wrong by far, as on a machine that begins without the time; often it is put right."""
        self._place.tally.add(Fault.STORE_LEAP)
        leap = self.random.choice((1, 1, -1)) * self.random.choice(LEAPS)
        self._move_store_clock(leap)
        if self.random.random() < 0.6:
            after = self.random.choice(LEAPS_BACK_AFTER) * self.random.random()
            self._place.loop.call_later(after, self._leap_back, leap, context=Context())

    def _leap_back(self, leap: float) -> None:
        if not self._place.network.is_healed:
            self._move_store_clock(-leap)

    def _move_store_clock(self, seconds: float) -> None:
        self._place.server.clock.ahead_s += seconds
        self._place.loop.note(f"the store's clock jumps by {seconds:g} s")

    def partition(self) -> None:
        """A process and the store don't reach each other."""
        host, seconds = self._host(), 25.0 * self.random.random()
        self._place.network.cut_off(host, seconds)
        self._place.loop.note(host, f"is cut off for {seconds:.3f} s")

    def restart(self) -> None:
        """The store restarts with all that it had written, and without subscribers."""
        self.go_down(5.0 * self.random.random())

    def deafen(self) -> None:
        """A process has no subscription for a long time, and knows it."""
        host, seconds = self._host(), LONG_DEAF * self.random.random()
        self._place.hub.deafen(host.incarnation, seconds)
        self._place.tally.add(Fault.DEAF)
        self._place.loop.note(host, f"is deaf for {seconds:.3f} s")

    def silence(self) -> None:
        """All connections of a process go silent at once, its subscription among them."""
        host = self._host()
        self._place.network.go_silent(host)
        self._place.hub.mute(host.incarnation)
        self._place.tally.add(Fault.SILENT)
        self._place.loop.note(host, "has silent connections")

    def demote(self) -> None:
        """The connections of a process lead to a former primary, its subscription among them."""
        host = self._host()
        self._place.network.demote(host)
        self._place.hub.mute(host.incarnation)
        self._place.tally.add(Fault.DEMOTED)
        self._place.loop.note(host, "is connected to a former primary")

    def go_down(self, seconds: float) -> None:
        """The store doesn't answer for so long."""
        place = self._place
        place.network.down_until = place.loop.world_time() + seconds
        place.hub.interrupt(place.network.down_until)
        place.server.restarted()
        place.loop.note(f"the store is down for {seconds:.3f} s")


def _forget(world: World, trouble: Chaos) -> None:
    """The store restarts without its last writes."""
    before = tuple(world.server.namespace.records)
    since = world.server.forget(
        world.loop.world_time() - trouble.random.choice(UNSYNCED) * trouble.random.random()
    )
    if since is not None:
        world.tally.add(Fault.FORGET)
        world.facts.forgot(since, before, world.server.namespace.records)
        world.witness.forgot()
    trouble.go_down(1.0 + 4.0 * trouble.random.random())
