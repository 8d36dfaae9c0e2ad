"""What a simulated process runs: an ordinary program with a manager, its queues and its functions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Final, Protocol

import attrs

from kew.app.info import TaskInfo
from kew.domain.config import QueueConfig
from kew.domain.errors import StoreUnavailableError
from kew.manager import TaskQueueManager
from kew.simulation.chance import InlineThreads
from kew.simulation.facts import Facts
from kew.simulation.faults import Fault
from kew.simulation.feature import PATIENCE, Workload, prepare
from kew.simulation.handlers import OWN, own_name, perform_here
from kew.simulation.hosts import Host
from kew.simulation.loop import SimulationLoop
from kew.simulation.network import Network
from kew.simulation.notices import FaultyHub
from kew.simulation.partitions import PartitionedNetwork
from kew.simulation.plan import Plan
from kew.simulation.port import FaultyWakeup
from kew.simulation.sharing import share, shares
from kew.simulation.supervisor import parts_on

AGAIN_AFTER: Final = 1.0


class Surroundings(Protocol):
    """What a program meets of its world."""

    @property
    def plan(self) -> Plan: ...
    @property
    def loop(self) -> SimulationLoop: ...
    @property
    def facts(self) -> Facts: ...
    @property
    def workload(self) -> Workload: ...
    @property
    def queues(self) -> Sequence[QueueConfig]: ...
    @property
    def network(self) -> Network: ...
    @property
    def hub(self) -> FaultyHub: ...


async def run_program(world: Surroundings, host: Host) -> None:
    """Initialize, declare the queues, and serve until the process ends."""
    random = Random(f"process:{world.plan.seed}:{host.process}")
    manager = make_manager(world, host, random)
    if host.knows_all:
        prepare(manager)
    if host.starts > 1:  # tasks may wait for what the process before it had loaded
        for number in range(OWN):
            manager.register(perform_here, name=own_name(host, number))
    if shares(world.plan, world.workload):
        share(manager, host, world.facts, Random(f"pool:{world.plan.seed}:{host.process}"))
    await manager.initialize()
    world.facts.incarnations[str(host.process)] = host.incarnation
    for config in world.queues:
        await _create(world, host, manager, _variant(config, random))
    host.manager = manager
    host.is_ready = True
    world.loop.note(host.process, "is ready")


def make_manager(world: Surroundings, host: Host, random: Random) -> TaskQueueManager:
    """A manager with the world's parts in place of the real ones."""
    assert host.process is not None
    parts = parts_on(
        host,
        world.network,
        FaultyWakeup(host, world.hub),
        random,
        InlineThreads(random),
        is_suspended=Fault.SUSPENDED in world.plan.faults,
    )
    if isinstance(world.network, PartitionedNetwork):
        parts = attrs.evolve(parts, store=world.network.store_on(host))
    bound = random.choice((None, None, 3, 6))
    if bound is not None:
        world.facts.slots[str(host.process)] = bound
    hooks = CheckingHooks(world.facts, random)
    tells = random.random() < 0.5
    return TaskQueueManager(
        parts=parts,
        patience=PATIENCE,
        tick=world.plan.tick,
        max_concurrency=bound,
        on_task_start=hooks.started if tells and random.random() < 0.5 else None,
        on_task_complete=hooks.completed if tells else None,
        on_task_fail=hooks.failed if tells else None,
    )


def _variant(config: QueueConfig, random: Random) -> QueueConfig:
    """Now and then a process declares a queue otherwise than the others: the latest declaration wins."""
    if random.random() < 0.8:
        return config
    return attrs.evolve(
        config,
        max_workers=max(1, config.max_workers + random.choice((-1, 1))),
        max_retries=config.max_retries + random.choice((0, 1)),
    )


class CheckingHooks:
    """A process's hooks: they check their arguments, and are sometimes slow or fail."""

    def __init__(self, facts: Facts, random: Random) -> None:
        self._facts = facts
        self._random = random

    async def completed(self, told: TaskInfo) -> None:
        """Once per task, after the store accepted it."""
        task = self._facts.records.get(told.task_id)
        was_reported = told.task_id in self._facts.hooked - self._facts.expired_by_leap
        if was_reported and not self._facts.has_forgotten:
            self._facts.fail("hooks", f"{told.task_id} was reported twice as completed")
        if task is not None and task.status.value != "completed" and not self._facts.has_forgotten:
            self._facts.fail(
                "hooks", f"{told.task_id} was reported as completed, but is {task.status}"
            )
        self._facts.hooked.add(told.task_id)
        await self._dawdle()

    async def failed(self, told: TaskInfo, error: BaseException) -> None:
        """Once per failed attempt, after the store accepted it."""
        if told.status.value not in ("failed", "retry"):
            self._facts.fail(
                "hooks", f"{told.task_id} was reported as failed: {told.status} {error!r}"
            )
        await self._dawdle()

    async def started(self, told: TaskInfo) -> None:
        """Before each attempt."""
        await self._dawdle()

    async def _dawdle(self) -> None:
        chance = self._random.random()
        if chance < 0.1:
            await asyncio.sleep(30 * chance)
        if chance > 0.9:
            raise ValueError("a hook that fails")


async def _create(
    world: Surroundings, host: Host, manager: TaskQueueManager, config: QueueConfig
) -> None:
    if config.max_workers_per_process is not None:
        world.facts.slots[f"{host.process}/{config.name}"] = config.max_workers_per_process
    while True:
        try:
            await manager.create_queue(config, work=host.works)
        except StoreUnavailableError:
            await asyncio.sleep(AGAIN_AFTER)
        else:
            return
