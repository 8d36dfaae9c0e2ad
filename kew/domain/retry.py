"""Whether a failed attempt runs again, and when. Decided once, by the worker that ran it."""

from __future__ import annotations

import attrs

from kew.domain.backoff import Backoff, Exponential, bounded
from kew.domain.causes import Causes, error_types
from kew.domain.errors import GiveUp, Retry, Snooze


class FinalError(Exception):
    """Base of kew's own errors of an attempt that no retry can mend. Unlike `GiveUp` it is a failure, not an answer."""


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """`give_up_on` wins over `retry_on`; an error that matches neither is final.

    Of an exception group, each error inside and the group itself is matched.
    """

    max_retries: int = 0
    backoff: Backoff = Exponential()
    retry_on: tuple[type[BaseException], ...] = attrs.field(
        default=(BaseException,), converter=error_types
    )
    give_up_on: tuple[type[BaseException], ...] = attrs.field(default=(), converter=error_types)


def retry_after_ms(
    policy: RetryPolicy, *, failures: int, causes: Causes, draw: float
) -> int | None:
    """Milliseconds until the next attempt, from 0 to a year, or None: this failure is final.

    `failures` counts the failed attempts before this one. A `Retry` sets its own delay, the longest if there are
    several, but needs a retry left like any other. So does a `Snooze` that came with other errors.
    """
    if failures >= policy.max_retries or not _is_retryable(policy, causes):
        return None
    asked = [retry.after for retry in causes.retries] + [each.after for each in causes.snoozes]
    delay = max(asked) if asked else policy.backoff.delay(failures + 1, draw)
    return round(bounded(delay) * 1000)


def _is_retryable(policy: RetryPolicy, causes: Causes) -> bool:
    """One cause that forbids a retry wins over others that ask for one, or allow it."""
    others = causes.besides((Retry, Snooze))
    if any(isinstance(each, (GiveUp, FinalError, *policy.give_up_on)) for each in others):
        return False
    return bool(causes.retries or causes.snoozes) or any(
        isinstance(each, policy.retry_on) for each in others
    )
