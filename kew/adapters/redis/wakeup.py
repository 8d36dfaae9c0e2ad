"""Notifications by pub/sub: one channel per process, on a connection of its own. Quick, and unreliable."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

from redis.exceptions import RedisError

from kew.adapters.redis.address import Address, NotThePrimary
from kew.adapters.redis.checks import page_of
from kew.adapters.redis.keys import Keys
from kew.adapters.redis.records import checked_incarnation
from kew.adapters.redis.wire import ListeningWire, ReplyError, packed
from kew.app.notices import (
    Interrupted,
    Notice,
    Resumed,
    SettingsChanged,
    StopAsked,
    TaskEnded,
    Wakeup,
    Woken,
)
from kew.compat import override
from kew.log import logger

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
# Seconds between two checks that the subscription still leads to a living primary.
CHECK_EVERY: Final = 15.0
CHECK_ANSWER: Final = 3.0  # seconds that the server has to answer one
NOT_DELIVERED: Final = (
    "it accepts the subscription but delivers no message to it; kew's connections must all lead to one server that "
    "supports PUBLISH and SUBSCRIBE"
)
ADVICE: Final = "allow this user {verb} on the channels {channels}; {page} has the ACL line"


class NotDelivered(ConnectionError):
    """A message to the channel was accepted and didn't arrive."""


class RedisWakeup(Wakeup):
    """Listens on one channel, and connects again whenever it has to.

    `partitions` are those of a Cluster that a node at `address` serves: each has a channel of its own there.
    """

    def __init__(
        self, address: Address, namespace: str = "kew", partitions: Sequence[int] = ()
    ) -> None:
        self._address = address
        self._keys = [Keys(namespace, each) for each in partitions] or [Keys(namespace)]
        self._listening: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._subscription: Subscription | None = None
        self._greets_next = True
        self._is_renewed = asyncio.Event()

    @override
    async def listen(self, incarnation: str, deliver: Callable[[Notice], None]) -> None:
        """Returns once the subscription stands or its first attempt failed; further attempts follow by themselves."""
        if self._listening is not None:
            raise RuntimeError("a RedisWakeup listens once")
        self._subscription = None  # one that is left belongs to an event loop that was closed
        self._is_renewed = asyncio.Event()
        self._address.route.on_renewal(self._renewed)
        who = checked_incarnation(incarnation)
        channels = [keys.channel(who) for keys in self._keys]
        tried = asyncio.Event()
        self._listening = asyncio.create_task(
            self._keep_listening(channels, deliver, tried), name=f"kew wake-ups of {incarnation}"
        )
        self._following = asyncio.create_task(
            self._address.follow(), name=f"kew primary of {self._address.where}"
        )
        await tried.wait()

    @override
    async def close(self) -> None:
        self._address.route.off_renewal(self._renewed)
        ended = [task for task in (self._listening, self._following) if task is not None]
        self._listening = self._following = None
        for task in ended:
            task.cancel()
        if ended:
            await asyncio.wait(ended)

    async def _keep_listening(
        self, channels: Sequence[str], deliver: Callable[[Notice], None], tried: asyncio.Event
    ) -> None:
        pause, is_first = FIRST_PAUSE, True
        while True:
            interrupted = Interrupted(f"{self._address.name}: the subscription broke")
            try:
                self._subscription = await self._subscribed(channels, deliver)
                if not is_first:
                    deliver(Resumed())
                is_first, pause = False, FIRST_PAUSE
                tried.set()
                await self._subscription.end()
                pause = FIRST_PAUSE
            except ReplyError as error:
                interrupted = Interrupted(self._advice(error), is_refusal=error.code == "NOPERM")
            except NotDelivered as error:
                interrupted = Interrupted(f"{self._address.name}: {error}", is_refusal=True)
            except (RedisError, OSError) as error:
                interrupted = Interrupted(
                    f"{self._address.name}: {str(error) or 'no answer in time'}"
                )
            finally:
                self._subscription = None
            is_first = False
            deliver(interrupted)
            tried.set()
            await self._rest(pause)  # an unreachable server is not asked in a tight loop
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _rest(self, seconds: float) -> None:
        """Until it is time to try again, or the address is known to lead elsewhere."""
        self._is_renewed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_renewed.wait()

    async def _subscribed(
        self, channels: Sequence[str], deliver: Callable[[Notice], None]
    ) -> Subscription:
        """Connect and subscribe. Raises `ReplyError`, `RedisError` or OSError."""
        heard = asyncio.Event()

        def on_message(message: bytes) -> None:
            heard.set()
            _deliver(message, deliver)

        wire = await self._address.listening_wire(on_message)
        try:
            greets, self._greets_next = self._greets_next, True
            is_versatile = greets and await self._greeted(wire)
            asked = [packed(self._keys[0].subscribe, channel) for channel in channels]
            seconds = self._address.timeout
            for reply in await asyncio.gather(*(wire.answer(each, seconds) for each in asked)):
                if isinstance(reply, ReplyError):
                    raise reply
            await self._check_delivery(channels[0], heard)
        except BaseException:
            wire.drop()
            raise
        if self._address.route.away_since is not None:
            self._address.route.answered(self._address.name)
        return Subscription(self._address, wire, is_versatile=is_versatile)

    async def _check_delivery(self, channel: str, heard: asyncio.Event) -> None:
        """Raise `NotDelivered` if a message that another connection publishes doesn't arrive."""
        try:
            publisher = await self._address.wire()
            try:
                reply = await publisher.answer(
                    packed(self._keys[0].publish, channel, ""), CHECK_ANSWER
                )
            finally:
                publisher.drop()
        except (RedisError, OSError):
            return  # that says nothing of the subscription
        if isinstance(reply, ReplyError):
            return
        try:
            async with asyncio.timeout(CHECK_ANSWER):
                await heard.wait()
        except TimeoutError:
            raise NotDelivered(NOT_DELIVERED) from None

    async def _greeted(self, wire: ListeningWire) -> bool:
        """Whether the server speaks the protocol that keeps messages apart.

        A proxy may hang up instead of answering: the next attempt goes without.
        """
        self._greets_next = False
        greeting = await wire.answer(packed("HELLO", "3"), self._address.timeout)
        self._greets_next = True
        return not isinstance(greeting, ReplyError)

    def _renewed(self) -> None:
        self._is_renewed.set()
        if self._subscription is not None:
            self._subscription.hang_up()

    def _advice(self, error: ReplyError) -> str:
        told = f"{self._address.name} refuses the subscription: {error}"
        if error.code != "NOPERM":
            return told
        keys = self._keys[0]
        page = page_of(self._address)
        return (
            f"{told}; {ADVICE.format(verb=keys.subscribe, channels=keys.channel('*'), page=page)}"
        )


