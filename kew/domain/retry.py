"""Whether a failed attempt runs again, and when. Decided once, in the worker, before the store is told."""

from __future__ import annotations

import attrs

from kew.domain.backoff import Backoff, Exponential, bounded
from kew.domain.errors import GiveUp, Retry

ErrorTypes = type[BaseException] | tuple[type[BaseException], ...]
"""What `except` takes: an exception class, or a tuple of them."""


def error_types(given: ErrorTypes) -> tuple[type[BaseException], ...]:
    """As a tuple; what is neither stays as it is, for a validator to refuse."""
    return (given,) if isinstance(given, type) else given


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """`give_up_on` wins over `retry_on`; an error of neither kind is final."""

    max_retries: int = 0
    backoff: Backoff = Exponential()
    retry_on: tuple[type[BaseException], ...] = attrs.field(
        default=(BaseException,), converter=error_types
    )
    give_up_on: tuple[type[BaseException], ...] = attrs.field(default=(), converter=error_types)


def retry_after_ms(
    policy: RetryPolicy, *, failures: int, error: BaseException, draw: float
) -> int | None:
    """Milliseconds until the next attempt, from 0 to a year, or None: this failure is final.

    `failures` counts the failed attempts before this one. A `Retry` sets its own delay but needs a
    retry left like any other.
    """
    if failures >= policy.max_retries or not _is_retryable(policy, error):
        return None
    asked = error.after if isinstance(error, Retry) else policy.backoff.delay(failures + 1, draw)
    return round(bounded(asked) * 1000)


def _is_retryable(policy: RetryPolicy, error: BaseException) -> bool:
    if isinstance(error, Retry):
        return True
    if isinstance(error, (GiveUp, *policy.give_up_on)):
        return False
    return isinstance(error, policy.retry_on)
