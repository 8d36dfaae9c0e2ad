"""What a simulated process runs: an ordinary program with a manager, its queues and its functions."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Final

from kew.adapters.simulation.chance import InlineThreads, NoWatchdog, SeededEntropy
from kew.adapters.simulation.feature import prepare
from kew.adapters.simulation.hosts import Host
from kew.adapters.simulation.port import FaultyStore, FaultyWakeup
from kew.bootstrap import Parts
from kew.domain.config import QueueConfig
from kew.domain.errors import StoreUnavailableError
from kew.manager import TaskQueueManager

if TYPE_CHECKING:
    from kew.adapters.simulation.world import World

PATIENCE: Final = 20.0  # with the latest repeat of a request, less than the shortest task_ttl
AGAIN_AFTER: Final = 1.0


async def run_program(world: World, host: Host) -> None:
    """Initialize, declare the queues, and serve until the process ends."""
    random = Random(f"process:{world.plan.seed}:{host.process}")
    manager = make_manager(world, host, random)
    if host.knows_all:
        prepare(manager)
    await manager.initialize()
    world.facts.incarnations[str(host.process)] = host.incarnation
    for config in world.queues:
        await _create(world, host, manager, config)
    host.manager = manager
    host.is_ready = True
    world.loop.note(host.process, "is ready")


def make_manager(world: World, host: Host, random: Random) -> TaskQueueManager:
    """A manager with the world's parts in place of the real ones."""
    parts = Parts(
        store=FaultyStore(host, world.network),
        wakeup=FaultyWakeup(host, world.hub),
        entropy=SeededEntropy(random),
        threads=InlineThreads(random),
        watchdog=NoWatchdog(),
    )
    bound = random.choice((None, None, 3, 6))
    if bound is not None:
        world.facts.slots[str(host.process)] = bound
    return TaskQueueManager(
        parts=parts, patience=PATIENCE, tick=world.plan.tick, max_concurrency=bound
    )


async def _create(world: World, host: Host, manager: TaskQueueManager, config: QueueConfig) -> None:
    world.facts.slots[f"{host.process}/{config.name}"] = config.slots
    while True:
        try:
            await manager.create_queue(config, work=host.works)
        except StoreUnavailableError:
            await asyncio.sleep(AGAIN_AFTER)
        else:
            return
