"""Connections to one Redis: how to make one, and a few long-lived ones that calls share.

redis-py repeats nothing here (its `Retry` is told not to): a lost reply would otherwise run a function
twice behind kew's back. Each call that isn't answered says which of two things happened: `Refused`, surely
not executed, or `Ambiguous`. A connection with a reply pending (a timeout, a cancelled call) is dropped,
never used again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import attrs
import hiredis
import redis
from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError

from kew.adapters.redis.library import Argument
from kew.adapters.redis.line import DirectLine, Line, ReplyError
from kew.adapters.redis.pool import Pool
from kew.app.ports import Ambiguous, Refused, StoreError
from kew.domain.config import LONGEST_ANSWER
from kew.domain.errors import InvalidConfigError

URL_FORMS: Final = (
    "redis://[[user]:password@]host[:port][/db], rediss://... for TLS, "
    "or unix://[[user]:password@]/path/to/redis.sock[?db=0]; "
    "special characters in a password are written as %XX"
)
# Replies of a server that did nothing. An error within a function may come after its first write; these come before.
NOT_EXECUTED: Final = {
    *("OOM", "READONLY", "LOADING", "CLUSTERDOWN", "MASTERDOWN", "NOAUTH", "WRONGPASS", "NOPERM"),
    *("BUSY", "MISCONF", "NOREPLICAS", "TRYAGAIN"),
}
# A peer that vanished without a word (a host without power, a proxy that forgot) is found out within a minute: nothing
# else would tell a connection that only listens, and the system's own default is two hours.
KEEPALIVE: Final = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}
OF_TCP: Final[dict[str, Any]] = {
    "host": "localhost",
    "port": 6379,
    "socket_keepalive": True,
    "socket_keepalive_options": KEEPALIVE,
}


class LibraryMissing(Refused):
    """The server doesn't have the library: it is new, lost its memory, or was flushed."""


class WireConnection(Protocol):
    """What kew uses of redis.asyncio's `Connection`, to connect and to listen."""

    async def connect(self) -> None: ...

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None: ...

    async def read_response(self) -> Any: ...

    async def disconnect(self, nowait: bool = False) -> None: ...


ConnectionClass = Callable[..., WireConnection]


@attrs.frozen(kw_only=True)
class Address:
    """Where Redis is and how long to wait for it. The password shows in no repr, message or log line."""

    where: str
    options: dict[str, Any] = attrs.field(repr=False)
    connection_class: ConnectionClass = attrs.field(repr=False)
    connect_timeout: float = 2.0
    timeout: float = 5.0

    def connection(self) -> WireConnection:
        """A connection that is not connected yet."""
        return self.connection_class(
            **self.options,
            socket_connect_timeout=self.connect_timeout,
            socket_timeout=None,  # kew has timeouts of its own, that don't cost a task per call
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )

    async def line(self) -> Line:
        """A connected line. Raises `RedisError` or OSError."""
        connection = self.connection()
        try:
            await connection.connect()
            return DirectLine(_writer_of(connection))
        except BaseException:
            with contextlib.suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)
            raise


def address(
    url: str,
    *,
    connect_timeout: float = 2.0,
    timeout: float = 5.0,
) -> Address:
    """Read a URL; `InvalidConfigError`, which never quotes the URL, for one that can't be."""
    try:
        options: dict[str, Any] = dict(parse_url(url))
        path = urlsplit(url).path.strip("/")
    except (ValueError, TypeError, AttributeError):
        raise InvalidConfigError(
            f"the Redis URL can't be read; it looks like {URL_FORMS}"
        ) from None
    is_socket = "path" in options
    if (not is_socket and path and not path.isdecimal()) or (
        url.startswith("unix") and not is_socket
    ):
        raise InvalidConfigError(
            f"the Redis URL names no usable database; it looks like {URL_FORMS}"
        )
    known_class = options.pop("connection_class", Connection)
    if not is_socket:
        options = {**OF_TCP, **options}
    found = Address(
        where=options["path"] if is_socket else f"{options['host']}:{options['port']}",
        connect_timeout=options.pop("socket_connect_timeout", connect_timeout),
        timeout=options.pop("socket_timeout", timeout),
        options=options,
        connection_class=known_class,
    )
    try:
        found.connection()
    except (TypeError, ValueError, RedisError):
        raise InvalidConfigError(
            f"the Redis URL has an option that redis-py doesn't know; it looks like {URL_FORMS}"
        ) from None
    _check_timeout(found.timeout)
    return found


def _check_timeout(seconds: float) -> None:
    if not 0 < seconds <= LONGEST_ANSWER:
        raise InvalidConfigError(
            f"socket_timeout takes more than 0 and at most {LONGEST_ANSWER:g} s: a repeated submit must meet its record"
        )


