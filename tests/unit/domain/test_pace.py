"""How fast a queue drains, and when it has room again."""

import pytest

from kew.domain.pace import LONGEST_WAIT, MEMORY, Pace


def test_nothing_is_known_at_the_first_look():
    assert Pace(0.0, 10).retry_after(1) is None


def test_the_second_look_knows_the_rate_between_the_two():
    pace = Pace(0.0, 10).seen(2.0, 18)
    assert pace == Pace(2.0, 18, 4.0)
    assert (pace.retry_after(1), pace.retry_after(8), pace.retry_after(-3)) == (0.25, 2.0, 0.25)


def test_later_looks_change_the_rate_by_their_share_of_the_memory():
    pace = Pace(0.0, 0, 4.0).seen(MEMORY, 60)
    assert pace.rate == pytest.approx((MEMORY * 4.0 + 60) / (2 * MEMORY))


def test_looks_that_are_close_together_are_one():
    pace = Pace(0.0, 0)
    assert pace.seen(0.09, 1_000) is pace


def test_a_queue_that_fills_from_within_does_not_drain():
    pace = Pace(0.0, 10).seen(1.0, 4)
    assert (pace.rate, pace.retry_after(1)) == (0.0, None)


def test_what_is_answered_is_bounded():
    assert Pace(0.0, 0, 1e-9).retry_after(1) == LONGEST_WAIT
