"""What operations of the library are called with, from values of the domain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

import attrs

from kew.adapters.redis import records
from kew.adapters.redis.connection import packed
from kew.adapters.redis.keys import Keys
from kew.adapters.redis.library import Argument, Library, Operation
from kew.adapters.redis.records import checked_incarnation
from kew.domain.events import Failed, Released, Succeeded
from kew.domain.lifecycle import outcome_word
from kew.domain.queue import RECOVER_AT_ONCE
from kew.domain.requests import ClaimRequest, Group, Settlement

PARK_AT_ONCE: Final = 100  # tasks of unknown functions that one claim moves out of the way


class FunctionCall:
    """An operation with its keys and arguments, as it is sent."""

    __slots__ = ("arguments", "operation", "packed")

    def __init__(self, operation: Operation, arguments: tuple[Argument, ...]) -> None:
        self.operation = operation
        self.arguments = arguments
        self.packed = packed("FCALL", operation.function, *arguments)


@attrs.frozen
class Beginning:
    """What all calls of one operation on one queue have in common: the keys, with their number, and some arguments.

    `whole` is all of it in order, where these arguments are all but the rest.
    """

    operation: Operation
    keys: tuple[Argument, ...]
    own: dict[str, Argument]
    whole: tuple[Argument, ...] | None


class FunctionCalls:
    """Makes the calls of one namespace."""

    def __init__(self, library: Library, keys: Keys) -> None:
        self._library = library
        self._keys = keys
        self._beginning = lru_cache(maxsize=4096)(self._new_beginning)

    def make(
        self,
        name: str,
        queue: str,
        named: dict[str, Argument],
        rest: Sequence[Argument] = (),
    ) -> FunctionCall:
        """A call. Raises `TypeError` where arguments are missing, unknown or no numbers."""
        beginning = self._beginning(name, queue)
        if beginning.whole is not None and not named:
            return FunctionCall(beginning.operation, (*beginning.whole, *rest))
        bound = beginning.operation.bind(rest, named | beginning.own)
        return FunctionCall(beginning.operation, (*beginning.keys, *bound))

    def _new_beginning(self, name: str, queue: str) -> Beginning:
        operation = self._library[name]
        names = self._keys.named(operation.keys, queue)
        keys: tuple[Argument, ...] = (len(names), *names)
        known: dict[str, Argument] = {"channel": self._keys.channels, "queue": queue}
        own = {each: known[each] for each in operation.arguments if each in known}
        is_whole = len(own) == len(operation.arguments) and bool(operation.rest)
        whole = (*keys, *operation.bind((), own)) if is_whole else None
        return Beginning(operation, keys, own, whole)


def claim_arguments(claim: ClaimRequest) -> dict[str, Argument]:
    """Those of a claim, by name."""
    return {
        "incarnation": checked_incarnation(claim.incarnation),
        "lane": str(claim.lane),
        "sequence": claim.sequence,
        "want": claim.want,
        "lease_ms": claim.lease_ms,
        "has_room": int(claim.has_room),
        "holds": claim.holds,
        "recover_limit": RECOVER_AT_ONCE,
        "park_limit": PARK_AT_ONCE,
    }


def submit_arguments(groups: Iterable[Group]) -> list[Argument]:
    """Groups, one after the other; `lua/submit.lua` says how."""
    rest: list[Argument] = []
    for group in groups:
        submissions, after = group.submissions, group.after
        rest.append(len(submissions) if after is None else records.head_after(group, after))
        for call in submissions:
            rest += (call.id, records.due_of(call), records.end_of(call))
    return rest


def settle_arguments(settlements: Iterable[Settlement]) -> list[Argument]:
    """Settlements, one after the other; `lua/settle.lua` says how."""
    rest: list[Argument] = []
    for settlement in settlements:
        rest += (settlement.task_id, settlement.lease, outcome_word(settlement.event))
        rest += _outcome(settlement)
    return rest


def _outcome(settlement: Settlement) -> tuple[Argument, Argument]:
    event = settlement.event
    match event:
        case Succeeded(result):
            return "", result
        case Failed():
            return event.retry_after_ms or 0, event.error.encode("utf-8", "backslashreplace")
        case Released(started):
            return int(started), ""
        case _:
            raise TypeError(f"{type(event).__name__} is no outcome of an attempt")
