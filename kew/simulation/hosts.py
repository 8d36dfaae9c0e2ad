"""A place where simulated processes run, one after the other: what stays when a process ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kew.simulation.processes import SimulatedProcess

if TYPE_CHECKING:
    from kew.manager import TaskQueueManager


class Host:
    """One slot for a process. Instants are virtual time."""

    def __init__(self, name: str, *, works: bool, knows_all: bool) -> None:
        self.name = name
        self.works = works
        self.knows_all = knows_all  # its processes run every function
        self.starts = 0
        self.skew_s = 0.0
        self.process: SimulatedProcess | None = None
        self.manager: TaskQueueManager | None = None
        self.incarnation = ""  # of the manager, as the store knows it
        self.sharing: Callable[..., object] | None = None  # a function whose runs share a pool
        self.on_shut_down: Callable[[], None] | None = None
        self.is_ready = False
        self.is_stopping = False
        self.stalled_until = -1.0  # for a moment after a sleep too
        self.partitioned_until = -1.0
        self.silent_until = -1.0  # what its connections carry gets lost
        self.refusals = 0  # calls that a former primary will refuse
        self.resets = False  # a partition that answers with a reset instead of silence
        self.errands: set[asyncio.Task[Any]] = set()
        self.in_flight: Counter[str] = Counter()  # calls to the store, by operation

    @property
    def is_alive(self) -> bool:
        """A process runs here, stalled or not."""
        return self.process is not None and self.process.is_alive

    def begin(self, process: SimulatedProcess) -> None:
        """A new process runs here."""
        self.process = process
        self.manager = None
        self.incarnation = ""
        self.sharing = self.on_shut_down = None
        self.is_ready = self.is_stopping = False
        self.stalled_until = self.silent_until = -1.0
        self.refusals = 0
        self.errands = set()
        self.in_flight = Counter()

    def __str__(self) -> str:
        return str(self.process or self.name)
