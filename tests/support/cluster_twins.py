"""One memory store and the partitions of a Cluster side by side: their answers, and what is found by each id.

What `partition_twins.py` says of a router holds here too. Keys are not read: the differential test of one Redis does
that. A peek is not compared either, as in Redis it depends on what the partition's store has seen of the time.
"""

from __future__ import annotations

import attrs

from kew.app.ports import Find, Queues
from kew.compat import override
from tests.support.partition_twins import PartitionTwins
from tests.support.twins import _seen, _unequal


@attrs.define(eq=False, kw_only=True)
class ClusterTwins(PartitionTwins):
    """Both under one clock. `redis` is the scene of the Cluster, which `router` is."""

    stores: list[object] = attrs.field(factory=list)  # type: ignore[assignment]

    @override
    async def move_clock(self, ms: int) -> None:
        await super().move_clock(ms)
        await self.redis.set_clock(self.clock.now)

    @override
    async def _peek(self, queue: str) -> None:
        """See above."""

    @override
    async def compare_everything(self, *, every_step: bool = False) -> None:
        """All tasks that memory knows, by their ids."""
        names = [list(await store.do(Queues())) for store in (self.memory, self.redis.store)]
        faults = _unequal("queues", *names)
        ids = sorted(
            task.id
            for task in self.memory.namespace.records.values()
            if not task.is_terminal or (task.expires_at or 0) > self.clock.now
        )
        ours, theirs = [await store.do(Find(ids)) for store in (self.memory, self.redis.store)]
        faults += _unequal("tasks", _seen(ours), _seen(theirs))
        if faults:
            self.fail("different states", *faults)
