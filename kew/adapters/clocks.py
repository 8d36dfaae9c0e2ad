"""The world's clock and chance."""

from __future__ import annotations

import os
import random
import secrets
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from kew.app.ports import Clock, Entropy
from kew.compat import override
from kew.domain.incarnations import incarnation_of

SINCE_BOOT: int | None = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))


def uptime_of(clock: int | None) -> Callable[[], float]:
    """That of a clock of the system; None: there is none that counts suspension as far as Python can tell."""
    # A partial, not a function: it is read twice per task, and this way without a Python call.
    return time.monotonic if clock is None else partial(time.clock_gettime, clock)


uptime: Final = uptime_of(SINCE_BOOT)
"""Seconds that include those in which the machine was suspended.

Linux: CLOCK_BOOTTIME. macOS: CLOCK_MONOTONIC, which goes on during sleep, unlike Python's `time.monotonic` there.
Windows: `time.monotonic`, which includes sleep.
"""


class SystemClock(Clock):
    """The host's wall clock."""

    @override
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class SystemEntropy(Entropy):
    """Chance from the operating system where it must be unique, from a fast generator where it need not."""

    @override
    def draw(self) -> float:
        return random.random()

    @override
    def identity(self) -> str:
        return secrets.token_hex(8)

    @override
    def incarnation(self) -> str:
        return incarnation_of(socket.gethostname(), os.getpid(), self.identity())