class Subscription:
    """One connection that is subscribed to a channel, until it breaks or becomes suspect."""

    def __init__(self, address: Address, wire: ListeningWire, *, is_versatile: bool) -> None:
        self._address = address
        self._wire = wire
        self._is_versatile = is_versatile  # it takes other commands than PING, too
        self._generation = address.route.generation

    def hang_up(self) -> None:
        """End it now."""
        self._wire.hang_up()

    async def end(self) -> None:
        """Return once it is over: broken, silent, at a server that is no primary, or suspect for another reason."""
        try:
            while True:
                await asyncio.wait([self._wire.ended], timeout=CHECK_EVERY)
                if self._wire.ended.done():
                    return
                await self._check()
        except TimeoutError as error:
            self._suspect(error)
        except NotThePrimary as error:
            self._suspect(error)
        except OSError:
            return
        finally:
            self._wire.drop()

    async def _check(self) -> None:
        """Raise OSError unless the server answers, and is a primary as far as it tells."""
        if self._is_versatile:
            await self._address.check_role(self._wire, CHECK_ANSWER)
        else:
            await self._wire.answer(packed("PING"), CHECK_ANSWER)  # an error is an answer, too

    def _suspect(self, error: OSError) -> None:
        self._address.route.failed(self._address.name, error if str(error) else "no answer in time")
        self._address.route.renew(self._generation, error)


def _deliver(message: bytes, deliver: Callable[[Notice], None]) -> None:
    try:
        notice = notice_of(message)
    except ValueError:
        logger.warning("a notification that can't be read: %r", message)
        return
    if notice is not None:
        deliver(notice)


def notice_of(text: bytes) -> Notice | None:
    """What the library published; None for what this version doesn't know. Raises ValueError for unreadable bytes."""
    kind, _, rest = text.decode().partition(" ")
    match kind:
        case "w":
            return Woken(rest)
        case "c":
            queue, task_id = rest.split(" ", 1)
            return StopAsked(queue, task_id)
        case "e":
            return TaskEnded(rest)
        case "s":
            return SettingsChanged(rest)
    return None
