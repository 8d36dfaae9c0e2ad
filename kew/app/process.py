"""This process as the store knows it: an incarnation drawn once, and the services that all its queues share."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Mapping
from typing import Protocol

from kew.app.admission import Admission
from kew.app.caller import Caller
from kew.app.capacity import Capacity
from kew.app.hooks import Hooks
from kew.app.inspector import Inspector
from kew.app.ports import (
    Codec,
    Entropy,
    Notice,
    Resumed,
    StopAsked,
    TaskEnded,
    TaskStore,
    Threads,
    Wakeup,
    Woken,
)
from kew.app.registry import Registry
from kew.app.reporter import Reporter
from kew.app.results import Results
from kew.app.submitter import Served, Submitter
from kew.app.worker import Worker
from kew.domain.errors import TaskQueueError


class Adapters(Protocol):
    """What a process needs of the world."""

    @property
    def store(self) -> TaskStore: ...
    @property
    def wakeup(self) -> Wakeup: ...
    @property
    def codec(self) -> Codec: ...
    @property
    def entropy(self) -> Entropy: ...
    @property
    def threads(self) -> Threads: ...


class Forks:
    """How many forks led from the first process to this one; those of C code that tells Python nothing are not seen.

    (To ask the system who one is takes longer than looking, at every submit.)
    """

    generation = 0

    @classmethod
    def happened(cls) -> None:
        """This is a child."""
        cls.generation += 1


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(after_in_child=Forks.happened)


class Process:
    """One incarnation: it begins with `initialize()` and ends with `shutdown()`."""

    def __init__(
        self,
        parts: Adapters,
        hooks: Hooks,
        registry: Registry,
        *,
        capacity: Capacity,
        admission: Admission,
        served: Mapping[str, Served],
        patience: float,
    ) -> None:
        self.parts = parts
        self.incarnation = parts.entropy.identity()
        self.lane_numbers = itertools.count(1)
        self.registry = registry
        self.registry.begin(self.incarnation)
        self.caller = Caller(self.registry, parts.codec, self.incarnation)
        self.inspector = Inspector(parts.store, parts.codec, self.incarnation)
        self.submitter = Submitter(self.caller, parts.store, served, patience)
        self.results = Results(parts.store, self.incarnation)
        self.reporter = Reporter(hooks, parts.codec, self.results)
        self.capacity = capacity
        self.admission = admission
        self.workers: dict[str, Worker] = {}
        self.admission.has_runs = self.has_runs
        self.loop = asyncio.get_running_loop()
        self.is_closing = False  # it ends: what runs may go on, and nothing is to begin
        self._generation = Forks.generation

    @property
    def is_forked(self) -> bool:
        """This is another process by now."""
        return Forks.generation != self._generation

    def check(self) -> None:
        """Raise where this is another process by now: after a fork the old one's leases would be claimed as its own."""
        if Forks.generation != self._generation:
            raise TaskQueueError(
                "this manager was initialized in another process (fork); "
                "create and initialize a TaskQueueManager in each process"
            )

    def has_runs(self) -> bool:
        """Something runs in this process, or is about to."""
        return any(worker.load() for worker in self.workers.values())

    async def listen(self) -> None:
        """Begin to be told by the store."""
        await self.parts.wakeup.listen(self.incarnation, self.deliver)

    def deliver(self, notice: Notice) -> None:
        """Pass a notice on to whom it concerns."""
        match notice:
            case Woken(queue):
                if worker := self.workers.get(queue):
                    worker.wake()
            case StopAsked(queue, task_id):
                if worker := self.workers.get(queue):
                    worker.stop_task(task_id)
            case TaskEnded(task_id):
                self.results.announced(task_id)
            case Resumed():
                self.results.resumed()
                for worker in self.workers.values():
                    worker.wake()
