"""A task starts only in a process that can run its function; elsewhere it is parked, and blocks no other task."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from kew.domain.explaining import Code, Reason, Situation, Sure
from kew.domain.gates.gate import Gate
from kew.domain.incarnations import place_of
from kew.domain.task import PINNED, can_run, shelf_of
from kew.domain.view import QueueState

KIND: Final = "f:"


class Functions(Gate):
    """It sets aside a task under its function or, for a closure, under the process that owns it."""

    name = "functions"

    def is_used(self, state: QueueState) -> bool:
        return True

    def parks(self, incarnation: str, known: Collection[str], function: str) -> str | None:
        return None if can_run(incarnation, known, function) else reason_of(function)

    def explain(self, situation: Situation, left: int) -> Reason | None:
        call = situation.task.call
        if situation.able:
            return None
        if call.pinned_to:
            text = (
                f"only the process {place_of(call.pinned_to)} can run this closure, and it doesn't work on the queue, "
                "or no longer; cancel the task, and submit it again"
            )
        elif situation.processes:
            text = (
                f"no running process has registered its function {call.function}; "
                "register it in one that works on the queue (@manager.task, register())"
            )
        else:
            return None
        return Reason(code=Code.FUNCTION_UNKNOWN, text=text, sure=Sure.NEVER)


def opens(reason: str, incarnation: str, known: Collection[str]) -> bool:
    """Whether tasks parked under a reason can start in this process after all."""
    awaited = awaited_by(reason)
    return reason.startswith(KIND) and (awaited in known or awaited == PINNED + incarnation)


def awaited_by(reason: str) -> str:
    """What tasks parked under a reason wait for: a function, or `@process` for closures."""
    return reason.removeprefix(KIND)


def owner_of(reason: str) -> str:
    """The process that owns the closures parked under a reason; "": it is the reason of a function."""
    awaited = awaited_by(reason)
    return awaited.removeprefix(PINNED) if awaited.startswith(PINNED) else ""


def reason_of(function: str) -> str:
    """The reason under which tasks of a function are parked: `f:send_mail`, or `f:@process` for closures."""
    return KIND + shelf_of(function)
