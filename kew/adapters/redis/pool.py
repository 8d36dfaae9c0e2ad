"""The connections that calls share: each carries several commands at once when there are more calls than connections.

Each call that isn't answered says which of two things happened: `Refused`, surely not executed, or `Ambiguous`. The
clock of a call starts when it has a connection. A connection that timed out, or that leads to a server that is no
primary, is dropped with all others that are as old.
"""

from __future__ import annotations

import asyncio
from collections import deque
from operator import attrgetter
from typing import Any, Final

from redis.exceptions import BusyLoadingError, RedisError

from kew.adapters.redis.address import Address, NotThePrimary
from kew.adapters.redis.connections import LibraryMissing, Link
from kew.adapters.redis.durability import Confirmation, ConfirmingWire, Unconfirmed
from kew.adapters.redis.refusals import (
    OLD_LAYOUT,
    is_redirect,
    is_unexpected,
    leads_elsewhere,
    old_layout,
    was_not_executed,
    without_stop,
)
from kew.adapters.redis.wire import ReplyError, Wire, packed
from kew.app.ports import Ambiguous, Damaged, Refused, StoreError

NOT_FOUND: Final = "ERR Function not found"
DEPTH: Final = 64  # commands at once on one connection
LONGEST_WAIT: Final = 30.0  # seconds for a connection of this process to be free
ASKING: Final = packed("ASKING")


