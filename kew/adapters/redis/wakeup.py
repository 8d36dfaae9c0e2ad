"""Notifications by pub/sub: one channel per process, on a connection of its own. Quick, and unreliable."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from redis.exceptions import NoPermissionError, RedisError

from kew.adapters.redis.connection import Address, WireConnection, packed
from kew.adapters.redis.keys import Keys
from kew.adapters.redis.records import checked_incarnation
from kew.app.ports import Notice, Resumed, StopAsked, TaskEnded, Wakeup, Woken
from kew.compat import override
from kew.log import logger

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0


class RedisWakeup(Wakeup):
    """Listens on one channel, and connects again whenever it has to."""

    def __init__(self, address: Address, namespace: str = "kew") -> None:
        self._address = address
        self._keys = Keys(namespace)
        self._listening: asyncio.Task[None] | None = None

    @override
    async def listen(self, incarnation: str, deliver: Callable[[Notice], None]) -> None:
        """Returns once the subscription stands or its first attempt failed; further ones follow by themselves."""
        if self._listening is not None:
            raise RuntimeError("a RedisWakeup listens once")
        channel = self._keys.channel(checked_incarnation(incarnation))
        tried = asyncio.Event()
        self._listening = asyncio.create_task(
            self._keep_listening(channel, deliver, tried), name=f"kew wake-ups of {incarnation}"
        )
        await tried.wait()

    @override
    async def close(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()
            await asyncio.wait([listening])

    async def _keep_listening(
        self, channel: str, deliver: Callable[[Notice], None], tried: asyncio.Event
    ) -> None:
        pause, is_first = FIRST_PAUSE, True
        while True:
            connection = self._address.connection()
            try:
                await self._subscribe(connection, channel)
                if not is_first:
                    deliver(Resumed())
                is_first, pause = False, FIRST_PAUSE
                tried.set()
                while True:
                    _deliver(await connection.read_response(), deliver)
            except NoPermissionError as error:
                logger.warning("no wake-ups from %s, only polls: %s", self._address.where, error)
            except (RedisError, OSError) as error:
                logger.debug("wake-ups from %s interrupted: %s", self._address.where, error)
            finally:
                is_first = False
                tried.set()
                with contextlib.suppress(RedisError, OSError):
                    await connection.disconnect(nowait=True)
            await asyncio.sleep(pause)  # an unreachable server is not asked in a tight loop
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _subscribe(self, connection: WireConnection, channel: str) -> None:
        async with asyncio.timeout(self._address.timeout):
            await connection.connect()
            await connection.send_packed_command([packed("SUBSCRIBE", channel)], check_health=False)
            await connection.read_response()


def _deliver(message: object, deliver: Callable[[Notice], None]) -> None:
    """Hand on one pub/sub message; whatever else arrives is none."""
    if isinstance(message, list) and len(message) == 3 and message[0] == b"message":
        try:
            notice = notice_of(message[2])
        except ValueError:
            logger.warning("a wake-up that can't be read: %r", message[2])
            return
        if notice is not None:
            deliver(notice)


def notice_of(text: bytes) -> Notice | None:
    """What the library published; None for what this version doesn't know. Raises ValueError for a stranger's bytes."""
    kind, _, rest = text.decode().partition(" ")
    match kind:
        case "w":
            return Woken(rest)
        case "c":
            queue, task_id = rest.split(" ", 1)
            return StopAsked(queue, task_id)
        case "e":
            return TaskEnded(rest)
    return None
