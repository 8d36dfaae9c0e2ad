"""The kinds of faults, and how often each of them really happened to which operation."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from kew.app.ports import OPERATIONS


class Fault(enum.StrEnum):
    """What can go wrong; the value is the word for it in tables and on the command line."""

    SLOW = "slow"  # the request or its reply takes seconds: others overtake it
    LOST_REQUEST = "lost-request"  # it never arrives
    LOST_REPLY = "lost-reply"  # it was carried out, but the caller gets no reply
    LATE = "late"  # it arrives after the caller gave up
    REPEATED = "repeated"  # it arrives twice, as a client's silent retry does
    REFUSED = "refused"  # the connection is refused
    HASTY = "hasty"  # the caller gives up at once; the request goes its way
    CANCELLED = "cancelled"  # the caller's asyncio task is cancelled
    PARTITION = "partition"  # a process and the store don't reach each other for a while
    RESTART = "restart"  # the store is down for a while and forgets who listens
    KILL = "kill"  # a process ends, and no `finally` runs
    STOP = "stop"  # a process is asked to shut down
    STALL = "stall"  # a process stands still, past its leases at times
    CLOCK = "clock"  # a process's wall clock jumps
    STORE_CLOCK = "store-clock"  # the store's clock jumps by seconds
    STORE_LEAP = "store-leap"  # the store's clock jumps by an hour or a day, and back at times
    NOTICE_LOST = "notice-lost"  # a notification is lost
    NOTICE_LATE = "notice-late"  # or comes seconds later
    NOTICE_TWICE = "notice-twice"  # or comes twice
    DEAF = "deaf"  # a process has no subscription for minutes, and knows it
    SILENT = "silent"  # all connections of a process go silent; new ones work
    DEMOTED = "demoted"  # a process's connections lead to a former primary, which refuses each until it is replaced
    SUSPENDED = (
        "suspended"  # a process's machine sleeps: its event loop's clock stands still, leases don't
    )
    UNSTARTABLE = "unstartable"  # a step between a task's grant and its start raises
    FORGET = "forget"  # lossy: the store restarts without its last, unsynced writes


ON_CALLS: Final = (
    Fault.SLOW,
    Fault.LOST_REQUEST,
    Fault.LOST_REPLY,
    Fault.LATE,
    Fault.REPEATED,
    Fault.REFUSED,
    Fault.HASTY,
    Fault.KILL,
    Fault.STOP,
    Fault.STALL,
)
"""What one call to the store can meet; of these a single call meets one at most."""

ON_NOTICES: Final = (Fault.NOTICE_LOST, Fault.NOTICE_LATE, Fault.NOTICE_TWICE)
LOSSY: Final = (Fault.FORGET,)
ON_CONNECTIONS: Final = (Fault.DEAF, Fault.SILENT, Fault.DEMOTED)
"""What happens to the connections of one process, its subscription among them."""

ON_MACHINES: Final = (Fault.SUSPENDED,)
"""What happens to the machine of one process."""

ON_CLOCKS: Final = (Fault.STORE_LEAP,)
"""What happens to the store's clock and that every process notices."""

ON_STARTS: Final = (Fault.UNSTARTABLE,)
"""What happens inside a process between a grant and the first line of a task's code."""

APART: Final = (*ON_CONNECTIONS, *ON_MACHINES, *ON_STARTS, *ON_CLOCKS)
"""What a plan draws by itself, so that the rest of a seed's plan stays as it is."""

USUAL: Final = tuple(fault for fault in Fault if fault not in LOSSY)

NOWHERE: Final = "-"  # a fault that met no operation, or none that can be named

Cell = tuple[Fault, str]


class Tally:
    """How often each fault happened, by the operation (or the notice) that it happened to."""

    def __init__(self, counts: Mapping[Cell, int] | None = None) -> None:
        self.counts: Counter[Cell] = Counter(counts or {})

    def add(self, fault: Fault, where: str = NOWHERE) -> None:
        """Count one that really happened."""
        self.counts[fault, where] += 1

    def include(self, other: Tally) -> None:
        """Add another run's."""
        self.counts.update(other.counts)

    @property
    def total(self) -> int:
        """All faults."""
        return sum(self.counts.values())

    def of(self, fault: Fault) -> int:
        """All faults of a kind."""
        return sum(count for (kind, _), count in self.counts.items() if kind is fault)

    def missing(self) -> Iterator[Cell]:
        """The cells that every long enough run must have and this one has not."""
        expected = [
            (fault, operation.name)
            for fault in (*ON_CALLS, Fault.PARTITION, Fault.RESTART)
            for operation in OPERATIONS
        ]
        expected += [(fault, notice) for fault in ON_NOTICES for notice in NOTICES]
        awaited = [operation.name for operation in OPERATIONS if operation.is_awaited]
        expected += [(Fault.CANCELLED, operation) for operation in awaited]
        expected += [(Fault.CLOCK, NOWHERE), (Fault.STORE_CLOCK, NOWHERE)]
        expected += [(fault, NOWHERE) for fault in APART]
        return (cell for cell in expected if not self.counts[cell])


NOTICES: Final = ("Woken", "StopAsked", "TaskEnded")
