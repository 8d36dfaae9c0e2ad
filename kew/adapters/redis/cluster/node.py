"""One node of a Cluster, as this process reaches it: its connections are shared by all partitions that it serves."""

from __future__ import annotations

from typing import Final

import attrs

from kew.adapters.redis.address import Address
from kew.adapters.redis.cluster.confirming import NodeConfirmation
from kew.adapters.redis.connections import Link
from kew.adapters.redis.endpoint import Endpoint
from kew.adapters.redis.functions import Pools, pools_of
from kew.adapters.redis.pool import Pool
from kew.adapters.redis.refusals import leads_elsewhere
from kew.adapters.redis.route import Route
from kew.adapters.redis.wire import DirectWire, ReplyError, packed
from kew.compat import override

PING: Final = packed("PING")


@attrs.frozen(kw_only=True)
class NodeAddress(Address):
    """Where a node listens. Whether it is a primary is not asked: a replica refers each call to its primary."""

    is_node: bool = True

    @override
    async def check_role(self, wire: DirectWire, seconds: float) -> None:
        reply = await wire.answer(PING, seconds)
        if isinstance(reply, ReplyError) and leads_elsewhere(reply):
            raise ConnectionError(str(reply))


class Node:
    """A node and the connections to it."""

    def __init__(
        self, endpoint: Endpoint, base: Address, confirmation: NodeConfirmation | None = None
    ) -> None:
        self.endpoint = endpoint
        self.confirmation = confirmation
        self.address = node_address(endpoint, base)
        self.pools: Pools = pools_of(self.address, confirmation)
        self._pools = [pool for pool in self.pools.each() if isinstance(pool, Pool)]

    def silent(self, seconds: float) -> list[Link]:
        """The connections with a command that has not been answered for so long."""
        return [link for pool in self._pools for link in pool.silent(seconds)]

    def __repr__(self) -> str:
        return f"Node({self.endpoint})"

    def open(self) -> None:
        """Keep connections from now on."""
        for pool in self._pools:
            pool.open()

    async def close(self) -> None:
        """Disconnect."""
        for pool in self._pools:
            await pool.close()


def node_address(endpoint: Endpoint, base: Address) -> NodeAddress:
    """The address of a node of the cluster at `base`."""
    same = {field.name: getattr(base, field.name) for field in attrs.fields(Address)}
    options = {**base.options, "host": endpoint.host, "port": endpoint.port}
    own = {"where": str(endpoint), "options": options, "route": Route(), "is_node": True}
    return NodeAddress(**{**same, **own})
