"""The circuit breaker, state by state and event by event, with the laws that hold of every sequence."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kew.domain import breaker as breakers
from kew.domain.breaker import Breaker, BreakerState
from kew.domain.config import Settings
from tests.support.tasks import NOW

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
SETTINGS = Settings(breaker_failures=3, breaker_reset_ms=1000, breaker_probes=2)
OFF = Settings(breaker_failures=0, breaker_reset_ms=1000)
EPOCH, OLD = 5, 4

Rule = Callable[[Breaker], Breaker]
STATES = {
    "closed": Breaker(epoch=EPOCH),
    "failing": Breaker(epoch=EPOCH, failures=2),
    "open": Breaker(state=OPEN, opened_at=NOW, epoch=EPOCH),
    "half open": Breaker(state=HALF_OPEN, epoch=EPOCH),
    "probing": Breaker(state=HALF_OPEN, epoch=EPOCH, probes=1),
}
EVENTS: dict[str, Rule] = {
    "judged before its time": lambda b: breakers.judged(b, SETTINGS, NOW + 999),
    "judged in time": lambda b: breakers.judged(b, SETTINGS, NOW + 1000),
    "judged, turned off": lambda b: breakers.judged(b, OFF, NOW),
    "granted none": lambda b: breakers.granted(b, 0),
    "granted two": lambda b: breakers.granted(b, 2),
    "succeeded": lambda b: breakers.succeeded(b, epoch=EPOCH),
    "succeeded, earlier": lambda b: breakers.succeeded(b, epoch=OLD),
    "failed": lambda b: breakers.failed(b, SETTINGS, NOW + 7, epoch=EPOCH),
    "failed, earlier": lambda b: breakers.failed(b, SETTINGS, NOW + 7, epoch=OLD),
    "failed, turned off": lambda b: breakers.failed(b, OFF, NOW + 7, epoch=EPOCH),
    "returned, earlier": lambda b: breakers.returned(b, epoch=OLD),
    "reset": breakers.reset,
}
NEXT_CLOSED = Breaker(epoch=EPOCH + 1)
NEXT_HALF_OPEN = Breaker(state=HALF_OPEN, epoch=EPOCH + 1)
NEXT_OPEN = Breaker(state=OPEN, opened_at=NOW + 7, epoch=EPOCH + 1)

# What is not listed changes nothing.
CHANGES: dict[tuple[str, str], Breaker] = {
    ("open", "judged in time"): NEXT_HALF_OPEN,
    ("open", "judged, turned off"): NEXT_CLOSED,
    ("half open", "judged, turned off"): NEXT_CLOSED,
    ("probing", "judged, turned off"): NEXT_CLOSED,
    ("half open", "granted two"): Breaker(state=HALF_OPEN, epoch=EPOCH, probes=2),
    ("probing", "granted two"): Breaker(state=HALF_OPEN, epoch=EPOCH, probes=3),
    ("failing", "succeeded"): Breaker(epoch=EPOCH),
    ("half open", "succeeded"): NEXT_CLOSED,
    ("probing", "succeeded"): NEXT_CLOSED,
    ("closed", "failed"): Breaker(epoch=EPOCH, failures=1),
    ("failing", "failed"): NEXT_OPEN,
    ("half open", "failed"): NEXT_OPEN,
    ("probing", "failed"): NEXT_OPEN,
    **{(state, "reset"): NEXT_CLOSED for state in STATES},
}


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", STATES)
def test_each_cell_of_the_breaker(state: str, event: str) -> None:
    before = STATES[state]
    after = EVENTS[event](before)
    assert after == CHANGES.get((state, event), before)
    if (state, event) not in CHANGES:
        assert after is before, "a new value where nothing changed costs a write"


@pytest.mark.parametrize("state", ["closed", "failing", "open"])
def test_only_a_half_open_breaker_takes_a_probe_back(state: str) -> None:
    assert breakers.returned(STATES[state], epoch=EPOCH) is STATES[state]


def test_a_returned_probe_is_free_again() -> None:
    two = Breaker(state=HALF_OPEN, epoch=EPOCH, probes=2)
    assert breakers.returned(two, epoch=EPOCH) == STATES["probing"]


@pytest.mark.parametrize(
    ("state", "allowed"), [("closed", None), ("failing", None), ("open", 0), ("half open", 2)]
)
def test_how_many_leases_a_breaker_lets_through(state: str, allowed: int | None) -> None:
    assert breakers.allowance(STATES[state], SETTINGS) == allowed


@pytest.mark.parametrize(("probes", "allowed"), [(1, 1), (2, 0), (3, 0)])
def test_probes_in_flight_leave_room_for_the_rest_and_never_less_than_none(
    probes: int, allowed: int
) -> None:
    probing = Breaker(state=HALF_OPEN, probes=probes)
    assert breakers.allowance(probing, SETTINGS) == allowed


def test_an_open_breaker_reopens_after_its_reset_timeout() -> None:
    assert breakers.reopens_at(STATES["open"], SETTINGS) == NOW + 1000


def test_a_breaker_begins_closed_and_without_a_past() -> None:
    assert Breaker() == Breaker(state=CLOSED, failures=0, opened_at=0, epoch=0, probes=0)


def test_a_breaker_that_is_told_of_one_failure_opens_at_once() -> None:
    opened = breakers.failed(Breaker(), Settings(breaker_failures=1), NOW, epoch=0)
    assert opened == Breaker(state=OPEN, opened_at=NOW, epoch=1)


def test_a_queue_without_a_breaker_counts_no_failures() -> None:
    assert breakers.failed(STATES["closed"], OFF, NOW, epoch=EPOCH) is STATES["closed"]


@given(st.lists(st.sampled_from(sorted(EVENTS)), max_size=30))
def test_no_sequence_of_events_breaks_the_breakers_laws(names: list[str]) -> None:
    before = Breaker(epoch=EPOCH)
    for name in names:
        after = EVENTS[name](before)
        assert after.epoch - before.epoch == (after.state is not before.state or name == "reset")
        assert (after.state is OPEN) == bool(after.opened_at)
        assert after.failures < SETTINGS.breaker_failures
        assert not after.probes or after.state is HALF_OPEN
        before = after


@given(st.integers(0, 4000), st.integers(0, 4000))
def test_judging_twice_is_judging_once(first: int, second: int) -> None:
    judged = breakers.judged(STATES["open"], SETTINGS, NOW + first)
    again = breakers.judged(judged, SETTINGS, NOW + max(first, second))
    once = breakers.judged(STATES["open"], SETTINGS, NOW + max(first, second))
    assert again == once
