"""Which waiting tasks a list has."""

import pytest

from kew.domain.listing import CallFilter, Part, Place, WaitingFilter, WaitingState, state_of
from kew.domain.task import TaskStatus
from tests.support.tasks import call, task

NOW = 1_000


@pytest.mark.parametrize(
    ("ready_at", "is_stuck", "expected"),
    [
        (999, False, WaitingState.READY),
        (1_000, False, WaitingState.READY),
        (1_001, False, WaitingState.DEFERRED),
        (1_000, True, WaitingState.STUCK),
        (1_001, True, WaitingState.STUCK),
    ],
)
def test_a_waiting_task_is_in_one_state(ready_at: int, is_stuck: bool, expected: WaitingState):
    waiting = task(status=TaskStatus.QUEUED, ready_at=ready_at)
    assert state_of(waiting, NOW, is_stuck=is_stuck) is expected


def test_a_filter_takes_what_is_in_its_states_and_has_its_function_and_key():
    one = task(call=call("t", function="f", key="a"), status=TaskStatus.RETRY, ready_at=NOW)
    assert WaitingFilter().fits(one, NOW, is_stuck=False)
    assert WaitingFilter(function="f", key="a").fits(one, NOW, is_stuck=True)
    assert not WaitingFilter(function="g").fits(one, NOW, is_stuck=False)
    assert not WaitingFilter(key="b").fits(one, NOW, is_stuck=False)
    assert not WaitingFilter(states=(WaitingState.STUCK,)).fits(one, NOW, is_stuck=False)


def test_a_filter_takes_a_type_and_what_was_submitted_between_two_instants():
    one = task(call=call("t", task_type="sell"), status=TaskStatus.QUEUED, queued_at=500)
    assert CallFilter(task_type="sell", since_ms=500, until_ms=501).means(one)
    assert not CallFilter(task_type="buy").means(one)
    assert not CallFilter(since_ms=501).means(one)
    assert not CallFilter(until_ms=500).means(one)


def test_a_closure_has_no_key():
    closure = task(call=call("t", function="@w1/f", key="a"), status=TaskStatus.QUEUED)
    assert not WaitingFilter(key="a").fits(closure, NOW, is_stuck=False)


def test_places_are_in_the_order_of_a_list():
    places = [
        Place(),
        Place(1, Part.LINE, ticket=3),
        Place(1, Part.SET),
        Place(1, Part.KEY, 0, "a", 7, 1),
        Place(1, Part.KEY, 0, "b"),
        Place(2),
    ]
    assert sorted(places, reverse=True) == places[::-1]
