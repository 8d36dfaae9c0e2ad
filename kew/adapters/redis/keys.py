"""Every Redis key and channel that kew uses is made here, and nowhere else.

All keys of a queue carry its name as their hash tag, so a queue lives in one Cluster slot. Five keys belong to the
whole namespace: `tasks`, the records of every queue, `contents`, what is too large for a record, `queues`, the names
of those declared, `processes`, what processes report of themselves, and `schedules`. On one node, `tasks` is also the
directory that keeps ids unique; operations are given its name and never build it. docs/redis.md has the table.
`hungry` has the starved processes: the key keeps the name that stored queues use.
"""

from __future__ import annotations

from collections.abc import Iterable

from kew.domain.config import check_name

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


class Keys:
    """The names of one namespace's keys. A namespace or queue that can't be one raises `InvalidConfigError`."""

    def __init__(self, namespace: str) -> None:
        self.namespace = check_name(namespace, "namespace")
        self.channels = f"{namespace}:to:"

    def key(self, part: str, queue: str = "") -> str:
        """The key of a part of the namespace or, if it is a queue's part, of `queue`."""
        if part in OF_NAMESPACE:
            return f"{self.namespace}:{part}"
        if part not in OF_QUEUE:
            raise ValueError(f"no key is called {part!r}")
        return f"{self.namespace}:{{{check_name(queue)}}}:{part}"

    def channel(self, incarnation: str) -> str:
        """The channel on which a process gets its notifications."""
        return self.channels + incarnation

    def named(self, parts: Iterable[str], queue: str) -> tuple[bytes, ...]:
        """The keys of these names, encoded."""
        return tuple(self.key(part, queue).encode() for part in parts)