def _writer_of(connection: Any) -> asyncio.StreamWriter:
    """What the connection writes to, which it lets go of: redis-py has no public way to take its socket over."""
    writer = getattr(connection, "_writer", None)
    if not isinstance(writer, asyncio.StreamWriter):
        raise RedisError(f"kew doesn't know redis-py {redis.__version__} yet: use an earlier one")
    connection._reader = connection._writer = None
    return writer


def _hand_over(answer: asyncio.Future[Any], reply: Any) -> None:
    if not answer.done():
        answer.set_result(reply)


def packed(*command: Argument) -> bytes:
    """A command as Redis reads it."""
    request: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub means a 1-tuple
    return request


class Lines:
    """Up to `size` connections, each with one command in flight; further calls wait for one to be free."""

    def __init__(self, address: Address, size: int) -> None:
        self._address = address
        self._size = size
        # None: a connection has to be made. These are taken last: one that can't be made keeps nobody from the others.
        self._places: Pool[Line | None] = Pool([None] * size)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def call(self, request: bytes) -> Any:
        """The reply. Raises `Refused` or `Ambiguous`; cancelled, the command may have been executed."""
        give_up_at = self.give_up_at()
        line = await self._taken(give_up_at)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            line.ask(request, give_up_at, partial(_hand_over, answer))
            reply = await answer
        except BaseException:
            line.drop()  # its reply may come yet, and would be taken for that of another call
            raise
        finally:
            self.give_back(line)
        if isinstance(reply, Exception):
            raise self.store_error_of(reply)
        return reply

    def at_hand(self) -> Line | None:
        """A free connection, for one call until it is given back; None: to have one, a call has to wait."""
        while self._places.free:
            line = self._places.take()
            if line is None:
                self._places.give_last(None)
                return None
            if not line.is_ended:
                return line
            line.drop()
            self._places.give_last(None)
        return None

    def give_back(self, line: Line) -> None:
        """The next call may have its place."""
        if self._closed:
            line.drop()
        self._places.give(line)

    def give_up_at(self) -> float:
        """Until when a call that begins now waits for its reply, in the loop's time."""
        return asyncio.get_running_loop().time() + self._address.timeout

    def store_error_of(self, error: Exception) -> Exception:
        """What a caller is told of an error of its line: `Refused` or `Ambiguous`; what is neither stays as it is."""
        if isinstance(error, TimeoutError):
            return Ambiguous(self._late)
        if isinstance(error, ReplyError):
            told = self._answered(error)
        elif isinstance(error, OSError):
            told = Ambiguous(f"{self._where}: {error}")
        else:
            return error
        told.__cause__ = error
        return told

    def open(self) -> None:
        """Keep connections from now on, made when they are needed. Those of another event loop are of no use."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._places = loop, Pool([None] * self._size)
        self._closed = False

    async def close(self) -> None:
        """Disconnect; calls in flight end as they end, and their connections are not kept."""
        self._closed = True
        for line in self._places.free:
            if line is not None:
                line.drop()
        await asyncio.sleep(0)  # the loop closes their sockets in its next turn

    async def warm(self, count: int) -> None:
        """Have so many connections at hand. Raises `Refused`."""
        give_up_at = self.give_up_at()
        taken: list[Line] = []
        try:
            while len(taken) < count:
                taken.append(await self._taken(give_up_at))
        finally:
            for line in taken:
                self.give_back(line)

    async def _taken(self, give_up_at: float) -> Line:
        """A line for one call alone, until it is given back."""
        line = self.at_hand()
        if line is not None:
            return line
        line = self._places.take() if self._places.free else await self._place(give_up_at)
        if line is not None and not line.is_ended:
            return line
        if line is not None:
            line.drop()
        try:
            return await self._connected(give_up_at)
        except BaseException:
            self._places.give_last(None)  # not before those that have a connection
            raise

    async def _place(self, give_up_at: float) -> Line | None:
        try:
            async with asyncio.timeout_at(give_up_at):
                return await self._places.taken()
        except TimeoutError:
            raise Refused(self._late) from None

    async def _connected(self, give_up_at: float) -> Line:
        try:
            async with asyncio.timeout_at(give_up_at):
                line = await self._address.line()
            if line.is_ended:
                line.drop()
                raise ConnectionError("the connection was closed at once")
            return line
        except TimeoutError:
            raise Refused(self._late) from None
        except BusyLoadingError as error:
            raise Refused(f"{self._where} is loading its data") from error
        except (RedisError, OSError) as error:
            raise Refused(f"{self._where}: {error}") from error

    @property
    def _where(self) -> str:
        return f"Redis at {self._address.where}"

    @property
    def _late(self) -> str:
        return f"{self._where} gave no answer in {self._address.timeout} s"

    def _answered(self, error: ReplyError) -> StoreError:
        if str(error) == "ERR Function not found":
            return LibraryMissing(f"{self._where} lacks kew's library")
        kind = Refused if error.code in NOT_EXECUTED else Ambiguous
        return kind(f"{self._where}: {error}")
