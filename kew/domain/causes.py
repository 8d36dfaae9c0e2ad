"""What an exception group is about: the errors inside it, at any depth."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from kew.domain.errors import GiveUp, Retry, Snooze

ErrorTypes = type[BaseException] | tuple[type[BaseException], ...]
"""What `except` takes: an exception class, or a tuple of them."""

DELIBERATE = (Retry, Snooze, GiveUp)


def error_types(given: ErrorTypes) -> tuple[type[BaseException], ...]:
    """As a tuple; anything else is returned unchanged, for a validator to reject."""
    return (given,) if isinstance(given, type) else given


@attrs.frozen
class Causes:
    """The errors that ended an attempt: an error that is no group is its own only leaf.

    `groups` are the exception groups around the leaves, outermost first.
    """

    leaves: tuple[BaseException, ...]
    groups: tuple[BaseException, ...] = ()

    @property
    def retries(self) -> list[Retry]:
        """The leaves with which the task asked to run again."""
        return [leaf for leaf in self.leaves if isinstance(leaf, Retry)]

    @property
    def snoozes(self) -> list[Snooze]:
        """The leaves with which the task asked to come back later."""
        return [leaf for leaf in self.leaves if isinstance(leaf, Snooze)]

    @property
    def is_snooze(self) -> bool:
        """The task asked to come back later, and nothing else ended the attempt."""
        return all(isinstance(leaf, Snooze) for leaf in self.leaves)

    @property
    def gives_up(self) -> bool:
        """The task said that no further attempt is to be made."""
        return any(isinstance(leaf, GiveUp) for leaf in self.leaves)

    @property
    def is_deliberate(self) -> bool:
        """The task ended the attempt with `Retry`, `Snooze` or `GiveUp`, and nothing else went wrong."""
        return all(isinstance(leaf, DELIBERATE) for leaf in self.leaves)

    def besides(self, answers: ErrorTypes) -> tuple[BaseException, ...]:
        """The leaves that are none of `answers`, and their groups; empty if all leaves are."""
        others = tuple(leaf for leaf in self.leaves if not isinstance(leaf, answers))
        return (*others, *self.groups) if others else ()


def causes_of(error: BaseException, ignored: ErrorTypes = ()) -> Causes:
    """Look inside a group. Leaves of the `ignored` types are left out if there are others.

    (A cancellation, say: that is how a group stops its other tasks once one has failed.)
    """
    if not isinstance(error, BaseExceptionGroup):
        return Causes((error,))
    found = list(_inside(error))
    groups = tuple(each for each in found if isinstance(each, BaseExceptionGroup))
    leaves = tuple(each for each in found if not isinstance(each, BaseExceptionGroup))
    return Causes(tuple(leaf for leaf in leaves if not isinstance(leaf, ignored)) or leaves, groups)


def _inside(error: BaseException) -> Iterator[BaseException]:
    """The error itself, and what it contains, in order. (A loop: groups may be nested very deeply.)"""
    left = [error]
    while left:
        each = left.pop()
        yield each
        if isinstance(each, BaseExceptionGroup):
            left += reversed(each.exceptions)
