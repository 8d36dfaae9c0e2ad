"""kew's log, `logging.getLogger("kew")`: what a user's handler raises is printed, and stops nothing of kew's.

Each record has fields, for handlers and formatters: `task_id`, `queue`, `function` and `attempt` of what the line is
about, and the `process_name` of kew's process; None if there is none. They are read from the line itself, by its first
words: "task %s (queue %s, %s): attempt %s ...", or "queue %s...".
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

_logger = logging.getLogger("kew")
TASK: Final = "task %s (queue %s, %s)"
"""How a line about a task begins: with the task's id, its queue and its function."""
OF_QUEUE: Final = "queue %s"
OF_ATTEMPT: Final = f"{TASK}: attempt %s"
NOTHING: Final[dict[str, Any]] = dict.fromkeys(("task_id", "queue", "function", "attempt"))
PROCESS: Final = ContextVar[str]("kew_process")
"""The name of the process whose code runs; several managers of a program may have several names."""


@contextmanager
def logging_as(name: str) -> Iterator[None]:
    """What is logged in this block, and by the tasks that it starts, has this `process_name`."""
    token = PROCESS.set(name)
    try:
        yield
    finally:
        PROCESS.reset(token)


def fields_of(text: str, args: tuple[object, ...]) -> dict[str, Any]:
    """The fields of a line."""
    fields = NOTHING
    if text.startswith(TASK):
        fields = dict(zip(("task_id", "queue", "function"), args, strict=False))
        fields["attempt"] = args[3] if text.startswith(OF_ATTEMPT) else None
    elif text.startswith(OF_QUEUE):
        fields = {**NOTHING, "queue": args[0]}
    return {**fields, "process_name": PROCESS.get(None)}


class Log:
    """The calls of a logger that kew makes. `fields`: those that the text doesn't say."""

    @property
    def is_debugging(self) -> bool:
        """DEBUG lines are logged. Ask once where the question itself would cost too much."""
        return _logger.isEnabledFor(logging.DEBUG)

    def debug(self, text: str, *args: object, exc_info: BaseException | None = None) -> None:
        self._log(logging.DEBUG, text, args, exc_info)

    def info(self, text: str, *args: object) -> None:
        self._log(logging.INFO, text, args)

    def warning(
        self,
        text: str,
        *args: object,
        exc_info: BaseException | None = None,
        fields: dict[str, Any] | None = None,
    ) -> None:
        self._log(logging.WARNING, text, args, exc_info, fields)

    def error(self, text: str, *args: object, exc_info: BaseException | None = None) -> None:
        self._log(logging.ERROR, text, args, exc_info)

    def exception(self, text: str, *args: object) -> None:
        self._log(logging.ERROR, text, args, sys.exception())

    def _log(
        self,
        level: int,
        text: str,
        args: tuple[object, ...],
        exc_info: BaseException | None = None,
        fields: dict[str, Any] | None = None,
    ) -> None:
        if not _logger.isEnabledFor(level):
            return
        extra = {**fields_of(text, args), **(fields or {})}
        try:
            _logger.log(level, text, *args, exc_info=exc_info, stacklevel=3, extra=extra)
        except Exception:  # noqa: BLE001 - `logging` itself prints what a well-behaved handler has failed with
            if sys.stderr is not None:
                traceback.print_exc()


logger = Log()
