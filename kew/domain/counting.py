"""Which failures count for the circuit breaker. Decided in the worker that ran the attempt; the store only counts."""

from __future__ import annotations

from collections.abc import Callable

from kew.domain.causes import DELIBERATE, Causes, ErrorTypes, error_types

Countable = tuple[type[BaseException], ...] | Callable[[BaseException], bool]
"""Exception classes, or a function that says whether an error counts."""

EVERYTHING = (Exception, BaseException)


def as_countable(given: ErrorTypes | Callable[[BaseException], bool]) -> Countable:
    """A class as a tuple; anything else is returned unchanged, for a validator to reject."""
    return error_types(given) if isinstance(given, type) else given


def counts(countable: Countable, error: BaseException, causes: Causes) -> bool:
    """Whether the failure counts: any of its causes is of a countable type, or the user's function says so.

    `Retry`, `Snooze` and `GiveUp` are answers of the task, not failures: they count only if a type other than
    `Exception` and `BaseException` names them.
    """
    if not isinstance(countable, tuple):
        return bool(countable(error))
    if any(isinstance(each, countable) for each in causes.besides(DELIBERATE)):
        return True
    named = tuple(kind for kind in countable if kind not in EVERYTHING)
    return any(isinstance(leaf, named) for leaf in causes.leaves)
