"""The kinds of faults, and how often each of them really happened to which operation."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final


class Fault(enum.StrEnum):
    """What can go wrong; the value is the word for it in tables and on the command line."""

    SLOW = "slow"  # the request or its reply takes seconds: others overtake it
    LOST_REQUEST = "lost-request"  # it never arrives
    LOST_REPLY = "lost-reply"  # it was carried out, and nobody is told
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
    STORE_CLOCK = "store-clock"  # the store's clock jumps
    NOTICE_LOST = "notice-lost"  # a notification is lost
    NOTICE_LATE = "notice-late"  # or comes seconds later
    NOTICE_TWICE = "notice-twice"  # or comes twice
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
USUAL: Final = tuple(fault for fault in Fault if fault not in LOSSY)

OPERATIONS: Final = (
    "declare",
    "settings",
    "announce",
    "depart",
    "submit",
    "claim",
    "settle",
    "extend",
    "sweep",
    "peek",
    "find",
    "running",
    "watch",
    "cancel",
    "replay",
    "control",
    "status",
    "queues",
)
"""What processes ask of the store in a simulation, in the words of its port."""

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
            (fault, operation)
            for fault in (*ON_CALLS, Fault.PARTITION, Fault.RESTART)
            for operation in OPERATIONS
        ]
        expected += [(fault, notice) for fault in ON_NOTICES for notice in NOTICES]
        expected += [(Fault.CANCELLED, operation) for operation in CANCELLABLE]
        expected += [(Fault.CLOCK, NOWHERE), (Fault.STORE_CLOCK, NOWHERE)]
        return (cell for cell in expected if not self.counts[cell])


NOTICES: Final = ("Woken", "StopAsked", "TaskEnded")
CANCELLABLE: Final = (
    "submit",
    "find",
    "watch",
    "cancel",
    "replay",
    "control",
    "status",
    "queues",
    "running",
)
"""What a caller waits for, who may be cancelled meanwhile."""
