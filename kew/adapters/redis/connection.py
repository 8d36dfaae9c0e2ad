"""Connections to one Redis: how to make one, and a few long-lived ones that calls share.

redis-py repeats nothing here (its `Retry` is told not to): a lost reply would otherwise run a script
twice behind kew's back. Each call that isn't answered says which of two things happened: `Refused`, surely
not executed, or `Ambiguous`. A connection with a reply pending (a timeout, a cancelled call) is dropped,
never used again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import attrs
import hiredis
from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from kew.adapters.redis.scripts import Argument
from kew.app.ports import Ambiguous, Refused
from kew.domain.errors import InvalidConfigError

URL_FORMS: Final = (
    "redis://[[user]:password@]host[:port][/db], rediss://... for TLS, "
    "or unix://[[user]:password@]/path/to/redis.sock[?db=0]; "
    "special characters in a password are written as %XX"
)
NOT_EXECUTED: Final = (
    OutOfMemoryError,
    ReadOnlyError,
    BusyLoadingError,
    ClusterDownError,  # and MASTERDOWN
    AuthenticationError,
    NoPermissionError,
)
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
NOT_EXECUTED_CODES: Final = ("BUSY", "MISCONF", "NOREPLICAS", "TRYAGAIN", "LOADING", "MASTERDOWN")


class ScriptMissing(Refused):
    """The server doesn't have the script: it restarted, failed over or was flushed."""


class WireConnection(Protocol):
    """What kew uses of redis.asyncio's `Connection`; another class with this face may be injected."""

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


def address(
    url: str,
    *,
    connect_timeout: float = 2.0,
    timeout: float = 5.0,
    connection_class: ConnectionClass | None = None,
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
        connection_class=connection_class or known_class,
    )
    try:
        found.connection()
    except (TypeError, ValueError, RedisError):
        raise InvalidConfigError(
            f"the Redis URL has an option that redis-py doesn't know; it looks like {URL_FORMS}"
        ) from None
    return found


def packed(*command: Argument) -> bytes:
    """A command as Redis reads it."""
    request: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub means a 1-tuple
    return request


class Lines:
    """Up to `size` connections, each with one command in flight; further calls wait for one to be free."""

    def __init__(self, address: Address, size: int) -> None:
        self._address = address
        self._slots = asyncio.Semaphore(size)
        self._free: list[WireConnection] = []
        self._closed = False

    async def call(self, request: bytes) -> Any:
        """The reply. Raises `Refused` or `Ambiguous`; cancelled, the command may have been executed."""
        failure: type[Refused | Ambiguous] = Refused
        where = self._address.where
        try:
            async with asyncio.timeout(self._address.timeout), self._slots:
                line = await self._connected()
                failure = Ambiguous
                return await self._exchange(line, request)
        except NoScriptError as error:
            raise ScriptMissing("the server doesn't have the script") from error
        except ResponseError as error:
            raise _error_reply(error)(f"Redis at {where}: {error}") from error
        except BusyLoadingError as error:
            raise Refused(f"Redis at {where} is loading its data") from error
        except TimeoutError:
            raise failure(f"Redis at {where} gave no answer in {self._address.timeout} s") from None
        except (RedisError, OSError) as error:
            raise failure(f"Redis at {where}: {error}") from error

    def open(self) -> None:
        """Keep connections from now on; they are made when they are needed."""
        self._closed = False

    async def close(self) -> None:
        """Disconnect; calls in flight end as they end, and their connections are not kept."""
        self._closed = True
        while self._free:
            await _drop(self._free.pop())

    async def _connected(self) -> WireConnection:
        while self._free:
            line = self._free.pop()
            if not _is_ended(line):
                return line
            await _drop(line)
        line = self._address.connection()
        try:
            await line.connect()
        except BaseException:
            await _drop(line)
            raise
        return line

    async def _exchange(self, line: WireConnection, request: bytes) -> Any:
        try:
            await line.send_packed_command([request], check_health=False)
            reply = await line.read_response()
        except ResponseError:
            self._free.append(line)  # an error is a whole reply
            raise
        except BaseException:
            await _drop(line)
            raise
        if self._closed:
            await _drop(line)
        else:
            self._free.append(line)
        return reply


async def _drop(line: WireConnection) -> None:
    with contextlib.suppress(RedisError, OSError):
        await line.disconnect(nowait=True)


def _is_ended(line: WireConnection) -> bool:
    """The server hung up while nobody was reading: seen before sending, it leaves nothing in doubt."""
    reader = getattr(line, "_reader", None)  # redis-py has no public way to ask that costs nothing
    return reader is None or bool(reader.at_eof())


def _error_reply(error: ResponseError) -> type[Refused | Ambiguous]:
    """An error inside a script may come after its first write; these come before."""
    before = isinstance(error, NOT_EXECUTED) or str(error).startswith(NOT_EXECUTED_CODES)
    return Refused if before else Ambiguous
