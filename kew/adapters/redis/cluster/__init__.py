"""A Redis Cluster: which node serves a partition, and how its calls and notifications get there."""

from collections.abc import Sequence

from kew.adapters.redis.cluster.listening import ClusterWakeup
from kew.adapters.redis.cluster.store import PartitionStore, partition_stores
from kew.adapters.redis.cluster.topology import Cluster
from kew.adapters.redis.cluster.url import cluster_url
from kew.adapters.redis.library import Library

__all__ = ["Cluster", "ClusterWakeup", "PartitionStore", "connect", "unchecked_stores"]


def connect(
    url: str, namespace: str = "kew", *, client_name: str = "", library: Library | None = None
) -> tuple[Sequence[PartitionStore], ClusterWakeup]:
    """The stores of a namespace's partitions, in order, and one wake-up for all of them; not connected yet.

    Raises `InvalidConfigError`. `client_name`, `library`: see `kew.adapters.redis.connect` and `RedisStore`.
    """
    read = cluster_url(url, client_name=client_name)
    cluster = Cluster(read.address, read.seeds)
    stores = partition_stores(cluster, namespace, read.partitions, library)
    slots = {store.partition: store.slot for store in stores}
    return stores, ClusterWakeup(cluster, namespace, slots)


def unchecked_stores(url: str, namespace: str) -> Sequence[PartitionStore]:
    """The stores alone; opening them connects, and looks at nothing else. Raises `InvalidConfigError`."""
    read = cluster_url(url)
    cluster = Cluster(read.address, read.seeds)
    return partition_stores(cluster, namespace, read.partitions, checks=False)
