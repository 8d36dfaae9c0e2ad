"""Notifications as a network delivers them: most of them, some late, some twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import attrs

from kew.adapters.memory.hub import Hub
from kew.adapters.simulation.faults import ON_NOTICES, Fault, Tally
from kew.adapters.simulation.hosts import Host
from kew.adapters.simulation.plan import Plan
from kew.adapters.simulation.processes import Process
from kew.app.ports import Notice, Resumed
from kew.compat import override

TRIP = (0.0002, 0.003)
LATEST = 10.0
ODDS = 0.05
RECONNECTED = (0.05, 2.0)


@attrs.frozen(eq=False)
class Subscriber:
    """One process's subscription; it stays known for a while after the process was killed."""

    host: Host
    process: Process
    deliver: Callable[[Notice], None]


class FaultyHub(Hub):
    """The store's side of all subscriptions."""

    def __init__(self, loop: asyncio.AbstractEventLoop, plan: Plan, tally: Tally) -> None:
        super().__init__()
        self.is_healed = False
        self._loop = loop
        self._tally = tally
        self._random = plan.random("notices")
        self._kinds = tuple(fault for fault in ON_NOTICES if fault in plan.faults)
        self._odds = ODDS * plan.rate
        self._subscribers: dict[str, Subscriber] = {}

    def subscribe(self, host: Host, incarnation: str, deliver: Callable[[Notice], None]) -> None:
        """Deliver to the process on `host` from now on."""
        assert host.process is not None
        self._subscribers[incarnation] = Subscriber(host, host.process, deliver)

    def listeners(self) -> frozenset[str]:
        """The incarnations that are subscribed now."""
        return frozenset(self._subscribers)

    @override
    def remove(self, incarnation: str) -> None:
        self._subscribers.pop(incarnation, None)

    @override
    def tell(self, incarnation: str, notice: Notice) -> bool:
        subscriber = self._subscribers.get(incarnation)
        if subscriber is None:
            return False
        for delay in self._delays(type(notice).__name__):
            self._loop.call_later(
                delay, self._deliver, subscriber, notice, context=subscriber.process.context
            )
        return True

    def _delays(self, what: str) -> tuple[float, ...]:
        """When each copy of a notice arrives, seconds from now."""
        random = self._random
        trip = random.uniform(*TRIP)
        if self.is_healed or not self._kinds or random.random() >= self._odds * len(self._kinds):
            return (trip,)
        fault = random.choice(self._kinds)
        self._tally.add(fault, what)
        late = trip + LATEST * random.random()
        return {Fault.NOTICE_LOST: (), Fault.NOTICE_LATE: (late,)}.get(fault, (trip, late))

    def _deliver(self, subscriber: Subscriber, notice: Notice) -> None:
        if self._loop.time() >= subscriber.host.partitioned_until:
            subscriber.deliver(notice)

    def interrupt(self, down_until: float) -> None:
        """The store restarts: every subscription is gone, and comes back after it, once the process noticed."""
        gone, self._subscribers = self._subscribers, {}
        for incarnation, subscriber in gone.items():
            at = down_until + self._random.uniform(*RECONNECTED)
            self._loop.call_at(
                at, self._come_back, incarnation, subscriber, context=subscriber.process.context
            )

    def _come_back(self, incarnation: str, subscriber: Subscriber) -> None:
        if subscriber.host.incarnation == incarnation and not subscriber.host.is_stopping:
            self._subscribers[incarnation] = subscriber
            subscriber.deliver(Resumed())
