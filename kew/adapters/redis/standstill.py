"""While a Redis confirms no writes: one warning when that begins, one when it ends, and a look for its successor.

The connections stay: they are not broken. But a primary that was cut off from its replicas may have a successor at the
same address, so from time to time a new connection sees where the address leads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from redis.exceptions import RedisError

from kew.log import logger

FIRST_PAUSE: Final = 1.0  # seconds between two looks
LONGEST_PAUSE: Final = 5.0


class Standstill:
    """Of the server `name`. `look` connects to where its address leads now; None: something else does that."""

    def __init__(self, name: str, look: Callable[[], Awaitable[None]] | None = None) -> None:
        self._name = name
        self._look = look
        self._looking: asyncio.Task[None] | None = None
        self._look_at = 0.0
        self._pause = FIRST_PAUSE
        self.since: float | None = None  # in the loop's time

    def goes_on(self, why: str) -> None:
        """A write was not confirmed."""
        now = asyncio.get_running_loop().time()
        if self.since is None or self.since > now:  # a later loop's clock may start again at 0
            self.since, self._look_at, self._pause = now, now, FIRST_PAUSE
            logger.warning(
                "%s confirms no writes: %s (this is logged once, until it confirms again); meanwhile submits are "
                "uncertain, and nothing new starts",
                self._name,
                why,
            )
        if self._look is not None and now >= self._look_at:
            self._look_at, self._pause = now + self._pause, min(2 * self._pause, LONGEST_PAUSE)
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(
                    self._look_once(self._look), name=f"kew successor of {self._name}"
                )

    def end(self) -> None:
        """A write was confirmed."""
        now = asyncio.get_running_loop().time()
        since, self.since = self.since, None
        if since is not None:
            logger.warning(
                "%s confirms writes again, after %.1f s", self._name, max(0.0, now - since)
            )

    async def close(self) -> None:
        """Look no more."""
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()
            await asyncio.wait([looking])

    async def _look_once(self, look: Callable[[], Awaitable[None]]) -> None:
        try:
            await look()
        except (RedisError, OSError) as error:
            logger.debug("%s can't be looked at: %s", self._name, error)
