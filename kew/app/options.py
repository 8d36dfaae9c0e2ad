"""What a function's registration may say of its tasks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, TypedDict

from kew.app.submitting.keying import KeyOption
from kew.app.submitting.uniqueness import Debounce, Throttle, Unique
from kew.domain.backoff import Backoff
from kew.domain.causes import ErrorTypes
from kew.domain.config import QueueConfig
from kew.domain.counting import Countable
from kew.domain.suggestions import did_you_mean, taking
from kew.domain.task import QueuePriority


class Options(TypedDict, total=False):
    """What a registration may say of every task of its function; what it leaves out, the queue says.

    `timeout` is another name of `task_timeout`.
    """

    max_retries: int
    retry_delay: float | timedelta
    backoff: Backoff
    retry_on: ErrorTypes
    give_up_on: ErrorTypes
    circuit_breaker_on: ErrorTypes | Countable
    task_timeout: float | timedelta
    timeout: float | timedelta
    max_snoozes: int
    expires_in: float | timedelta
    at_most_once: bool
    priority: QueuePriority
    queue: str | QueueConfig
    key: KeyOption
    unique: Unique
    debounce: Debounce
    throttle: Throttle


ALIASES: Final = {"timeout": "task_timeout"}
OPTIONS: Final = tuple(name for name in Options.__annotations__ if name not in ALIASES)


def canonical(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options by their first names. Raises TypeError for an unknown one, and for one that is given twice."""
    given = dict(options)
    for alias, name in ALIASES.items():
        if alias in given:
            if name in given:
                raise TypeError(f"{alias} is another name of {name}: give one of them")
            given[name] = given.pop(alias)
    for name in given:
        if name not in OPTIONS:
            meant = did_you_mean(name, OPTIONS)
            raise TypeError(f"@manager.task() has no option {name!r}{taking(OPTIONS, meant)}")
    return given
