"""When a process may judge that others have gone."""

import pytest

from kew.app.steady import PRESENCE_MS, SLOWEST, Steady

STEADY_FOR = PRESENCE_MS / 1000
EPOCH_MS = 1_750_000_000_000
QUICK = 0.01  # seconds that an answer takes


def seen(steady: Steady, at: float, *, ahead_s: float = 0.0, takes: float = QUICK) -> int | None:
    """What can be said after an answer at `at`, while the store's clock is so far ahead of where it began."""
    steady.saw(EPOCH_MS + round((at + ahead_s) * 1000), at, at + takes)
    return steady.gone_by


def test_nothing_can_be_said_before_the_store_answered_for_as_long_as_a_presence_lasts():
    steady = Steady()
    assert steady.gone_by is None
    assert seen(steady, 0.0) is None
    assert seen(steady, STEADY_FOR - 1) is None
    assert seen(steady, STEADY_FOR + 1) == EPOCH_MS + (STEADY_FOR + 1) * 1000


@pytest.mark.parametrize("step_s", [-3600.0, -5.0, 5.0, 40.0, 3600.0])
def test_after_a_step_of_the_stores_clock_it_takes_as_long_again(step_s: float):
    steady = Steady()
    seen(steady, 0.0)
    assert seen(steady, 100.0) is not None
    assert seen(steady, 120.0, ahead_s=step_s) is None
    assert seen(steady, 120.0 + STEADY_FOR + 1, ahead_s=step_s) is not None


def test_a_clock_that_is_put_right_by_less_than_two_seconds_is_steady():
    steady = Steady()
    seen(steady, 0.0)
    assert seen(steady, 100.0, ahead_s=1.5) is not None


def test_after_a_store_that_did_not_answer_it_takes_as_long_again():
    steady = Steady()
    seen(steady, 0.0)
    assert seen(steady, 100.0) is not None
    steady.interrupt()
    assert steady.gone_by is None
    assert seen(steady, 120.0) is None


def test_an_answer_that_took_long_tells_nothing():
    steady = Steady()
    seen(steady, 0.0)
    assert seen(steady, 100.0, takes=SLOWEST + 1) is None
    assert seen(steady, 120.0) is None