# Long: one state, who waits for which connection, and every way in which one comes and goes.
# Wide: each of these ways is a method of its own.
class Pool:
    """Up to `size` connections to one address, each with up to `depth` commands at once; further calls wait in turn.

    With a `confirmation`, a call is answered once it is confirmed, or fails with `Ambiguous`.
    """

    def __init__(
        self,
        address: Address,
        size: int,
        depth: int = DEPTH,
        confirmation: Confirmation | None = None,
    ) -> None:
        self._address = address
        self._confirmation = confirmation
        self._route = address.route
        self._size = size
        self._depth = depth
        self._links: list[Link] = []  # those that may be used
        self._idle: list[Link] = []  # those without any command; the last one was used last
        self._connecting = 0
        self._waiting: deque[asyncio.Future[Link | None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False
        self._route.on_renewal(self._renewed)

    async def call(
        self, request: bytes, within: float | None = None, *, is_asking: bool = False
    ) -> Any:
        """The reply. Raises `Refused` or `Ambiguous`; cancelled, the command may have been executed.

        `within` seconds, if that is less than the address's timeout. `is_asking`: of a slot that is being imported.
        """
        link = await self._taken()
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def on_reply(reply: Any) -> None:
            if answer.done():
                link.abandoned -= 1
                self.release(link, reply)
            else:
                self.release(link, reply)
                answer.set_result(reply)

        try:
            if (
                is_asking
            ):  # the next command of the connection is this one: nothing is awaited between them
                link.wire.ask(ASKING, self.give_up_at(within), _ignore)
            link.wire.ask(request, self.give_up_at(within), on_reply)
        except BaseException:
            self.unsent(link)
            raise
        try:
            reply = await answer
        except BaseException:
            if not answer.done() or answer.cancelled():
                self.abandon(link)
            raise
        if isinstance(reply, Exception):
            raise self.store_error_of(reply, within)
        return reply

    def at_hand(self) -> Link | None:
        """A connection for one command, until it is released; None: the call has to wait for one."""
        while self._idle:
            link = self._idle.pop()
            if not link.wire.is_ended:
                link.load = 1
                return link
            self._discard(link)
        if self._waiting or self._has_room:
            return None
        return self._shared()

    def release(self, link: Link, reply: Any) -> None:
        """A command was answered with this, or failed with this error: the next call may have its place."""
        link.load -= 1
        route = self._route
        if isinstance(reply, Exception):
            self._judge(link, reply)
            self._pass_on(link)
            return
        if route.away_since is not None:
            route.answered(self._address.name)
        if self._waiting or link.load or self._is_closed or link.generation != route.generation:
            self._pass_on(link)
        else:  # at hand; if it has ended, it is dropped when it is taken
            self._idle.append(link)

    def abandon(self, link: Link) -> None:
        """The caller of one of its commands has gone: when all have, nothing keeps the connection."""
        link.abandoned += 1
        if link.abandoned == link.load:
            link.load = link.abandoned = 0
            self._discard(link)

    def unsent(self, link: Link) -> None:
        """A command could not be sent on it."""
        link.load -= 1
        if not link.load:
            self._discard(link)

    def give_up_at(self, within: float | None = None) -> float:
        """Until when a call that begins now waits for its reply, in the loop's time."""
        seconds = self._address.timeout if within is None else min(within, self._address.timeout)
        return asyncio.get_running_loop().time() + seconds

    def store_error_of(self, error: Exception, within: float | None = None) -> Exception:
        """What to raise for an error of a wire: `Refused` or `Ambiguous`; what is neither stays as it is."""
        if isinstance(error, TimeoutError):
            raised: StoreError = Ambiguous(self._late(within))
        elif isinstance(error, ReplyError):
            raised = self._answered(error)
        elif isinstance(error, OSError):
            raised = Ambiguous(f"{self._address.name}: {without_stop(error)}")
        else:
            return error
        raised.__cause__ = error
        is_mended = isinstance(raised, LibraryMissing) or is_redirect(error)  # by the next call
        is_outage = not isinstance(error, ReplyError) or leads_elsewhere(error)
        raised.is_logged = is_mended or is_outage or isinstance(error, Unconfirmed)
        return raised

    def open(self) -> None:
        """Keep connections from now on, made when they are needed. Those of another event loop are of no use."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._links, self._idle, self._connecting = [], [], 0
            self._waiting.clear()
        self._is_closed = False

    async def close(self) -> None:
        """Disconnect; calls in flight end as they end, and their connections are not kept."""
        self._is_closed = True
        self._drop_idle()
        if self._confirmation is not None:
            await self._confirmation.close()
        await asyncio.sleep(0)  # the loop closes their sockets in its next turn

    def silent(self, seconds: float) -> list[Link]:
        """The connections with a command that has not been answered for so long, or longer."""
        ends_by = self.give_up_at() - seconds
        return [link for link in self._links if link.wire.oldest_ends_at <= ends_by]

    async def warm(self, count: int) -> None:
        """Have so many connections at hand. Raises `Refused`."""
        while len(self._links) < min(count, self._size):
            link = await self._connected()
            link.load = 0
            self._pass_on(link)

    # --- finding a connection

    @property
    def _has_room(self) -> bool:
        return len(self._links) + self._connecting < self._size

    def _shared(self) -> Link | None:
        """The least busy connection, with one more command."""
        link = min(self._links, key=attrgetter("load"), default=None)
        if link is None or link.load >= self._depth or link.wire.is_ended:
            return None
        link.load += 1
        return link

    async def _taken(self) -> Link:
        """A connection for one command."""
        link = self.at_hand()
        if link is not None:
            return link
        give_up_at = asyncio.get_running_loop().time() + LONGEST_WAIT
        is_next = has_failed = False
        while link is None:
            has_others = bool(self._links or self._connecting)
            if self._has_room and not (has_failed and has_others):
                try:
                    return await self._connected()
                except Refused:
                    if not (self._links or self._connecting):
                        raise
                    has_failed = True  # but there are others
                    link = self._shared()
            else:
                link = await self._turn(give_up_at, is_next=is_next)
                is_next = True
        return link

    async def _turn(self, give_up_at: float, *, is_next: bool) -> Link | None:
        """A connection that has a place for this call; None: look again."""
        turn: asyncio.Future[Link | None] = asyncio.get_running_loop().create_future()
        (self._waiting.appendleft if is_next else self._waiting.append)(turn)
        try:
            async with asyncio.timeout_at(give_up_at):
                return await turn
        except TimeoutError:
            self._return(turn)
            raise Refused(self._crowded) from None
        except asyncio.CancelledError:
            self._return(turn)
            raise

    def _return(self, turn: asyncio.Future[Link | None]) -> None:
        """The call that waited doesn't want its turn any more."""
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            link = turn.result()
            if link is None:
                self._wake(None)
            else:
                link.load -= 1
                self._pass_on(link)

    async def _connected(self) -> Link:
        """A new connection, with one command to come; its other places go to the calls that wait."""
        self._connecting += 1
        try:
            wire = await self._wire()
        except BaseException as error:
            self._connecting -= 1
            self._not_connected(error)
            raise
        self._connecting -= 1
        link = Link(self, wire, self._route.generation)
        link.load = 1
        if not self._is_closed:
            self._links.append(link)
            self._share_out(link)
        return link

    async def _wire(self) -> Wire:
        name = self._address.name
        try:
            wire = await self._address.wire()
            if wire.is_ended:
                wire.drop()
                raise ConnectionError("the connection was closed at once")
        except BusyLoadingError as error:
            raise self._unreachable(f"{name} is loading its data", error) from error
        except NotThePrimary as error:
            raise self._unreachable(f"{name} can't be used: {error}", error) from error
        except TimeoutError as error:
            raise self._unreachable(self._late(), error) from error
        except (RedisError, OSError) as error:
            raise self._unreachable(f"{name}: {without_stop(error)}", error) from error
        return wire if self._confirmation is None else ConfirmingWire(wire, self._confirmation)

    def _unreachable(self, what: str, error: Exception) -> Refused:
        self._route.failed(self._address.name, error if str(error) else "no answer")
        refused = Refused(what)
        refused.is_logged = True
        return refused

    def _not_connected(self, error: BaseException) -> None:
        """One call could not connect: so can't those that wait, if there is no other connection."""
        if not isinstance(error, Refused):
            self._wake(None)  # it was cancelled: another call tries
        elif not self._links and not self._connecting:
            waiting, self._waiting = self._waiting, deque()
            for turn in waiting:
                if not turn.done():
                    refused = Refused(str(error))
                    refused.__cause__, refused.is_logged = error.__cause__, error.is_logged
                    turn.set_exception(refused)

    # --- passing places on

    def _share_out(self, link: Link) -> None:
        while link.load < self._depth and self._wake(link):
            pass

    def _wake(self, link: Link | None) -> bool:
        """Give a place on this connection to the call that has waited longest; None: let it look again."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                if link is not None:
                    link.load += 1
                turn.set_result(link)
                return True
        return False

    def _pass_on(self, link: Link) -> None:
        if self._is_closed or link.generation != self._route.generation or link.wire.is_ended:
            self._retire(link)
        elif not self._wake(link) and not link.load and link not in self._idle:
            self._idle.append(link)

    def _judge(self, link: Link, error: Exception) -> None:
        """After a failure: can this connection, and can those that are as old, still be used?"""
        if isinstance(error, Unconfirmed):  # nothing is wrong with the connection
            return
        if isinstance(error, ReplyError):
            if self._address.is_node and is_redirect(error):
                return
            if leads_elsewhere(error):
                self._route.failed(self._address.name, error)
            elif not is_unexpected(error):
                if self._route.away_since is not None:
                    self._route.answered(self._address.name)
                return
        elif isinstance(error, OSError):
            self._route.failed(self._address.name, error if str(error) else "no answer in time")
        self._retire(link)
        if isinstance(error, TimeoutError) or (
            isinstance(error, ReplyError) and leads_elsewhere(error)
        ):
            self._route.renew(link.generation, error)

    def _retire(self, link: Link) -> None:
        """Begin no command on it any more; those under way go on."""
        if link in self._links:
            self._links.remove(link)
            self._wake(None)
        if not link.load:
            self._discard(link)

    def _discard(self, link: Link) -> None:
        link.wire.drop()
        if link in self._links:
            self._links.remove(link)
            self._wake(None)

    def _renewed(self) -> None:
        """The connections are suspect: replace them before they are used."""
        self._drop_idle()
        busy, self._links = self._links, []
        for _ in busy:
            self._wake(None)

    def _drop_idle(self) -> None:
        idle, self._idle = self._idle, []
        for link in idle:
            self._discard(link)

    # --- what to say

    def _late(self, within: float | None = None) -> str:
        return f"{self._address.name} gave no answer in {within or self._address.timeout} s"

    @property
    def _crowded(self) -> str:
        return (
            f"this process had no connection free for {LONGEST_WAIT:g} s: it makes more calls at once than its "
            f"{self._size} connections to {self._address.name} carry; make fewer at once"
        )

    def _answered(self, error: ReplyError) -> StoreError:
        if str(error) == NOT_FOUND:
            return LibraryMissing(f"{self._address.name} lacks kew's library")
        kind: type[StoreError] = Refused if was_not_executed(error) else Ambiguous
        if error.code == "WRONGTYPE":
            kind = Damaged
        if error.code == OLD_LAYOUT:
            key = str(error).removeprefix(OLD_LAYOUT).split(" script: ")[0].strip()
            return Damaged(f"{self._address.name}: {old_layout(key)}")
        return kind(f"{self._address.name}: {without_stop(error)}")


def _ignore(reply: Any) -> None:
    """The reply to ASKING says nothing; if it failed, so does the request after it."""
