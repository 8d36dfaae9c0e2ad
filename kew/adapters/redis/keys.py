"""Every Redis key and channel that kew uses is made here, and nowhere else.

All keys of a queue carry its name as their hash tag, so a queue lives in one Cluster slot. Five keys belong to the
whole namespace: `tasks`, the records of every queue, `contents`, what is too large for a record, `queues`, the names
of those declared, `processes`, what processes report of themselves, and `schedules`. On one node, `tasks` is also the
directory that keeps ids unique; operations are given its name and never build it. docs/redis.md has the table.
`hungry` has the starved processes: the key keeps the name that stored queues use.

On a Cluster a namespace has partitions, and all keys of one share its hash tag. docs/decisions/0036-cluster.md says
why each call names a key that never exists.
"""

from __future__ import annotations

from collections.abc import Iterable

from kew.domain.config import check_name
from kew.domain.partitions import RESERVED

OF_NAMESPACE = frozenset({"tasks", "contents", "queues", "processes", "schedules"})
OF_QUEUE = frozenset(
    {
        "state",
        "line1",
        "line2",
        "line3",
        "waiting1",
        "waiting2",
        "waiting3",
        "leases",
        "ended",
        "parked",
        "idle",
        "hungry",
        "workers",
        "functions",
        "lanes",
        "unreadable",
    }
)

# While a slot is migrated, Redis refuses a call of several keys as a whole if one of them doesn't exist. Without this
# one, a function could begin, and break off at a key of its own making that has moved already.
NEVER_EXISTS = "never"


class Keys:
    """The names of one namespace's keys, or of one of its partitions on a Cluster.

    A namespace or queue that can't be one raises `InvalidConfigError`.
    """

    def __init__(self, namespace: str, partition: int | None = None) -> None:
        self.namespace = check_name(namespace, "namespace")
        self.partition = partition
        self._start = namespace if partition is None else f"{{{namespace}:{partition}}}"
        self._queue = f"{namespace}:{{%s}}:%s" if partition is None else f"{self._start}:q:%s:%s"
        self.channels = f"{self._start}:to:"
        self.publish = "PUBLISH" if partition is None else "SPUBLISH"
        self.subscribe = "SUBSCRIBE" if partition is None else "SSUBSCRIBE"
        self.marker = f"{self._start}:confirmed"  # written before each WAIT on a Cluster
        self.guards = () if partition is None else (f"{self._start}:{NEVER_EXISTS}".encode(),)

    @property
    def patterns(self) -> str:
        """What all keys of the namespace begin with, for people."""
        return f"{self._start}:*"

    def key(self, part: str, queue: str = "") -> str:
        """The key of a part of the namespace or, if it is a queue's part, of `queue`."""
        if part in OF_NAMESPACE:
            return f"{self._start}:{part}"
        if part not in OF_QUEUE:
            raise ValueError(f"no key is called {part!r}")
        return self._queue % (queue if queue == RESERVED else check_name(queue), part)

    @property
    def copy_mark(self) -> str:
        """The key that names, while a copy of the namespace is not complete, where it comes from."""
        return f"{self._start}:copying"

    def channel(self, incarnation: str) -> str:
        """The channel on which a process gets its notifications."""
        return self.channels + incarnation

    def named(self, parts: Iterable[str], queue: str) -> tuple[bytes, ...]:
        """The keys of these names, encoded."""
        return tuple(self.key(part, queue).encode() for part in parts)
