"""What operations of the library are called with, from values of the domain."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kew.adapters.redis import records
from kew.adapters.redis.connection import packed
from kew.adapters.redis.library import Argument, Operation
from kew.adapters.redis.records import checked_incarnation
from kew.domain.events import Failed, Released, Succeeded
from kew.domain.queue import RECOVER_AT_ONCE, outcome_word
from kew.domain.requests import ClaimRequest, Group, Settlement

PARK_AT_ONCE: Final = 100  # tasks of unknown functions that one claim moves out of the way


class FunctionCall:
    """An operation with its keys and arguments, as it is sent."""

    __slots__ = ("arguments", "operation", "packed")

    def __init__(self, operation: Operation, arguments: tuple[Argument, ...]) -> None:
        self.operation = operation
        self.arguments = arguments
        self.packed = packed("FCALL", operation.function, *arguments)


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
        rest.append(records.head_of(group))
        for call in group.submissions:
            rest += (call.id, records.due_of(call), records.end_of(call))
    return rest


def settle_arguments(settlements: Iterable[Settlement]) -> list[Argument]:
    """Settlements, one after the other; `lua/settle.lua` says how."""
    rest: list[Argument] = []
    for settlement in settlements:
        rest += (settlement.task_id, settlement.lease, outcome_word(settlement))
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
