"""Durability on a Cluster: replicas of a node confirm what was written there.

On one server an empty message goes before each WAIT, as it is replicated like a write. The nodes of a Cluster pass
messages on over their own bus, so there a key is written: that of a partition which the node serves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kew.adapters.redis.address import Address
from kew.adapters.redis.durability import Confirmation, Unconfirmed
from kew.adapters.redis.refusals import is_redirect
from kew.adapters.redis.standstill import Standstill
from kew.adapters.redis.wire import packed
from kew.compat import override


class NodeConfirmation(Confirmation):
    """What is sent after each command to a node. `keys`: of the partitions that it serves, one at least."""

    def __init__(self, name: str, address: Address, keys: Callable[[], Sequence[str]]) -> None:
        super().__init__(address.durability, b"", address.timeout, Standstill(name))
        self._keys = keys
        self._failed = 0
        self.choose()

    def choose(self) -> None:
        """Write a key of a partition that the node serves now: each command sends that, so it is packed here, once."""
        keys = self._keys()
        self.packed = packed("SET", keys[self._failed % len(keys)], "") + self._wait

    @override
    def fault(self, reply: Any) -> Unconfirmed | None:
        if is_redirect(
            reply
        ):  # it doesn't serve that partition any more, or is about to pass it on
            self._failed += 1
            self.choose()
        return super().fault(reply)
