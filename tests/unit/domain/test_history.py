"""A queue's history: buckets, percentiles, points and rates."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import attrs
import hypothesis.strategies as st
import pytest
from hypothesis import given

from kew.domain.errors import InvalidConfigError
from kew.domain.history import (
    BUCKETS,
    HOUR_MS,
    MINUTE_MS,
    NO_RATES,
    NOTHING,
    Past,
    Rates,
    Tally,
    bucket_of,
    check_span,
    histogram_of,
    history_of,
    percentile,
    plus,
    rates_of,
    sum_of,
)

NOW = 1_750_000_000_000
MINUTE = NOW // MINUTE_MS
MOST_MS = 2 ** (BUCKETS - 2)
MS = st.integers(0, MOST_MS - 1)
HISTOGRAMS = st.lists(st.integers(0, 9), max_size=6).map(tuple)


def histogram(*ms: int) -> tuple[int, ...]:
    return histogram_of(Counter(ms))


def past(step_ms: int = MINUTE_MS, steps: int = 3, waiting: int = 0, **tallies: Tally) -> Past:
    """`tallies` by how many steps ago they were: `ago1=`."""
    numbered = {
        NOW // step_ms - int(name.removeprefix("ago")): each for name, each in tallies.items()
    }
    return Past(now_ms=NOW, step_ms=step_ms, steps=steps, waiting=waiting, tallies=numbered)


# --- buckets and percentiles


@pytest.mark.parametrize(
    ("ms", "bucket"),
    [(-5, 0), (0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (1023, 10), (1024, 11), (2**60, 27)],
)
def test_each_bucket_ends_at_twice_the_time_of_the_one_before(ms: int, bucket: int):
    assert bucket_of(ms) == bucket


def test_without_times_there_is_no_percentile():
    assert percentile((), 0.5) is None
    assert percentile((0, 0), 0.5) is None


@given(st.lists(MS, min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_percentile_is_wrong_by_less_than_a_factor_of_two(times: list[int], share: float):
    rank = max(1, -(-len(times) * share // 1))
    true = sorted(times)[int(rank) - 1]
    estimate = percentile(histogram(*times), share)
    assert estimate is not None
    assert true / 2 <= estimate * 1000 + 0.001
    assert estimate * 1000 <= max(1, 2 * true)


def test_of_the_last_bucket_only_the_beginning_is_known():
    assert percentile(histogram(2**40), 0.5) == MOST_MS / 1000


# --- adding


@given(HISTOGRAMS, HISTOGRAMS)
def test_two_histograms_add_up_bucket_by_bucket(one: tuple[int, ...], other: tuple[int, ...]):
    both = plus(Tally(wait=one), Tally(wait=other)).wait
    assert sum(both) == sum(one) + sum(other)
    padded = [(*each, *[0] * (len(both) - len(each))) for each in (one, other)]
    assert both == tuple(map(sum, zip(*padded, strict=True)))


def test_the_later_of_two_tallies_says_how_many_wait():
    one, later = Tally(submitted=1, waiting=9), Tally(submitted=2, failed=1, waiting=4)
    assert sum_of([one, later]) == Tally(submitted=3, failed=1, waiting=4)


def test_a_tally_is_empty_until_something_happens():
    assert NOTHING.is_empty
    assert Tally(waiting=3).is_empty
    assert not Tally(expired=1).is_empty


def test_what_waits_again_has_not_drained():
    assert Tally(started=9, retried=2, snoozed=1, lost=1).drained == 5
    assert Tally(started=1, retried=2).drained == 0


# --- spans


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (1, (MINUTE_MS, 1)),
        (60, (MINUTE_MS, 1)),
        (61.5, (MINUTE_MS, 2)),
        (86_400, (MINUTE_MS, 1_440)),
        (86_401, (HOUR_MS, 25)),
        (30 * 86_400, (HOUR_MS, 720)),
    ],
)
def test_a_span_is_divided_into_minutes_up_to_a_day_and_into_hours_beyond(
    span: float, expected: Any
):
    assert check_span(span) == expected


@pytest.mark.parametrize("span", [0, -1, 30 * 86_400 + 1, True, "60", None, float("nan")])
def test_what_is_no_span_is_refused_and_the_error_says_what_is_one(span: object):
    with pytest.raises(InvalidConfigError, match="span must be a number of seconds"):
        check_span(span)


# --- points


def test_there_is_a_point_for_each_step_oldest_first():
    history = history_of("q", past(ago1=Tally(submitted=4, waiting=4), waiting=4))
    begins = [datetime.fromtimestamp((MINUTE - n) * 60, UTC) for n in (2, 1, 0)]
    assert [point.at for point in history.points] == begins
    assert [point.submitted for point in history.points] == [0, 4, 0]
    assert [point.waiting for point in history.points] == [None, 4, 4]
    assert history.step == 60


def test_where_nothing_happened_at_all_as_many_wait_as_now():
    assert [point.waiting for point in history_of("q", past(waiting=7)).points] == [7, 7, 7]


def test_the_last_point_says_how_many_wait_now():
    history = history_of("q", past(ago2=Tally(submitted=1, waiting=1), waiting=5))
    assert [point.waiting for point in history.points] == [1, 1, 5]


def test_a_history_as_plain_values():
    tally = Tally(submitted=2, started=1, waiting=1, wait=histogram(500), run=histogram(3))
    history = history_of("q", past(steps=1, ago0=tally, waiting=1))
    assert history.to_dict() == {
        "queue": "q",
        "step": 60,
        "points": [
            {
                "at": "2025-06-15T15:06:00+00:00",
                "submitted": 2,
                "started": 1,
                "completed": 0,
                "failed": 0,
                "retried": 0,
                "lost": 0,
                "cancelled": 0,
                "expired": 0,
                "snoozed": 0,
                "waiting": 1,
                "wait_p50": 0.384,
                "wait_p95": 0.4992,
                "wait_p99": 0.50944,
                "run_p50": 0.003,
                "run_p95": 0.0039,
                "run_p99": 0.00398,
            }
        ],
    }


def test_the_total_has_all_points_together():
    history = history_of(
        "q", past(ago2=Tally(completed=1), ago0=Tally(completed=2, run=(3,)), waiting=6)
    )
    total = history.total
    assert (total.at, total.completed, total.run, total.waiting) == (
        history.points[0].at,
        *(3, (3,), 6),
    )
    assert attrs.evolve(total, completed=0).is_empty


# --- rates


def test_rates_are_per_minute_from_the_first_minute_in_which_anything_happened():
    rates = rates_of(past(ago1=Tally(started=90, retried=10), ago0=Tally(started=10, failed=5)))
    assert NOW - (MINUTE - 1) * MINUTE_MS == 100_000
    assert rates == Rates(started=60, drained=54, failed=3)


def test_a_queue_in_which_nothing_happened_has_no_rates():
    assert rates_of(past()) == NO_RATES
