"""One partition of a namespace on a Cluster: the Redis store, over whichever node serves the partition's slot."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from redis.crc import key_slot

from kew.adapters.redis.checks import (
    advised,
    check_confirmed,
    check_copied,
    check_publish,
    check_server,
)
from kew.adapters.redis.cluster.calls import slot_pools
from kew.adapters.redis.cluster.facts import worst_of
from kew.adapters.redis.cluster.node import Node
from kew.adapters.redis.cluster.topology import Cluster
from kew.adapters.redis.facts import facts_about
from kew.adapters.redis.keys import Keys
from kew.adapters.redis.library import Library, genuine_library
from kew.adapters.redis.store import RedisStore
from kew.app.ports import StoreError, TaskStore
from kew.compat import override


class ClusterUse:
    """One process's use of a cluster by the partitions of a namespace: they open and close its connections together."""

    def __init__(self, cluster: Cluster, library: Library, *, checks: bool = True) -> None:
        self.cluster = cluster
        self.library = library
        self.checks = checks
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open = 0  # partitions
        self._checked: asyncio.Future[None] | None = None
        self._twin: ClusterUse | None = None
        self._in_twin = set[int]()

    def apart(self, partition: int) -> ClusterUse:
        """The same for another event loop; one for all partitions, until one of them asks again."""
        if self._twin is None or partition in self._in_twin:
            self._twin = ClusterUse(self.cluster.twin(), self.library, checks=False)
            self._in_twin.clear()
        self._in_twin.add(partition)
        return self._twin

    async def open(self) -> None:
        """Have a map, and fit primaries with the library. Raises as `check` does."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # what is left of another one is of no use
            self._loop, self._open, self._checked = loop, 0, None
        self._open += 1
        if self._open == 1:
            self.cluster.open()
            self._checked = asyncio.ensure_future(self._check())
        assert self._checked is not None
        try:
            await asyncio.shield(self._checked)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect, once all partitions are closed."""
        if self._open == 0:
            return
        self._open -= 1
        if self._open == 0:
            if self._checked is not None:
                self._checked.cancel()
                self._checked = None
            await self.cluster.close()

    async def _check(self) -> None:
        try:
            await self.cluster.refresh(self.cluster.version)
        except StoreError as error:
            raise advised(error, self.cluster.address, "CLUSTER SLOTS") from error.__cause__
        if self.checks:
            await asyncio.gather(*map(self._check_node, set(self.cluster.owners.values())))

    async def _check_node(self, node: Node) -> None:
        await check_server(node.pools.questions, node.address, self.library)
        if not node.address.durability.is_default:
            await check_confirmed(node.pools.commands, node.address)


class PartitionStore(RedisStore):
    """A partition. Its keys and channels share a hash tag, so they are in one slot."""

    def __init__(self, use: ClusterUse, namespace: str, partition: int) -> None:
        keys = Keys(namespace, partition)
        self.partition = partition
        self.slot = slot_of(keys)
        self._use = use
        super().__init__(
            use.cluster.address,
            namespace,
            library=use.library,
            partition=partition,
            pools=slot_pools(use.cluster, self.slot, keys.marker),
        )

    def __repr__(self) -> str:
        return f"PartitionStore({self.address.where!r}, {self.keys.namespace!r}, {self.partition})"

    @override
    async def open(self) -> None:
        await self._use.open()
        if not self._use.checks or self.partition:  # rights are those of the namespace
            return
        try:
            await check_copied(self.functions.questions, self.address, self.keys)
            await check_publish(self.functions.questions, self.address, self.keys)
        except BaseException:
            await self._use.close()
            raise

    @override
    async def close(self) -> None:
        await self.aside.close()
        if self.unstarted is not None:
            await self.unstarted.close()
        await self._use.close()

    @override
    async def facts(self) -> Mapping[str, str]:
        """Of all primaries that serve a partition, what the worst of them says."""
        nodes = self.primaries()
        library, keys = self.functions.library, self.keys
        asking = [
            facts_about(
                node.pools.questions, node.address, library, keys, commands=node.pools.commands
            )
            for node in nodes
        ]
        return worst_of(await asyncio.gather(*asking))

    @override
    def apart(self) -> TaskStore:
        return PartitionStore(self._use.apart(self.partition), self.keys.namespace, self.partition)

    def primaries(self) -> list[Node]:
        """The nodes that serve the partitions of the namespace now."""
        return list(dict.fromkeys(self._use.cluster.owners.values()))


def slot_of(keys: Keys) -> int:
    """The slot of a partition."""
    return key_slot(keys.key("tasks").encode())


def partition_stores(
    cluster: Cluster,
    namespace: str,
    partitions: int,
    library: Library | None = None,
    *,
    checks: bool = True,
) -> Sequence[PartitionStore]:
    """The stores of a namespace's partitions, which share the connections to the cluster."""
    use = ClusterUse(cluster, library or genuine_library(), checks=checks)
    return [PartitionStore(use, namespace, number) for number in range(partitions)]
