"""Notifications as a network delivers them: most of them, some late, some twice."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from kew.adapters.memory.hub import Hub
from kew.app.notices import Interrupted, Notice, Resumed
from kew.compat import override
from kew.simulation.faults import ON_NOTICES, Fault, Tally
from kew.simulation.hosts import Host
from kew.simulation.loop import SimulationLoop
from kew.simulation.plan import Plan
from kew.simulation.processes import SimulatedProcess

TRIP = (0.0002, 0.003)
LATEST = 10.0
ODDS = 0.05
RECONNECTED = (0.05, 2.0)
NOTICED = 13.0  # seconds, until a process finds out at the latest that its subscription is dead
DEAF_FROM_THE_START = 0.3  # of the processes, until the faults stop


@attrs.frozen(eq=False)
class Subscriber:
    """One process's subscription; it stays known for a while after the process was killed."""

    host: Host
    process: SimulatedProcess
    deliver: Callable[[Notice], None]


class FaultyHub(Hub):
    """The store's side of all subscriptions."""

    def __init__(self, loop: SimulationLoop, plan: Plan, tally: Tally) -> None:
        super().__init__()
        self.is_healed = False
        self._loop = loop
        self._tally = tally
        self._random = plan.random("notices")
        self._kinds = tuple(fault for fault in ON_NOTICES if fault in plan.faults)
        self._odds = ODDS * plan.rate
        self._subscribers: dict[str, Subscriber] = {}
        self._absent: dict[str, Subscriber] = {}
        self._may_be_deaf = Fault.DEAF in plan.faults
        self._deafness = plan.random("deaf")

    def subscribe(self, host: Host, incarnation: str, deliver: Callable[[Notice], None]) -> None:
        """Deliver to the process on `host` from now on."""
        assert host.process is not None
        subscriber = Subscriber(host, host.process, deliver)
        self._subscribers[incarnation] = subscriber
        may_be_deaf = self._may_be_deaf and not self.is_healed
        if may_be_deaf and self._deafness.random() < DEAF_FROM_THE_START:
            self._tally.add(Fault.DEAF)
            self._absent[incarnation] = self._subscribers.pop(incarnation)
            deliver(Interrupted("deaf"))

    def listeners(self) -> frozenset[str]:
        """The incarnations that are subscribed now."""
        return frozenset(self._subscribers)

    @override
    def remove(self, incarnation: str) -> None:
        self._subscribers.pop(incarnation, None)
        self._absent.pop(incarnation, None)

    @override
    def notify(self, incarnation: str, notice: Notice) -> bool:
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
        host = subscriber.host
        if self._loop.world_time() >= max(host.partitioned_until, host.silent_until):
            subscriber.deliver(notice)

    def interrupt(self, down_until: float) -> None:
        """The store restarts: every subscription is gone, and comes back after it, once the process noticed."""
        for incarnation in list(self._subscribers):
            self.deafen(incarnation, down_until - self._loop.world_time())

    def mute(self, incarnation: str) -> None:
        """A subscription is dead, which its process finds out after a while."""
        subscriber = self._subscribers.get(incarnation)
        if subscriber is None:
            return
        del self._subscribers[incarnation]
        self._absent[incarnation] = subscriber
        self._later(
            NOTICED * self._random.random(), self._notice_absence, incarnation, subscriber, 0.0
        )

    def deafen(self, incarnation: str, seconds: float) -> None:
        """A subscription is gone for so long, which its process knows."""
        subscriber = self._subscribers.pop(incarnation, None)
        if subscriber is not None:
            self._absent[incarnation] = subscriber
            self._later(0.0, self._notice_absence, incarnation, subscriber, seconds)

    def _notice_absence(self, incarnation: str, subscriber: Subscriber, seconds: float) -> None:
        if self._absent.get(incarnation) is subscriber:
            subscriber.deliver(Interrupted("absent"))
            after = seconds + self._random.uniform(*RECONNECTED)
            self._later(after, self._come_back, incarnation, subscriber)

    def heal(self) -> None:
        """Every process subscribes again before long, and nothing gets lost any more."""
        self.is_healed = True
        for incarnation, subscriber in self._absent.items():
            after = self._random.uniform(*RECONNECTED)
            self._later(after, self._come_back, incarnation, subscriber)

    def _later(
        self,
        seconds: float,
        act: Callable[..., object],
        incarnation: str,
        subscriber: Subscriber,
        *args: float,
    ) -> None:
        context = subscriber.process.context
        self._loop.call_later(seconds, act, incarnation, subscriber, *args, context=context)

    def _come_back(self, incarnation: str, subscriber: Subscriber) -> None:
        if self._absent.get(incarnation) is not subscriber:
            return
        del self._absent[incarnation]
        if subscriber.host.incarnation == incarnation and not subscriber.host.is_stopping:
            self._subscribers[incarnation] = subscriber
            subscriber.deliver(Resumed())
