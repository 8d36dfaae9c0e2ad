"""What tracing needs of kew: a span around each submit and each attempt."""

from __future__ import annotations

from typing import Protocol

from kew.domain.events import SettleEvent
from kew.domain.task import Task


class AttemptSpan(Protocol):
    """The span of one attempt, current in its context."""

    def end(self, event: SettleEvent | None, error: BaseException | None) -> None:
        """The attempt ended like this; `event` None: its outcome is discarded."""


class SendSpan(Protocol):
    """The span of a submit."""

    def trace(self) -> str:
        """Its context, as text for the tasks' records; "" if it is not recorded."""
        ...

    def end(self, error: BaseException | None) -> None:
        """The submit ended."""


class Tracer(Protocol):
    """Makes spans. Its methods raise nothing."""

    def sending(self, queue: object, task_id: object, tasks: int) -> SendSpan:
        """A submit begins, in the caller's context. `task_id` None: of several."""
        ...

    def attempt(self, task: Task, process: str) -> AttemptSpan | None:
        """An attempt begins: its span becomes the current one in the context of the caller, which is its own.

        None: the span isn't recorded, so its end is of no interest.
        """
        ...
