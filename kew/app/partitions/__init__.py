"""A namespace of several partitions: a store above stores."""

from kew.app.partitions.listening import PartitionedWakeup
from kew.app.partitions.store import PartitionedStore

__all__ = ["PartitionedStore", "PartitionedWakeup"]
