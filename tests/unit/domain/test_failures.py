"""The failures that a breaker counted: which are kept, where, and which are shown."""

import pytest

from kew.domain.breaker import Breaker, BreakerState
from kew.domain.config import Settings
from kew.domain.failures import MOST_ERROR_BYTES, CountedFailure, recent, slot_of

THREE = Settings(breaker_failures=3)
KEPT = {slot: CountedFailure(at=at, task_id=f"t{at}") for slot, at in enumerate((10, 20, 30, 4))}


def ids(breaker: Breaker, settings: Settings = THREE) -> list[str]:
    return [each.task_id for each in recent(breaker, settings, KEPT)]


def test_a_streak_begins_at_the_first_slot_and_goes_round():
    assert [slot_of(Breaker(failures=number)) for number in (0, 1, 9, 10, 11)] == [0, 1, 9, 0, 1]


def test_a_closed_breaker_shows_its_streak():
    assert ids(Breaker()) == []
    assert ids(Breaker(failures=2)) == ["t20", "t30"]


@pytest.mark.parametrize("state", [BreakerState.OPEN, BreakerState.HALF_OPEN])
def test_another_breaker_shows_the_failures_that_opened_it(state):
    assert ids(Breaker(state=state)) == ["t10", "t20", "t30"]
    assert ids(Breaker(state=state), Settings(breaker_failures=0)) == []


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        ("short", "short"),
        ("x" * 301, "x" * MOST_ERROR_BYTES),
        ("x" * 299 + "ä", "x" * 299),
        ("x" * 298 + "äö", "x" * 298),
        ("x" * 298 + "ä", "x" * 298 + "ä"),
    ],
)
def test_an_error_is_cut_between_two_letters(error, kept):
    assert CountedFailure(at=1, error=error).error == kept
