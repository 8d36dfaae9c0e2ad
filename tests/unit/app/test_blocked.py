"""A process whose event loop is blocked keeps its leases for a while: when they are extended, and when no more."""

import logging
from typing import Any

from kew import QueueConfig
from kew.adapters.clocks import SystemClock
from kew.adapters.memory.store import MemoryStore
from kew.app.ports import Ambiguous, Operation, TaskStore
from kew.app.working.blocked import MOST_LEASES, BlockedLeases


class Elsewhere(TaskStore):
    """A store that can be used in another thread; it counts how often."""

    def __init__(self, *, is_away: bool = False) -> None:
        self.opened = 0
        self.is_away = is_away

    def apart(self) -> TaskStore:
        return self

    async def open(self) -> None:
        self.opened += 1
        if self.is_away:
            raise Ambiguous("away")

    async def close(self) -> None:
        pass

    async def do(self, operation: Operation[Any]) -> Any:
        raise AssertionError("the worker asks for what it needs")


class Holder:
    """A worker that counts how often its leases were extended."""

    def __init__(self, lease: float) -> None:
        self.config = QueueConfig("q", lease=lease)
        self.held = 0

    async def hold_leases(self, store: TaskStore) -> None:
        self.held += 1


def test_leases_are_extended_every_third_of_their_length():
    holder = Holder(lease=3)
    leases = BlockedLeases(Elsewhere(), {"q": holder})
    held = []
    for late in (0.5, 0.9, 1.0, 1.5, 2.0, 2.9, 3.1):
        leases.hold(late)
        held.append(holder.held)
    assert held == [0, 0, 1, 1, 2, 2, 3]


def test_another_blockage_begins_anew():
    holder = Holder(lease=3)
    leases = BlockedLeases(Elsewhere(), {"q": holder})
    for late in (1.0, 0.5, 1.0):
        leases.hold(late)
    assert holder.held == 2


def test_a_loop_that_is_blocked_for_ever_loses_its_leases():
    holder, store = Holder(lease=3), Elsewhere()
    leases = BlockedLeases(store, {"q": holder})
    leases.hold(3 * MOST_LEASES + 1)
    assert (holder.held, store.opened) == (0, 0)


def test_a_store_of_one_event_loop_is_left_alone():
    holder = Holder(lease=3)
    BlockedLeases(MemoryStore(SystemClock()), {"q": holder}).hold(2.0)
    assert holder.held == 0


def test_a_store_that_is_away_is_logged_and_tried_again(caplog):
    holder, store = Holder(lease=3), Elsewhere(is_away=True)
    leases = BlockedLeases(store, {"q": holder})
    with caplog.at_level(logging.WARNING, "kew"):
        leases.hold(1.0)
    assert "leases not extended while the event loop is blocked: away" in caplog.text
    store.is_away = False
    leases.hold(1.1)
    assert holder.held == 1
