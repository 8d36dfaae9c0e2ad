"""The errors of the testing tools. Each is an AssertionError, so that test runners report a failed test."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from kew.domain.explaining import Explanation
from kew.domain.task import TaskStatus

MOST_SHOWN = 10
LAST_LINES = 60


@attrs.frozen(kw_only=True)
class Left:
    """A task that has not ended, with the explanation of why."""

    task_id: str
    queue: str
    status: TaskStatus
    why: Explanation

    def __str__(self) -> str:
        return f"{self.task_id!r} in {self.queue!r} is {self.status.value}: {self.why}"


class NotDrainedError(AssertionError):
    """Some tasks did not end within the time that `drain` was given. `left` has each of them with the reason."""

    def __init__(self, left: Sequence[Left], advice: str = "") -> None:
        shown = [str(one) for one in left[:MOST_SHOWN]]
        if len(left) > MOST_SHOWN:
            shown.append(f"and {len(left) - MOST_SHOWN} more")
        what = "1 task has" if len(left) == 1 else f"{len(left)} tasks have"
        shown += [advice] if advice else []
        super().__init__("\n  ".join([f"{what} not ended:", *shown]))
        self.left = tuple(left)


class InvariantBroken(AssertionError):
    """`crash_at_every_await` found a crash after which running the task again breaks the invariant.

    `breaks` has each such place, with the error that `check` raised.
    """

    def __init__(self, message: str, breaks: Sequence[object]) -> None:
        super().__init__(message)
        self.breaks = tuple(breaks)


class SimulationFailed(AssertionError):
    """`simulate` found a failing seed: the `seed`, its `error`, and a readable `trace`."""

    def __init__(
        self, message: str, *, seed: int, error: BaseException, trace: Sequence[str]
    ) -> None:
        lines = [
            message,
            f"the last {min(len(trace), LAST_LINES)} of {len(trace)} lines of `trace`:",
        ]
        super().__init__("\n  ".join([*lines, *trace[-LAST_LINES:]]) if trace else message)
        self.seed = seed
        self.error = error
        self.trace = tuple(trace)
