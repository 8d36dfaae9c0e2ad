"""Which arguments and results of tasks are shown, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kew import TaskInfo
from kew.log import logger

Redact = Callable[[TaskInfo, dict[str, Any]], Mapping[str, Any] | None]
"""The host's own rule: what is shown of a task's `args` and `kwargs`, or of its `result`; None hides them."""


class Redaction:
    """Shows arguments and results, as far as the host lets it."""

    def __init__(self, *, shows_any: bool, redact: Redact | None) -> None:
        self.shows_any = shows_any
        self._redact = redact

    def of(self, task: TaskInfo, values: dict[str, Any]) -> dict[str, Any] | None:
        """The values as they are shown; None: they are hidden, also if the host's rule fails."""
        if not self.shows_any:
            return None
        if self._redact is None:
            return values
        try:
            shown = self._redact(task, dict(values))
            return None if shown is None else {name: shown[name] for name in values}
        except Exception:  # the host's rule
            logger.exception(
                "admin: redact= failed, so the values of task %r are hidden", task.task_id
            )
            return None
