"""Progress as a rule: what may be reported, and which report counts."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kew.domain.errors_in_tasks import InvalidProgressError
from kew.domain.progress import (
    MOST_LETTERS,
    ProgressReport,
    progress_after,
    report_of,
    shown_progress,
)
from kew.domain.task import Progress, Task
from tests.support.tasks import task


def reported(attempt: int, number: int, parts: int = 0) -> Progress:
    return Progress(attempt=attempt, number=number, parts=parts, at=5, message="before")


@given(st.floats(0, 1))
def test_a_value_is_kept_to_six_decimal_places(value: float):
    report = report_of(1, value, "")
    assert abs(report.parts / 1_000_000 - value) <= 5e-7
    assert 0 <= report.parts <= 1_000_000


@pytest.mark.parametrize(
    ("value", "parts"),
    [(0, 0), (1, 1_000_000), (0.4, 400_000), (sum([0.1] * 10) + 2e-10, 1_000_000), (-1e-12, 0)],
)
def test_a_sum_of_fractions_may_be_a_little_more_than_the_whole(value: float, parts: int):
    assert report_of(3, value, "m") == ProgressReport(3, parts, "m")


@pytest.mark.parametrize("value", [-0.1, 1.1, 40, math.nan, math.inf, -math.inf, "0.4", None, True])
def test_any_other_value_is_refused(value: Any):
    with pytest.raises(InvalidProgressError, match="from 0 to 1"):
        report_of(1, value, "")


def test_a_message_that_is_no_text_is_refused():
    with pytest.raises(InvalidProgressError, match="not int"):
        report_of(1, 0.5, 12)


def test_a_long_message_is_cut_and_one_that_is_no_unicode_arrives():
    assert report_of(1, 0, "x" * MOST_LETTERS).message == "x" * MOST_LETTERS
    cut = report_of(1, 0, "x" * (MOST_LETTERS + 1)).message
    assert cut == "x" * (MOST_LETTERS - 1) + "…"
    assert report_of(1, 0, "a\ud800b").message == "a?b"


def test_an_error_of_a_value_is_a_value_error():
    assert issubclass(InvalidProgressError, ValueError)


@pytest.mark.parametrize(
    ("before", "counts"),
    [
        (None, True),
        (reported(1, 9), True),
        (reported(2, 3), True),
        (reported(2, 4), False),
        (reported(2, 5), False),
        (reported(3, 1), False),
    ],
)
def test_the_latest_report_of_the_current_attempt_counts(before: Progress | None, counts: bool):
    running = attempt(2, before)
    after = progress_after(running, ProgressReport(4, 7, "m"), 100)
    now = Progress(attempt=2, number=4, parts=7, at=100, message="m")
    assert after == (now if counts else before)


def test_the_progress_of_an_earlier_attempt_is_not_shown():
    assert shown_progress(attempt(2, None)) is None
    assert shown_progress(attempt(2, reported(1, 9))) is None
    assert shown_progress(attempt(2, reported(2, 9))) == reported(2, 9)


def attempt(number: int, progress: Progress | None) -> Task:
    return task(attempt=number, progress=progress)
