"""The world's clock and chance."""

from __future__ import annotations

import random
import secrets
import time

from kew.app.ports import Clock, Entropy
from kew.compat import override


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
