"""How long to wait before a retry: the formulas, their bounds, and the values that can't be."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kew.domain.backoff import LONGEST_DELAY, Backoff, Custom, Exponential, Fixed, Linear, bounded
from kew.domain.errors import InvalidConfigError

YEAR = 31_622_400.0
seconds = st.floats(0, YEAR)
draws = st.floats(0, 1, exclude_max=True)
retries = st.integers(1, 1_000_000_000)
backoffs = st.one_of(
    st.builds(Exponential, seconds, st.floats(1, 1000), seconds, st.floats(0, 1)),
    st.builds(Fixed, seconds),
    st.builds(Linear, seconds, seconds, seconds),
    st.builds(Custom, st.floats().map(lambda value: lambda retry: value)),
)


def test_the_longest_delay_is_a_leap_year() -> None:
    assert LONGEST_DELAY == YEAR


@pytest.mark.parametrize(
    ("backoff", "delays"),
    [
        (Exponential(), [1, 2, 4, 8]),
        (Exponential(base=3, factor=10, cap=500), [3, 30, 300, 500]),
        (Exponential(0), [0, 0, 0, 0]),
        (Fixed(2.5), [2.5, 2.5, 2.5, 2.5]),
        (Linear(), [1, 2, 3, 4]),
        (Linear(base=5, step=2, cap=8), [5, 7, 8, 8]),
        (Custom(lambda retry: retry * 0.5), [0.5, 1, 1.5, 2]),
    ],
    ids=lambda value: str(value).split(" at 0x")[0],
)
def test_the_delays_before_the_first_four_retries(backoff: Backoff, delays: list[float]) -> None:
    assert [backoff.delay(retry, 0.0) for retry in (1, 2, 3, 4)] == delays


@given(backoffs, retries, draws)
def test_every_delay_is_from_nothing_to_a_year(backoff: Backoff, retry: int, draw: float) -> None:
    delay = backoff.delay(retry, draw)
    assert isinstance(delay, float)
    assert 0 <= delay <= YEAR


@given(
    st.one_of(
        st.builds(Exponential, seconds, st.floats(1, 1000), seconds),
        st.builds(Fixed, seconds),
        st.builds(Linear, seconds, seconds, seconds),
    ),
    st.lists(retries, min_size=2, max_size=2),
)
def test_a_later_retry_never_waits_less(backoff: Backoff, pair: list[int]) -> None:
    earlier, later = sorted(pair)
    assert backoff.delay(earlier, 0.5) <= backoff.delay(later, 0.5)


@given(seconds, st.floats(0, 1), retries, draws)
def test_jitter_takes_away_at_most_its_share(
    base: float, jitter: float, retry: int, draw: float
) -> None:
    full = Exponential(base).delay(retry, draw)
    drawn = Exponential(base, jitter=jitter).delay(retry, draw)
    assert full * (1 - jitter) <= drawn <= full


def test_full_jitter_spreads_over_the_whole_delay() -> None:
    spread = Exponential(8, jitter=1)
    assert [spread.delay(1, draw) for draw in (0.0, 0.25, 0.75)] == [8, 6, 2]


def test_half_jitter_spreads_over_the_later_half() -> None:
    assert Exponential(8, jitter=0.5).delay(1, 0.5) == 6


def test_a_factor_of_one_stays_where_it_is() -> None:
    assert Exponential(7, factor=1).delay(1_000_000_000, 0.0) == 7


def test_a_whole_factor_is_not_multiplied_out_digit_by_digit() -> None:
    assert Exponential(1, factor=1000, cap=60).delay(1_000_000_000, 0.0) == 60


def test_no_delay_stays_none_however_often() -> None:
    assert Exponential(0).delay(1_000_000, 0.0) == 0


def test_what_a_custom_function_raises_is_raised() -> None:
    def broken(retry: int) -> float:
        raise LookupError(retry)

    with pytest.raises(LookupError, match="3"):
        Custom(broken).delay(3, 0.0)


@pytest.mark.parametrize(
    ("value", "delay"),
    [
        (-1, 0.0),
        (0, 0.0),
        (0.25, 0.25),
        (YEAR, YEAR),
        (YEAR + 1, YEAR),
        (math.nan, 0.0),
        (math.inf, YEAR),
        (-math.inf, 0.0),
        (10**400, YEAR),
    ],
)
def test_a_delay_is_bounded(value: float, delay: float) -> None:
    assert bounded(value) == delay
    assert type(bounded(value)) is float
    assert Custom(lambda retry: value).delay(1, 0.0) == delay


NOT_SECONDS = [-0.001, YEAR + 1, math.nan, math.inf, -math.inf, True, None, "1", 10**400, 1j]


@pytest.mark.parametrize("value", NOT_SECONDS, ids=lambda value: str(value)[:12])
def test_what_is_not_seconds_is_refused(value: object) -> None:
    for name, build in {
        "base": lambda: Exponential(base=value),  # type: ignore[arg-type]
        "cap": lambda: Exponential(cap=value),  # type: ignore[arg-type]
        "seconds": lambda: Fixed(value),  # type: ignore[arg-type]
        "step": lambda: Linear(step=value),  # type: ignore[arg-type]
    }.items():
        with pytest.raises(InvalidConfigError) as raised:
            build()
        quoted = f"{value!r}"[:20]
        assert str(raised.value).startswith(
            f"{name} must be from 0 to 31622400 seconds or a timedelta, not {quoted}"
        )


def test_linear_checks_all_its_fields() -> None:
    for field in ("base", "step", "cap"):
        with pytest.raises(InvalidConfigError, match=f"^{field} must be"):
            Linear(**{field: -1.0})


@pytest.mark.parametrize("factor", [0.999, 1000.5, math.nan, math.inf, True, None, "2"])
def test_a_factor_is_from_one_to_a_thousand(factor: object) -> None:
    with pytest.raises(InvalidConfigError) as raised:
        Exponential(factor=factor)  # type: ignore[arg-type]
    assert str(raised.value) == f"factor must be from 1 to 1000, not {factor!r}"


@pytest.mark.parametrize("jitter", [-0.1, 1.001, math.nan, math.inf, True, None, "1"])
def test_jitter_is_a_share(jitter: object) -> None:
    with pytest.raises(InvalidConfigError) as raised:
        Exponential(jitter=jitter)  # type: ignore[arg-type]
    assert str(raised.value) == f"jitter must be from 0 to 1, a share of the delay, not {jitter!r}"


@pytest.mark.parametrize(
    "build",
    [
        lambda: Exponential(0, 1, 0, 0),
        lambda: Exponential(YEAR, 1000, YEAR, 1),
        lambda: Linear(0, 0, 0),
        lambda: Linear(YEAR, YEAR, YEAR),
    ],
)
def test_the_ends_of_each_range_are_in_it(build: object) -> None:
    assert build()  # type: ignore[operator]


@pytest.mark.parametrize("function", [None, 5, "retry"])
def test_a_custom_backoff_needs_a_function(function: object) -> None:
    with pytest.raises(InvalidConfigError) as raised:
        Custom(function)  # type: ignore[arg-type]
    assert str(raised.value) == (
        f"Custom takes a function from the number of the retry to seconds, not {function!r}"
    )
