"""What the tools for testing raise: each is an AssertionError, so that every test runner reports a failed test."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import attrs

from kew.domain.task import TaskStatus

MOST_SHOWN = 10
LAST_LINES = 60


class Why(enum.StrEnum):
    """Why a task has not ended."""

    PAUSED = "its queue is paused"
    BREAKER_OPEN = "its queue's circuit breaker is open"
    UNKNOWN_FUNCTION = "no process that works on the queue knows its function"
    NO_WORKER = "no process works on its queue"
    NOT_DUE = "it is not due"
    RUNNING = "it is running"
    WAITING = "it waits for a free slot"


@attrs.frozen(kw_only=True)
class Left:
    """A task that has not ended. `text` says what `why` leaves out, such as when it is due."""

    task_id: str
    queue: str
    status: TaskStatus
    why: Why
    text: str = ""

    def __str__(self) -> str:
        more = f" ({self.text})" if self.text else ""
        return f"{self.task_id!r} in {self.queue!r} is {self.status.value}: {self.why.value}{more}"


class NotDrainedError(AssertionError):
    """Tasks are left that nothing can end in the time that `drain` was given; `left` has each with its reason."""

    def __init__(self, left: Sequence[Left]) -> None:
        shown = [str(one) for one in left[:MOST_SHOWN]]
        if len(left) > MOST_SHOWN:
            shown.append(f"and {len(left) - MOST_SHOWN} more")
        super().__init__("\n  ".join([f"{len(left)} tasks have not ended:", *shown]))
        self.left = tuple(left)


class InvariantBroken(AssertionError):
    """`crash_at_every_await` found a crash after which the redelivered task leaves things wrong.

    `breaks` has each such place with what `check` raised.
    """

    def __init__(self, message: str, breaks: Sequence[object]) -> None:
        super().__init__(message)
        self.breaks = tuple(breaks)


class SimulationFailed(AssertionError):
    """`simulate` found a seed for which something went wrong: `seed`, the `error`, and a readable `trace`."""

    def __init__(
        self, message: str, *, seed: int, error: BaseException, trace: Sequence[str]
    ) -> None:
        lines = [
            message,
            f"the last of what happened (all of it is in `trace`, {len(trace)} lines):",
        ]
        super().__init__("\n  ".join([*lines, *trace[-LAST_LINES:]]) if trace else message)
        self.seed = seed
        self.error = error
        self.trace = tuple(trace)
