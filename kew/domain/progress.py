"""How far a running task says it has come: one report at a time, of which the last is kept."""

from __future__ import annotations

import math
from typing import Final

import attrs

from kew.domain.errors import shown
from kew.domain.errors_in_tasks import InvalidProgressError
from kew.domain.task import Progress, Task

PARTS: Final = 1_000_000  # into which the whole is divided
MOST_LETTERS: Final = 200  # of a message; a longer one is cut
CUT: Final = "…"
ROUNDING: Final = 1e-9  # by which a sum of fractions may exceed 1


@attrs.frozen
class ProgressReport:
    """What an attempt reports, as it is sent: its number within the attempt, from 1, and parts of a million."""

    number: int
    parts: int
    message: str = ""


def report_of(number: int, value: object, message: object) -> ProgressReport:
    """A report, from what a task's code passes. Raises `InvalidProgressError`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidProgressError(f"progress is a number from 0 to 1, not {shown(value)}")
    if not -ROUNDING <= value <= 1 + ROUNDING:
        raise InvalidProgressError(
            f"progress is a number from 0 to 1, not {value!r}: divide by the total"
        )
    if not isinstance(message, str):
        raise InvalidProgressError(f"the message is text, not {type(message).__name__}")
    if len(message) > MOST_LETTERS:
        message = message[: MOST_LETTERS - 1] + CUT
    message = message.encode("utf-8", "replace").decode()  # a lone surrogate can't be stored
    return ProgressReport(number, min(PARTS, max(0, round(value * PARTS))), message)


def progress_after(task: Task, report: ProgressReport, now: int) -> Progress | None:
    """The task's progress once this report of its current attempt arrived. An earlier report changes nothing."""
    before = task.progress
    if before is not None and (before.attempt, before.number) >= (task.attempt, report.number):
        return before
    return Progress(
        attempt=task.attempt,
        number=report.number,
        parts=report.parts,
        at=now,
        message=report.message,
    )


def shown_progress(task: Task) -> Progress | None:
    """The progress of the current or last attempt; None: it reported none."""
    progress = task.progress
    return progress if progress is not None and progress.attempt == task.attempt else None
