"""What the store reports to a process by itself, and the port that brings it: quick, and unreliable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs


@attrs.frozen
class Woken:
    """A queue may have something for this process."""

    queue: str


@attrs.frozen
class StopAsked:
    """A task that this process runs was cancelled."""

    queue: str
    task_id: str


@attrs.frozen
class TaskEnded:
    """A task that this process watches has ended."""

    task_id: str


@attrs.frozen
class SettingsChanged:
    """Other settings of a queue are in force."""

    queue: str


@attrs.frozen
class Interrupted:
    """There is no subscription, so notifications get lost. `why` is for people.

    `is_refusal`: the store answered and refused it, so it won't come back by itself.
    """

    why: str
    is_refusal: bool = False


@attrs.frozen
class Resumed:
    """The subscription stands again: anything may have been missed."""


Notice = Woken | StopAsked | TaskEnded | SettingsChanged | Interrupted | Resumed


class Wakeup(Protocol):
    """Notifications from the store: quick and unreliable; a slow poll stands behind them."""

    async def listen(self, incarnation: str, deliver: Callable[[Notice], None]) -> None:
        """Deliver what is meant for `incarnation` until `close`; reconnects by itself.

        Each attempt that fails delivers `Interrupted`, and the first one that succeeds after it `Resumed`.
        """

    async def close(self) -> None:
        """Deliver no more."""
