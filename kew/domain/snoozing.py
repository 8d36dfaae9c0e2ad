"""What a snooze does to its task: it comes back later, or has done so too often. Decided by the worker that ran it."""

from __future__ import annotations

from kew.domain.backoff import bounded
from kew.domain.causes import Causes
from kew.domain.errors import SCOPES, Scope
from kew.domain.events import Failed, Snoozed


def snooze_or_failure(
    causes: Causes, error: str, *, snoozes: int, max_snoozes: int, has_key: bool
) -> Snoozed | Failed:
    """The outcome of an attempt whose `causes` are snoozes; `error` is their text. The longest and the widest count.

    `snoozes` counts those before this one. One more than `max_snoozes` fails the task, which the breaker doesn't count.
    """
    if snoozes >= max_snoozes:
        return Failed(error=snoozed_too_often(snoozes, error), retry_after_ms=None, counts=False)
    delay = max(bounded(each.after) for each in causes.snoozes)
    scope = max((each.scope for each in causes.snoozes), key=SCOPES.index)
    return Snoozed(error=error, after_ms=round(delay * 1000), scope=_possible(scope, has_key))


def _possible(scope: Scope, has_key: bool) -> Scope:
    return "task" if scope == "key" and not has_key else scope


def snoozed_too_often(snoozes: int, error: str) -> str:
    """The error of a task that came back as often as it may."""
    times = "once" if snoozes == 1 else f"{snoozes} times"
    return f"it asked to come back later, and did so {times} already, as often as max_snoozes allows: {error}"
