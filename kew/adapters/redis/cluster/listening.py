"""Notifications from a Cluster: a subscription at each node that serves a partition, since only that node counts who
listens there. They move with the partitions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from kew.adapters.redis.cluster.node import Node
from kew.adapters.redis.cluster.topology import Cluster
from kew.adapters.redis.wakeup import CHECK_EVERY, RedisWakeup
from kew.app.notices import Interrupted, Notice, Resumed, Wakeup
from kew.app.ports import Refused
from kew.compat import override

LOOK_EVERY: Final = 0.25  # seconds between two looks at the map while a subscription is missing
MOVED: Final = "a partition of the Redis Cluster is moving to another node"


class ClusterWakeup(Wakeup):
    """Listens on a channel of each partition. `slots`: by partition.

    While the subscription at one node is missing, notifications count as interrupted.
    """

    def __init__(self, cluster: Cluster, namespace: str, slots: Mapping[int, int]) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._slots = slots
        self._listening: dict[Node, tuple[tuple[int, ...], RedisWakeup]] = {}
        self._missing = set[Node]()
        self._is_interrupted = False
        self._look = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._deliver: Callable[[Notice], None] = _nowhere

    def again(self) -> ClusterWakeup:
        """Another one for the same partitions."""
        return ClusterWakeup(self._cluster, self._namespace, self._slots)

    @override
    async def listen(self, incarnation: str, deliver: Callable[[Notice], None]) -> None:
        """Returns once the subscriptions stand or a first attempt failed; further attempts follow by themselves."""
        if self._following is not None:
            raise RuntimeError("a ClusterWakeup listens once")
        self._deliver = deliver
        self._listening, self._missing, self._is_interrupted = {}, set(), False
        self._look = asyncio.Event()
        self._cluster.on_change(self._look.set)
        tried = asyncio.Event()
        self._following = asyncio.create_task(
            self._follow(incarnation, tried), name=f"kew wake-ups of {incarnation}"
        )
        await tried.wait()

    @override
    async def close(self) -> None:
        following, self._following = self._following, None
        if following is None:
            return
        self._cluster.off_change(self._look.set)
        following.cancel()
        await asyncio.wait([following])
        self._deliver = _nowhere
        await asyncio.gather(*(wakeup.close() for _, wakeup in self._listening.values()))
        self._listening.clear()

    async def _follow(self, incarnation: str, tried: asyncio.Event) -> None:
        """Subscribe where the partitions are, whenever that changes. A process that only listens looks now and then."""
        try:
            await self._cluster.refresh(0)
        except Refused as refused:
            self._interrupt(Interrupted(str(refused)))
        while True:
            self._look.clear()
            seen = self._cluster.version
            await self._arrange(incarnation)
            tried.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY if self._is_interrupted else CHECK_EVERY):
                    await self._look.wait()
                    continue
            with contextlib.suppress(Refused):
                await self._cluster.refresh(seen)

    async def _arrange(self, incarnation: str) -> None:
        """Listen at the nodes that serve partitions now, and nowhere else."""
        wanted = self._wanted()
        moved = [node for node, (at, _) in self._listening.items() if wanted.get(node) != at]
        if moved:
            self._interrupt(Interrupted(MOVED))
        for node in moved:
            self._missing.discard(node)
            await self._listening.pop(node)[1].close()
        added = {node: at for node, at in wanted.items() if node not in self._listening}
        for node, at in added.items():
            self._listening[node] = (at, RedisWakeup(node.address, self._namespace, at))
        await asyncio.gather(*(self._listen(node, incarnation) for node in added))
        self._resume()

    def _wanted(self) -> dict[Node, tuple[int, ...]]:
        """The partitions of each node."""
        wanted: dict[Node, tuple[int, ...]] = {}
        for partition, slot in self._slots.items():
            node = self._cluster.owners.get(slot)
            if node is not None:
                wanted[node] = (*wanted.get(node, ()), partition)
        return wanted

    async def _listen(self, node: Node, incarnation: str) -> None:
        await self._listening[node][1].listen(incarnation, partial(self._received, node))

    def _received(self, node: Node, notice: Notice) -> None:
        if isinstance(notice, Interrupted):
            if node not in self._missing:
                self._missing.add(node)
                self._cluster.suspect()
                self._look.set()
            self._interrupt(notice)
        elif isinstance(notice, Resumed):
            self._missing.discard(node)
            self._resume()
        else:
            self._deliver(notice)

    def _interrupt(self, notice: Interrupted) -> None:
        self._is_interrupted = True
        self._deliver(notice)

    def _resume(self) -> None:
        """If no subscription is missing, anything may have been missed until now."""
        if self._is_interrupted and not self._missing and self._listening:
            self._is_interrupted = False
            self._deliver(Resumed())


def _nowhere(notice: Notice) -> None:
    """It is closed, or was never opened."""
