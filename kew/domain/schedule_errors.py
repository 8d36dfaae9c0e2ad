"""The errors of schedules: part of the tree of `errors.py`."""

from __future__ import annotations

from collections.abc import Iterable

from kew.domain.errors import InvalidConfigError, TaskQueueError, _revived, shown
from kew.domain.suggestions import did_you_mean


class InvalidScheduleError(InvalidConfigError):
    """An invalid schedule: its name, cron expression, time zone or options. Nothing was stored."""


class ScheduleNotFoundError(TaskQueueError):
    """This namespace has no schedule of this name."""

    def __init__(self, name: str, *, known: Iterable[str] = ()) -> None:
        meant = did_you_mean(str(name), known)
        super().__init__(
            f"no schedule {shown(name)}{meant or ': manager.schedules.list() has all'}"
        )
        self.name = name


class MissingExtraError(TaskQueueError, ImportError):
    """A feature needs a library that is not installed. The message names the extra that brings it."""

    def __init__(self, what: str, library: str, extra: str) -> None:
        super().__init__(
            f"{what} need the library {library}; install it: pip install 'kew[{extra}]'"
        )
        self.library = library
        self.extra = extra

    def __reduce__(self) -> tuple[object, ...]:
        """Unpickle without calling `__init__`, whose arguments are not kept. (Process pools pickle errors.)"""
        return _revived, (type(self), *self.args), self.__dict__
