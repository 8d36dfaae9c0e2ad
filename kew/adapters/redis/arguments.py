"""What operations of the library are called with, from values of the domain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

import attrs

from kew.adapters.redis import attempts, records
from kew.adapters.redis.keys import Keys
from kew.adapters.redis.library import STATE, Argument, Library, Operation
from kew.adapters.redis.records import checked_incarnation
from kew.adapters.redis.wire import Opening
from kew.domain.events import Failed, NotStarted, Released, Snoozed, Succeeded
from kew.domain.outcomes import outcome_word
from kew.domain.queue import RECOVER_AT_ONCE
from kew.domain.reports import Report
from kew.domain.requests import Along, ClaimRequest, Group, Settlement

# What one call does is bounded, since Redis does nothing else meanwhile.
LEASES_AT_ONCE: Final = 200
SETTLED_BYTES_AT_ONCE: Final = 1024 * 1024
PARK_AT_ONCE: Final = 100  # tasks of unknown functions that one claim moves out of the way
NO_CLAIM: Final[dict[str, Argument]] = {  # for a submit that carries settlements alone
    "incarnation": "",
    "lane": "",
    "sequence": 0,
    "want": 0,
    "lease_ms": 0,
    "has_room": 0,
    "holds": 0,
    "recover_limit": 0,
    "park_limit": 0,
}


class FunctionCall:
    """An operation with its keys and arguments, as it is sent: those of the opening, and the rest."""

    __slots__ = ("_opening", "_rest", "operation", "packed")

    def __init__(self, operation: Operation, opening: Opening, rest: Sequence[Argument]) -> None:
        self.operation = operation
        self._opening = opening
        self._rest = rest
        self.packed = opening.packed(rest)

    @property
    def arguments(self) -> Sequence[Argument]:
        """The number of its keys, its keys and its arguments."""
        return (*self._opening.words[2:], *self._rest)


@attrs.frozen
class Beginning:
    """What all calls of one operation on one queue have in common: the keys, with their number, and some arguments.

    `whole` is all of it in order, if these arguments are all but the rest.
    """

    operation: Operation
    keys: Opening
    own: dict[str, Argument]
    whole: Opening | None


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
        """A call. Raises `TypeError` if arguments are missing, unknown or no numbers."""
        beginning = self._beginning(name, queue)
        if beginning.whole is not None and not named:
            return FunctionCall(beginning.operation, beginning.whole, rest)
        bound = beginning.operation.bind(rest, named | beginning.own)
        return FunctionCall(beginning.operation, beginning.keys, bound)

    def make_for_each(
        self, name: str, queues: Sequence[str], named: dict[str, Argument]
    ) -> FunctionCall:
        """A call of an operation whose keys repeat, once for each queue."""
        operation = self._library[name]
        names = [key for queue in queues for key in self._keys.named(operation.keys, queue)]
        keys = Opening("FCALL", operation.function, len(names), *names)
        return FunctionCall(operation, keys, operation.bind((), named))

    def _new_beginning(self, name: str, queue: str) -> Beginning:
        operation = self._library[name]
        is_brief = operation.is_brief and self._keys.guards
        parts = (STATE,) if is_brief else operation.keys
        names = (*self._keys.named(parts, queue), *self._keys.guards)
        keys: tuple[Argument, ...] = ("FCALL", operation.function, len(names), *names)
        known: dict[str, Argument] = {"channel": self._keys.channels, "queue": queue}
        own = {each: known[each] for each in operation.arguments if each in known}
        is_whole = len(own) == len(operation.arguments) and bool(operation.rest)
        whole = Opening(*keys, *operation.bind((), own)) if is_whole else None
        return Beginning(operation, Opening(*keys), own, whole)


def claim_arguments(claim: ClaimRequest) -> dict[str, Argument]:
    """Those of a claim, by name."""
    return {
        "incarnation": checked_incarnation(claim.incarnation),
        "lane": str(claim.lane),
        "sequence": claim.sequence,
        "want": min(claim.want, LEASES_AT_ONCE),
        "lease_ms": claim.lease_ms,
        "has_room": int(claim.has_room),
        "holds": claim.holds,
        "recover_limit": RECOVER_AT_ONCE,
        "park_limit": PARK_AT_ONCE,
    }


def along_arguments(along: Along) -> dict[str, Argument]:
    """Those of what a submit takes along, by name, except for the settlements themselves."""
    claim = along.claim
    named = (
        {**NO_CLAIM, "incarnation": along.submitter} if claim is None else claim_arguments(claim)
    )
    named["settled_count"] = len(along.settlements)
    return named


def submit_arguments(groups: Iterable[Group]) -> list[Argument]:
    """Groups, one after the other; `lua/submit.lua` says how."""
    rest: list[Argument] = []
    for group in groups:
        submissions, after = group.submissions, group.after
        rest.append(len(submissions) if after is None else records.head_after(group, after))
        for call in submissions:
            rest += records.new_record(call)
    return rest


def pieces(settlements: Sequence[Settlement]) -> Iterator[Sequence[Settlement]]:
    """The settlements, cut where one call would have too many of them or too many bytes; at least one piece."""
    start = size = 0
    for n, settlement in enumerate(settlements):
        event, added = settlement.event, 0
        if isinstance(event, Succeeded):
            added = len(event.result)
        elif isinstance(event, Failed) and event.report is not None:
            added = len(event.report.message) + len(event.report.traceback)
        if n - start >= LEASES_AT_ONCE or (n > start and size + added > SETTLED_BYTES_AT_ONCE):
            yield settlements[start:n]
            start, size = n, 0
        size += added
    yield settlements[start:] if start else settlements


def settle_arguments(settlements: Iterable[Settlement]) -> list[Argument]:
    """Settlements, one after the other; `lua/settle.lua` says how."""
    rest: list[Argument] = []
    for settlement in settlements:
        rest += (settlement.task_id, settlement.lease, outcome_word(settlement.event))
        rest += _outcome(settlement)
    return rest


def _encoded(error: str) -> bytes:
    return error.encode("utf-8", "backslashreplace")


def _outcome(settlement: Settlement) -> tuple[Argument, Argument]:
    event = settlement.event
    match event:
        case Succeeded(result):
            return "", result
        case Failed(report=report):
            delay_ms, text = event.retry_after_ms or 0, _encoded(event.error)
            if report is None:
                return delay_ms, text
            return attempts.failure_arguments(delay_ms, text, report)
        case Snoozed():
            return event.after_ms, _encoded(event.error)
        case Released(started):
            return int(started), ""
        case NotStarted(error):
            text = _encoded(error)
            return len(text), text + attempts.message_of(Report(message=error))
        case _:
            raise TypeError(f"{type(event).__name__} is no outcome of an attempt")
