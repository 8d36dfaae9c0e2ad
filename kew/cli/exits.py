"""The exit codes of the commands that talk to a store, and which error leads to which."""

from __future__ import annotations

import enum

from kew import (
    InvalidConfigError,
    InvalidTaskError,
    QueueNotFoundError,
    ScheduleNotFoundError,
    StoreUnavailableError,
    SubmitUncertainError,
    TaskNotFoundError,
    TaskQueueError,
)


class Exit(enum.IntEnum):
    """What the caller's shell sees."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    UNREACHABLE = 4
    INTERRUPTED = 130
    TERMINATED = 143


CODES: dict[type[TaskQueueError], Exit] = {
    QueueNotFoundError: Exit.NOT_FOUND,
    TaskNotFoundError: Exit.NOT_FOUND,
    ScheduleNotFoundError: Exit.NOT_FOUND,
    StoreUnavailableError: Exit.UNREACHABLE,
    SubmitUncertainError: Exit.UNREACHABLE,
    InvalidConfigError: Exit.USAGE,
    InvalidTaskError: Exit.USAGE,
}

EPILOG = (
    "Exit codes: 0 success, 1 failed or refused, 2 wrong usage, 3 not found, 4 the store can't be "
    "reached, 130 stopped by Ctrl-C."
)


def code_of(error: TaskQueueError) -> Exit:
    """The exit code for an error."""
    return next((code for kind, code in CODES.items() if isinstance(error, kind)), Exit.FAILED)
