"""Whether a failed attempt runs again, and when."""

from __future__ import annotations

import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kew.domain.backoff import Exponential, Fixed
from kew.domain.causes import causes_of
from kew.domain.errors import GiveUp, Retry
from kew.domain.retry import RetryPolicy, retry_after_ms

YEAR_MS = 31_622_400_000


@attrs.frozen
class Odd:
    """A user's own backoff, which may answer anything."""

    seconds: float

    def delay(self, retry: int, draw: float) -> float:
        return self.seconds


def after(
    policy: RetryPolicy, failures: int = 0, error: BaseException | None = None, draw: float = 0.0
) -> int | None:
    return retry_after_ms(
        policy, failures=failures, causes=causes_of(error or OSError()), draw=draw
    )


def test_by_default_nothing_is_retried() -> None:
    assert after(RetryPolicy()) is None


@pytest.mark.parametrize(
    ("failures", "wait"), [(0, 1000), (1, 2000), (2, 4000), (3, None), (9, None)]
)
def test_each_retry_waits_longer_until_none_is_left(failures: int, wait: int | None) -> None:
    assert after(RetryPolicy(max_retries=3), failures) == wait


def test_the_draw_reaches_the_backoff() -> None:
    policy = RetryPolicy(max_retries=1, backoff=Exponential(2, jitter=1))
    assert after(policy, draw=0.75) == 500


def test_milliseconds_are_rounded() -> None:
    assert after(RetryPolicy(max_retries=1, backoff=Fixed(0.0016))) == 2


@pytest.mark.parametrize(
    ("error", "is_retried"),
    [
        (ConnectionError(), True),  # an OSError
        (TimeoutError(), False),  # an OSError too, but given up on
        (ValueError(), False),
        (GiveUp("no"), False),
        (Retry(1.0), True),
    ],
    ids=repr,
)
def test_which_errors_are_retried(error: Exception, is_retried: bool) -> None:
    policy = RetryPolicy(max_retries=1, retry_on=(OSError,), give_up_on=(TimeoutError,))
    assert (after(policy, error=error) is not None) == is_retried


def test_giving_up_wins_over_retrying_on_everything() -> None:
    policy = RetryPolicy(max_retries=1, retry_on=(BaseException,))
    assert after(policy, error=GiveUp()) is None
    assert after(policy, error=KeyboardInterrupt()) == 1000


def test_retry_sets_its_own_delay() -> None:
    policy = RetryPolicy(max_retries=1, backoff=Fixed(60), retry_on=(), give_up_on=(Exception,))
    assert after(policy, error=Retry(2.5)) == 2500


def test_retry_needs_a_retry_left_like_any_other() -> None:
    assert after(RetryPolicy(max_retries=1), failures=1, error=Retry(2.5)) is None


def test_kinds_of_errors_may_be_given_as_except_takes_them() -> None:
    policy = RetryPolicy(max_retries=1, retry_on=OSError, give_up_on=TimeoutError)
    assert (policy.retry_on, policy.give_up_on) == ((OSError,), (TimeoutError,))


@pytest.mark.parametrize(
    ("asked", "wait"),
    [(-5, 0), (0, 0), (math.inf, YEAR_MS), (10**400, YEAR_MS), (1e9, YEAR_MS)],
)
def test_whatever_a_user_asks_for_is_bounded(asked: float, wait: int) -> None:
    assert after(RetryPolicy(max_retries=1), error=Retry(asked)) == wait
    assert after(RetryPolicy(max_retries=1, backoff=Odd(asked))) == wait


def test_a_backoff_that_is_not_a_number_is_no_wait() -> None:
    assert after(RetryPolicy(max_retries=1, backoff=Odd(math.nan))) == 0


@given(st.integers(0, 50), st.integers(0, 50), st.floats(0, 1, exclude_max=True))
def test_a_retry_is_granted_exactly_while_one_is_left(
    most: int, failures: int, draw: float
) -> None:
    policy = RetryPolicy(max_retries=most, backoff=Exponential(jitter=1))
    wait = after(policy, failures, draw=draw)
    assert (wait is None) == (failures >= most)
    assert wait is None or 0 <= wait <= YEAR_MS
