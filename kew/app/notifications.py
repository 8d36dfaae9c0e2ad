"""Do the store's notifications reach this process? While they don't, it looks for work and results every second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from kew.log import logger

LOOK_EVERY: Final = 1.0  # seconds, while notifications are missing
GRACE: Final = 3.0  # seconds without a subscription before that is worth a warning


class Notifications:
    """The state of one process's subscription. `look` asks the store for what a notification would have reported."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._down_since: datetime | None = None
        self._why = ""
        self._warned_why = ""  # "": not warned
        self._warning: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def status(self) -> str:
        """ "ok", or "down since" an instant in UTC."""
        since = self._down_since
        return "ok" if since is None else f"down since {since.isoformat(timespec='seconds')}"

    def interrupted(self, why: str, *, is_refusal: bool) -> None:
        """There is no subscription, or an attempt to have one again failed."""
        loop = asyncio.get_running_loop()
        self._why = why
        if self._is_closed:
            return
        if self._down_since is None:
            self._down_since = datetime.now(UTC)
            self._looking = loop.call_later(LOOK_EVERY, self._look_again)
            self._warning = loop.call_later(GRACE, self._warn)
        if is_refusal:
            self._warn()

    def resumed(self) -> None:
        """The subscription stands again."""
        self._cancel()
        if self._warned_why:
            logger.warning("notifications arrive again")
        self._down_since, self._warned_why = None, ""

    def close(self) -> None:
        """Look and warn no more."""
        self._is_closed = True
        self._cancel()

    def _cancel(self) -> None:
        for timer in (self._warning, self._looking):
            if timer is not None:
                timer.cancel()
        self._warning = self._looking = None

    def _warn(self) -> None:
        if not self._warned_why:
            self._warned_why = self._why
            logger.warning(
                "no notifications: %s. Meanwhile this process looks for tasks and results every %g s",
                self._why.rstrip("."),
                LOOK_EVERY,
            )

    def _look_again(self) -> None:
        self._looking = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look_again)
        self._look()
