"""What the connections to one Redis learn from each other: is it away, and do they still lead to the primary?

One object per address, shared by the store and its subscription. A connection that times out or reaches a server that
is no primary makes all older ones suspect: the generation goes up, and they are replaced before they are used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from kew.adapters.redis.refusals import without_stop
from kew.log import logger

# Seconds: a server that stays unusable doesn't make every call reconnect everything.
RENEW_EVERY: Final = 1.0
QUIET: Final = 5.0  # seconds after an outage in which a new one is logged only if it lasts


class Route:
    """The state that all connections of an address share. Times are the event loop's, in seconds."""

    def __init__(self) -> None:
        self.generation = 0
        self.away_since: float | None = None
        self._is_logged = False
        self._logged_at = -QUIET
        self._renewed_at = -RENEW_EVERY
        self._server = ""
        self._is_role_known = True
        self._on_renewal: list[Callable[[], None]] = []

    def on_renewal(self, callback: Callable[[], None]) -> None:
        """Call this whenever the older connections become suspect."""
        self._on_renewal.append(callback)

    def off_renewal(self, callback: Callable[[], None]) -> None:
        """Call this no more."""
        if callback in self._on_renewal:
            self._on_renewal.remove(callback)

    def renew(self, generation: int, why: object) -> None:
        """A connection of this generation failed: replace all that are as old."""
        now = asyncio.get_running_loop().time()
        if generation != self.generation or 0 <= now - self._renewed_at < RENEW_EVERY:
            return
        self._renewed_at = now
        self.start_generation(why)

    def reached(self, server: str) -> None:
        """A new connection leads to the server with this run id ("": unknown).

        If the older ones lead to another server, the address has moved.
        """
        if server and self._server and server != self._server:
            self.start_generation("the address leads to another server now")
        self._server = server or self._server

    def start_generation(self, why: object) -> None:
        """Replace all connections before they are used again."""
        self.generation += 1
        logger.debug("replacing the connections to Redis: %s", why)
        for callback in list(self._on_renewal):
            callback()

    def role_unknown(self, where: str, reason: object) -> None:
        """The server refused to report its role: say so, once."""
        if self._is_role_known:
            self._is_role_known = False
            logger.warning(
                "%s doesn't tell whether it is a primary (%s), so kew notices a failover only when a write is refused; "
                "allow this user the command INFO",
                where,
                reason,
            )

    # --- outages: logged when they begin and when they end

    def failed(self, where: str, reason: object) -> None:
        """A call got no usable answer."""
        now = asyncio.get_running_loop().time()
        # A later loop's clock may start again at 0.
        if self.away_since is None or self.away_since > now:
            self.away_since, self._is_logged = now, False
        if not self._is_logged and not 0 <= now - self._logged_at < QUIET:
            self._is_logged = True
            logger.warning(
                "%s can't be used: %s (this is logged once, until it answers again)",
                where,
                without_stop(reason),
            )

    def replaced(self, where: str) -> None:
        """Other nodes of the Cluster do its work now."""
        now = asyncio.get_running_loop().time()
        since, self.away_since = self.away_since, None
        if self._is_logged and since is not None:
            self._is_logged, self._logged_at = False, now
            logger.warning("%s was replaced, after %.1f s", where, max(0.0, now - since))

    def answered(self, where: str) -> None:
        """A call got an answer."""
        now = asyncio.get_running_loop().time()
        since, self.away_since = self.away_since, None
        if self._is_logged and since is not None:
            self._is_logged, self._logged_at = False, now
            logger.warning("%s answers again, after %.1f s", where, max(0.0, now - since))
