"""The simulated world's clock, chance and threads, as the ports want them."""

from __future__ import annotations

import asyncio
import contextvars
import string
from collections.abc import Awaitable, Callable
from random import Random

from kew.app.ports import Clock, Entropy, Threads, Watchdog
from kew.compat import override
from kew.simulation.processes import EPOCH_S

ALPHABET = string.ascii_lowercase + string.digits
IDENTITY_LENGTH = 16
LONGEST_THREAD_S = 2.0


class StoreClock(Clock):
    """The store's own clock: virtual time, and how far it is ahead of it."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self.ahead_s = 0.0

    @override
    def now_ms(self) -> int:
        return round((EPOCH_S + self._time() + self.ahead_s) * 1000)


class SeededEntropy(Entropy):
    """Chance that a seed decides."""

    def __init__(self, random: Random) -> None:
        self._random = random

    @override
    def draw(self) -> float:
        return self._random.random()

    @override
    def identity(self) -> str:
        return "".join(self._random.choices(ALPHABET, k=IDENTITY_LENGTH))


class InlineThreads(Threads):
    """Plain functions run inline: after a while of virtual time, which no cancelling shortens."""

    def __init__(self, random: Random) -> None:
        self._random = random

    @override
    def run(self, call: Callable[[], object]) -> Awaitable[object]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()
        context = contextvars.copy_context()
        delay = self._random.choice((0.0, 0.01, LONGEST_THREAD_S)) * self._random.random()
        loop.call_later(delay, _run, call, future, context=context)
        return future


def _run(call: Callable[[], object], future: asyncio.Future[object]) -> None:
    try:
        value = call()
    except Exception as error:  # noqa: BLE001 - it belongs to the task
        if not future.done():
            future.set_exception(error)
    else:
        if not future.done():
            future.set_result(value)


class NoWatchdog(Watchdog):
    """A simulated loop is never blocked: a step takes no time."""

    @override
    def start(
        self, blocked_after: float, while_blocked: Callable[[float], None] | None = None
    ) -> None:
        pass

    @override
    def worst_lag(self) -> float | None:
        return None

    @override
    def close(self) -> None:
        pass
