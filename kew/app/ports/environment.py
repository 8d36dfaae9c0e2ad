"""What surrounds the services besides a store: time, chance and threads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol


class Clock(Protocol):
    """A store's clock."""

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        ...


class Uptime(Protocol):
    """Seconds since some moment, which go on while the machine is suspended, as those of the event loop may not.

    Leases are judged by it: they end while a laptop sleeps, or a virtual machine is paused.
    """

    def __call__(self) -> float: ...


class Entropy(Protocol):
    """Chance, so that a simulation can decide it."""

    def draw(self) -> float:
        """Uniform in [0, 1)."""
        ...

    def identity(self) -> str:
        """Text of 16 letters and digits that is unique forever."""
        ...

    def incarnation(self) -> str:
        """A name for this process: unique forever, and with its host and pid if it has any."""
        return self.identity()


class Threads(Protocol):
    """Where plain functions run."""

    def run(self, call: Callable[[], object]) -> Awaitable[object]:
        """Run it off the event loop; cancelling the awaitable doesn't stop it. Contextvars are the caller's."""
        ...


class Watchdog(Protocol):
    """Logs what blocks the event loop."""

    def start(
        self, blocked_after: float, while_blocked: Callable[[float], None] | None = None
    ) -> None:
        """Watch the running loop from now on: it is blocked if it has not turned for so many seconds.

        `while_blocked` is called in another thread again and again while it doesn't turn, with the seconds so far.
        """

    def worst_lag(self) -> float | None:
        """How late the loop was at worst since this was asked last (seconds); None: it isn't measured."""
        ...

    def close(self) -> None:
        """Watch no more."""
