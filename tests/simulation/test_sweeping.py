"""A store that does one thing at a time clears up 20,000 records, and nothing else waits for more than one step of it.

Time is simulated. What is counted are the sweeps that the store carries out while another operation waits for it.
"""

import asyncio
from collections import defaultdict
from itertools import count
from typing import Any, TypeVar

from kew import QueueConfig
from kew.adapters.memory.store import MemoryStore
from kew.app.ports import Announce, Claim, Extend, Operation, Submit, Sweep
from kew.app.sweeping import SWEEP_LIMIT
from kew.compat import override
from kew.domain.queue import Change
from kew.domain.task import TaskStatus
from kew.simulation.hosts import Host
from tests.simulation.test_scenarios import SELDOM, Stage, Wire, play
from tests.support.tasks import ended

RECORDS = 20_000
STEPS = RECORDS // SWEEP_LIMIT
SWEEP_S, OTHER_S = 0.4, 0.001  # how long the store takes
SWEEPS_BEGIN_S = 20 * SELDOM
A = TypeVar("A")


class SerialWire(Wire):
    """Leads to a store that does one thing at a time, in order."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.removed: list[int] = []  # by each sweep
        self.waited_for: dict[type[Operation[Any]], list[int]] = defaultdict(list)
        self._turn = asyncio.Lock()

    @override
    async def call(self, host: Host, operation: Operation[A]) -> A:
        before = len(self.removed)
        async with self._turn:
            if 0 < len(self.removed) < STEPS:
                self.waited_for[type(operation)].append(len(self.removed) - before)
            await asyncio.sleep(SWEEP_S if isinstance(operation, Sweep) else OTHER_S)
            answer = await super().call(host, operation)
            if isinstance(operation, Sweep):
                self.removed.append(answer.removed)  # type: ignore[attr-defined]
        return answer


def test_a_sweep_of_20000_records_delays_nothing_by_more_than_one_step():
    async def scene(stage: Stage) -> None:
        wire = SerialWire(stage.store())
        manager, _ = await stage.manager(wire=wire)
        await manager.create_queue(QueueConfig("q", lease=3.0, max_workers=30))
        expired = [ended(f"old{n}", queue="q", ticket=n, expires_at=1) for n in range(RECORDS)]
        stage.namespace.queues["q"].indexed.apply(Change(tuple(expired)), 1)
        await asyncio.sleep(SWEEPS_BEGIN_S)
        for number in count():
            await manager.submit_task(f"t{number}", "q", "t", asyncio.sleep, None, 5.0)
            if sum(wire.removed) == RECORDS:
                break
            await asyncio.sleep(0.3)
        await asyncio.sleep(30.0)
        assert max(wire.removed) == SWEEP_LIMIT
        assert {Announce, Claim, Extend, Submit} <= wire.waited_for.keys()
        waited = {operation.name: max(found) for operation, found in wire.waited_for.items()}
        assert {name for name, most in waited.items() if most > 1} == set()
        attempts = {(task.status, task.attempt) for task in stage.namespace.records.values()}
        assert attempts == {(TaskStatus.COMPLETED, 1)}

    play(scene)
