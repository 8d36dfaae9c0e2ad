"""What an exception group is about, and what its causes decide: a retry, and the circuit breaker's count."""

from __future__ import annotations

import asyncio

import pytest

from kew.domain.backoff import Fixed
from kew.domain.causes import Causes, causes_of
from kew.domain.counting import counts
from kew.domain.errors import GiveUp, Retry
from kew.domain.retry import FinalError, RetryPolicy, retry_after_ms

Group = BaseExceptionGroup


class Own(ExceptionGroup[Exception]):
    pass


class RateLimited(Retry):
    pass


OS, VALUE, STOP = OSError("os"), ValueError("value"), asyncio.CancelledError()
SLOW, QUICK = Retry(5), Retry(0.5)


def test_an_ordinary_error_is_its_own_cause() -> None:
    assert causes_of(OS) == Causes((OS,))


def test_the_causes_of_nested_groups_are_their_leaves_in_order() -> None:
    inner = ExceptionGroup("inner", [VALUE, SLOW])
    outer = ExceptionGroup("outer", [OS, inner, QUICK])
    assert causes_of(outer) == Causes((OS, VALUE, SLOW, QUICK), (outer, inner))


def test_very_deep_groups_are_read_too() -> None:
    group: Exception = OS
    for _ in range(2_000):
        group = ExceptionGroup("", [group])
    assert [leaf is OS for leaf in causes_of(group).leaves] == [True]


def test_ignored_errors_are_causes_only_where_there_is_no_other() -> None:
    assert causes_of(Group("", [STOP, OS]), ignored=asyncio.CancelledError).leaves == (OS,)
    assert causes_of(Group("", [STOP]), ignored=asyncio.CancelledError).leaves == (STOP,)
    assert causes_of(STOP, ignored=asyncio.CancelledError).leaves == (STOP,)


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        (ExceptionGroup("", [OS]), 60_000),
        (ExceptionGroup("", [ExceptionGroup("", [ConnectionError()])]), 60_000),
        (ExceptionGroup("", [VALUE]), None),
        (ExceptionGroup("", [VALUE, OS]), 60_000),
        (ExceptionGroup("", [TimeoutError(), OS]), None),
        (Own("", [VALUE]), 60_000),
        (ExceptionGroup("", [GiveUp(), OS]), None),
        (ExceptionGroup("", [FinalError(), OS]), None),
        (ExceptionGroup("", [SLOW]), 5_000),
        (ExceptionGroup("", [QUICK, SLOW, QUICK]), 5_000),
        (ExceptionGroup("", [QUICK, VALUE]), 500),
        (ExceptionGroup("", [QUICK, GiveUp()]), None),
        (ExceptionGroup("", [QUICK, TimeoutError()]), None),
        (Group("", [OS, KeyboardInterrupt()]), 60_000),
    ],
    ids=repr,
)
def test_each_error_of_a_group_is_matched_and_giving_up_wins(
    error: BaseException, wait: int | None
) -> None:
    policy = RetryPolicy(
        max_retries=1, backoff=Fixed(60), retry_on=(OSError, Own), give_up_on=(TimeoutError,)
    )
    assert retry_after_ms(policy, failures=0, causes=causes_of(error), draw=0.0) == wait
    assert retry_after_ms(policy, failures=1, causes=causes_of(error), draw=0.0) is None


def test_a_retry_in_a_group_is_honoured_as_it_is_alone_whatever_is_given_up_on() -> None:
    policy = RetryPolicy(max_retries=1, retry_on=(), give_up_on=(Exception,))
    for error in (QUICK, ExceptionGroup("", [QUICK])):
        assert retry_after_ms(policy, failures=0, causes=causes_of(error), draw=0.0) == 500


ANYTHING = (BaseException,)


@pytest.mark.parametrize(
    ("countable", "error", "is_counted"),
    [
        (ANYTHING, VALUE, True),
        (ANYTHING, KeyboardInterrupt(), True),
        (ANYTHING, FinalError(), True),
        (ANYTHING, QUICK, False),
        (ANYTHING, GiveUp(), False),
        (ANYTHING, RateLimited(1), False),
        ((Exception,), QUICK, False),
        ((Retry,), QUICK, True),
        ((RateLimited,), RateLimited(1), True),
        ((RateLimited,), QUICK, False),
        ((OSError,), ConnectionError(), True),
        ((OSError,), VALUE, False),
        ((), VALUE, False),
        (ANYTHING, ExceptionGroup("", [QUICK, GiveUp()]), False),
        (ANYTHING, ExceptionGroup("", [QUICK, VALUE]), True),
        ((OSError,), ExceptionGroup("", [VALUE, OS]), True),
        ((OSError,), ExceptionGroup("", [VALUE]), False),
        ((Own,), Own("", [VALUE]), True),
        ((Own,), Own("", [QUICK]), False),
        ((GiveUp,), ExceptionGroup("", [QUICK, GiveUp()]), True),
    ],
    ids=repr,
)
def test_what_counts_for_the_breaker(
    countable: tuple[type[BaseException], ...], error: BaseException, is_counted: bool
) -> None:
    assert counts(countable, error, causes_of(error)) is is_counted


@pytest.mark.parametrize("answer", [True, False])
def test_a_function_may_decide_what_counts(answer: bool) -> None:
    asked: list[BaseException] = []

    def judge(error: BaseException) -> bool:
        asked.append(error)
        return answer

    group = ExceptionGroup("", [QUICK])
    assert counts(judge, group, causes_of(group)) is answer
    assert asked == [group]


@pytest.mark.parametrize(
    ("error", "is_deliberate"),
    [
        (QUICK, True),
        (GiveUp(), True),
        (ExceptionGroup("", [QUICK, GiveUp()]), True),
        (OS, False),
        (FinalError(), False),
        (ExceptionGroup("", [QUICK, OS]), False),
    ],
    ids=repr,
)
def test_an_answer_is_what_a_task_ended_with_on_purpose(
    error: BaseException, is_deliberate: bool
) -> None:
    assert causes_of(error).is_deliberate is is_deliberate
