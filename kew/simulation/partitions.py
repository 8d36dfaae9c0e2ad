"""A simulated world whose store is spread: each partition is a memory store behind a network of its own.

What oracles look at is all partitions together, as one namespace. They judge what goes to one partition as a whole; an
answer that a router makes of several is not atomic, and its pieces mean nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from kew.adapters.memory.namespace import Namespace
from kew.app.partitions import PartitionedStore
from kew.app.partitions.routes import ROUTES, by_queue
from kew.app.ports import (
    Operation,
    PutSchedule,
    SteerSchedule,
    Submit,
    Sweep,
    Swept,
    TaskStore,
    Tick,
)
from kew.compat import override
from kew.domain.errors import StoreUnavailableError
from kew.domain.partitions import RESERVED, is_reserved, partition_of, reserved_for
from kew.domain.task import Task, is_absent
from kew.simulation.facts import Facts
from kew.simulation.hosts import Host
from kew.simulation.loop import SimulationLoop
from kew.simulation.network import Network
from kew.simulation.plan import Plan
from kew.simulation.port import FaultyStore
from kew.simulation.server import Server

A = TypeVar("A")
PARTITIONS: Final = 3
CUT_OFF_EVERY: Final = 60.0  # seconds, on average, at rate 1
CUT_OFF_FOR: Final = 25.0
JUDGED: Final = frozenset(
    {kind for kind, route in ROUTES.items() if route is by_queue}
    | {Submit, Sweep, Tick, PutSchedule, SteerSchedule}
)
"""What one partition answers as a whole store would."""


class PartitionedServer(Server):
    """All partitions. `namespace` is what they hold together; `facts` is where an id that is used twice is reported."""

    def __init__(self, time: Callable[[], float], namespace: Namespace, facts: Facts) -> None:
        super().__init__(time, namespace)
        self.parts = [Part(self, number, time) for number in range(PARTITIONS)]
        self._facts = facts
        self._places: dict[str, int] = {}

    @override
    def execute(self, operation: Operation[A], caller: str) -> A:
        return self.parts[partition_of(operation.queue, PARTITIONS)].execute(operation, caller)

    def merge(self, part: Part) -> bool:
        """A partition may have changed: so may all of them together. Whether any task has."""
        mine, merged, has_changed = part.namespace, self.namespace, False
        merged.last_ms = mine.last_ms
        for task_id, task in mine.records.items():
            if merged.records.get(task_id) is not task and not is_reserved(task):
                self._check_place(task, part.number)
                has_changed = True
                merged.records[task_id] = task
                self._places[task_id] = part.number
        for task_id in [one for one, place in self._places.items() if place == part.number]:
            if task_id not in mine.records or is_reserved(mine.records[task_id]):
                has_changed = True
                del merged.records[task_id], self._places[task_id]
        merged.queues.clear()
        for one in self.parts:
            for name, queue in one.namespace.queues.items():
                if name in merged.queues:
                    self._facts.fail("partitions", f"the queue {name!r} is in two partitions")
                if name != RESERVED:
                    merged.queues[name] = queue
        return has_changed

    def _check_place(self, task: Task, number: int) -> None:
        """An id is used once over all partitions; what has expired is absent."""
        place = self._places.get(task.id, number)
        other = self.parts[place].namespace.records.get(task.id)
        if place == number or other is None or is_reserved(other):
            return
        if not is_absent(other, self.namespace.last_ms):
            self._facts.fail("partitions", f"{task.id} is in the partitions {place} and {number}")

    @override
    def leftovers(self) -> Iterator[str]:
        for part in self.parts:
            for task in part.namespace.records.values():
                if reserved_for(task) is not None and task.id not in self.namespace.records:
                    yield f"{task.id} is reserved, and no task has it"


class Part(Server):
    """One partition."""

    def __init__(self, whole: PartitionedServer, number: int, time: Callable[[], float]) -> None:
        super().__init__(time, Namespace(), whole.clock)
        self.number = number
        self.namespace.hub = whole.namespace.hub
        self.task_to_explain = lambda queue: whole.task_to_explain(queue)
        self._whole = whole

    @override
    def _done(self, operation: Operation[Any], reply: object, caller: str) -> None:
        self._whole.operations[operation.name] += 1
        has_changed = self._whole.merge(self)
        if type(operation) in JUDGED and operation.queue != RESERVED:
            self._whole._done(operation, reply, caller)
        elif (
            has_changed
        ):  # an id was reserved whose record had expired: as if that was swept before
            now = self.namespace.last_ms
            self._whole._done(Sweep(RESERVED, 1, 0, None), Swept(now_ms=now, removed=1), caller)


class PartitionedNetwork(Network):
    """The networks between the hosts and each partition, each with faults of its own.

    What befalls a host befalls all of them. A store that is down is one partition, in turn.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        self.networks = networks
        self._next = 0

    @property
    def down_until(self) -> float:
        """When the last one of them is back."""
        return max(network.down_until for network in self.networks)

    @down_until.setter
    def down_until(self, instant: float) -> None:
        self.networks[self._next].down_until = instant
        self._next = (self._next + 1) % len(self.networks)

    @property
    def is_healed(self) -> bool:
        """No more faults."""
        return all(network.is_healed for network in self.networks)

    @is_healed.setter
    def is_healed(self, value: bool) -> None:
        for network in self.networks:
            network.is_healed = value
            network.down_until = -1.0 if value else network.down_until

    @override
    def cut_off(self, host: Host, seconds: float) -> None:
        self.networks[0].cut_off(host, seconds)

    @override
    def go_silent(self, host: Host) -> None:
        self.networks[0].go_silent(host)

    @override
    def demote(self, host: Host) -> None:
        self.networks[0].demote(host)

    def store_on(self, host: Host) -> TaskStore:
        """The store as a process on this host has it."""
        return PatientlyOpened([FaultyStore(host, network) for network in self.networks])


class PatientlyOpened(PartitionedStore):
    """A program waits for its store when it starts."""

    @override
    async def open(self) -> None:
        while True:
            try:
                await super().open()
            except StoreUnavailableError:
                await asyncio.sleep(1.0)
            else:
                return


async def cut_off_in_turn(plan: Plan, loop: SimulationLoop, networks: Sequence[Network]) -> None:
    """One partition after the other is not to be reached for a while."""
    random = plan.random("chaos:partitions")
    while True:
        for number, network in enumerate(networks):
            await asyncio.sleep(random.expovariate(plan.rate / CUT_OFF_EVERY))
            seconds = CUT_OFF_FOR * random.random()
            network.down_until = loop.world_time() + seconds
            loop.note(f"partition {number} is down for {seconds:.3f} s")
