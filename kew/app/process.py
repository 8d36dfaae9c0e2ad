"""This process as the store knows it: an incarnation drawn once, and the services that all its queues share."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from kew.app.dead_letters import DeadLetterOffice
from kew.app.inspector import Inspector
from kew.app.listing import TaskLists
from kew.app.notices import (
    Interrupted,
    Notice,
    Resumed,
    SettingsChanged,
    StopAsked,
    TaskEnded,
    Wakeup,
    Woken,
)
from kew.app.notifications import Notifications
from kew.app.observer import Observer
from kew.app.ports import (
    Codec,
    Entropy,
    TaskStore,
    Threads,
    Uptime,
    Watchdog,
)
from kew.app.registry import Registry
from kew.app.resources import Resources
from kew.app.results import Results
from kew.app.scheduling.scheduling import Scheduling
from kew.app.spawning import clean_context, spawn
from kew.app.submitting.encoding import CallEncoder
from kew.app.submitting.submitter import Served, Submitter
from kew.app.submitting.taken import Existing
from kew.app.submitting.traced import TracingEncoder, TracingSubmitter
from kew.app.sweeping import Caretaker
from kew.app.tracing import Tracer
from kew.app.working.admission import Admission
from kew.app.working.capacity import Capacity
from kew.app.working.deadlocks import Deadlocks
from kew.app.working.hooks import Hooks
from kew.app.working.presence import Presence
from kew.app.working.reporter import Reporter
from kew.app.working.worker import Worker
from kew.domain.config import TICK, TICKS_PER_PRESENCE
from kew.domain.errors import TaskQueueError
from kew.domain.incarnations import identity_of, place_of


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
    @property
    def uptime(self) -> Uptime | None: ...
    @property
    def watchdog(self) -> Watchdog: ...
    @property
    def address(self) -> str: ...
    @property
    def namespace(self) -> str | None: ...


class Services(Served, Protocol):
    """A queue's services."""

    @property
    def worker(self) -> Worker | None: ...


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

    # Long: it makes the services that all queues share, each with what it needs.
    def __init__(
        self,
        parts: Adapters,
        hooks: Hooks,
        registry: Registry,
        *,
        capacity: Capacity,
        admission: Admission,
        served: Mapping[str, Services],
        name: str,
        version: str,
        patience: float,
        handle_of: Callable[[str], Existing],
        tick: float = TICK,
        observer: Observer | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self.parts = parts
        self.incarnation = parts.entropy.incarnation()
        identity = identity_of(self.incarnation)
        self.lane_numbers = itertools.count(1)
        self.registry = registry
        self.registry.begin(self.incarnation)
        self._served = served
        encoder = CallEncoder if tracer is None else TracingEncoder
        self.encoder = encoder(self.registry, parts.codec, identity, served)
        self.inspector = Inspector(parts.store, parts.codec, self.incarnation, observer)
        self.dead_letters = DeadLetterOffice(parts.store, parts.codec, self.inspector)
        self.lists = TaskLists(parts.store, parts.codec, self.inspector, self.dead_letters)
        submitting = Submitter if tracer is None else partial(TracingSubmitter, tracer)
        self.submitter = submitting(self.encoder, parts.store, served, patience, handle_of)
        self.results = Results(parts.store, self.incarnation, on_inner_wait=self._expect_deadlock)
        self.notifications = Notifications(self.look)
        self.reporter = Reporter(hooks, parts.codec, self.results, self.incarnation, observer)
        self.tracer = tracer
        self.capacity = capacity
        self.admission = admission
        self.workers: dict[str, Worker] = {}
        self.resources = Resources()
        self.scheduling = Scheduling(
            parts.store,
            parts.entropy,
            registry=registry,
            encoder=self.encoder,
            served=served,
            results=self.results,
            poll=tick,
        )
        self.presence = Presence(
            name or place_of(self.incarnation),
            version,
            registry=registry,
            workers=self._working,
            lag=parts.watchdog.worst_lag,
            interval=tick * TICKS_PER_PRESENCE,
            schedules=self.scheduling.declared,
        )
        self.deadlocks = Deadlocks(self.results, self.workers, parts.store)
        self.caretaker = Caretaker(parts.store, self.reporter, self.workers.keys, tick=tick)
        self.loop = asyncio.get_running_loop()
        self.is_closing = False  # it ends: what runs may go on, and nothing is to begin
        self._generation = Forks.generation

    @property
    def shown(self) -> str:
        """Its name, and what the store calls it: "web (web-1-4711-5f0c9dd21a2b3c4e)"."""
        return f"{self.presence.name} ({self.incarnation})"

    @property
    def is_forked(self) -> bool:
        """This is another process by now."""
        return Forks.generation != self._generation

    def check(self) -> None:
        """Raise if this is another process by now: after a fork the old one's leases would be claimed as its own."""
        if Forks.generation != self._generation:
            raise TaskQueueError(
                "this manager was initialized in another process (fork); "
                "create and initialize a TaskQueueManager in each process"
            )

    def _working(self) -> dict[str, Worker]:
        """The workers by queue, of queues that are being created too."""
        return {name: each.worker for name, each in self._served.items() if each.worker}

    def _expect_deadlock(self) -> None:
        """A task waits for another."""
        self.deadlocks.expect()

    async def listen(self) -> None:
        """Subscribe to the store's notifications."""
        listening = self.parts.wakeup.listen(self.incarnation, self.deliver)
        await spawn(listening, context=clean_context())

    def deliver(self, notice: Notice) -> None:
        """Pass a notice to the worker, run or waiter that it concerns."""
        match notice:
            case Woken(queue):
                if worker := self.workers.get(queue):
                    worker.wake()
            case StopAsked(queue, task_id):
                if worker := self.workers.get(queue):
                    worker.stop_task(task_id)
            case TaskEnded(task_id):
                self.registry.pins.ended(task_id)
                self.results.announced(task_id)
            case SettingsChanged(queue):
                if queue in self.workers:
                    self._served[queue].maintainer.look_at_settings()
                    self.scheduling.ticker.look()
            case Interrupted(why, is_refusal):
                self.notifications.interrupted(why, is_refusal=is_refusal)
            case Resumed():
                self.notifications.resumed()
                self.results.resumed()
                self.scheduling.ticker.look()
                for worker in self.workers.values():
                    worker.wake()

    def look(self) -> None:
        """Ask the store for what notifications would have reported."""
        self.results.look()
        for worker in self.workers.values():
            if worker.is_idle:
                worker.wake()
            worker.stop_task()
