"""Where Redis is: reading its URL, and opening connections that lead to a primary.

redis-py must not repeat a call (its `Retry` is configured so): after a lost reply, a function would run twice without
kew's knowledge.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import SplitResult, urlsplit

import attrs
import redis
from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from kew.adapters.redis.durability import Durability, read_durability
from kew.adapters.redis.refusals import leads_elsewhere
from kew.adapters.redis.route import Route
from kew.adapters.redis.wire import DirectWire, ListeningWire, OnMessage, ReplyError, Wire, packed
from kew.domain.config import LONGEST_ANSWER
from kew.domain.errors import InvalidConfigError
from kew.log import logger

L = TypeVar("L", bound=DirectWire)
URL_FORMS: Final = (
    "redis://[[user]:password@]host[:port][/db], rediss://... for TLS, "
    "or unix://[[user]:password@]/path/to/redis.sock[?db=0]; "
    "special characters in a password are written as %XX"
)
# A peer that vanished without a word (a host without power, a proxy that forgot) is noticed within a minute; the
# system's own default is two hours.
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
# What a URL may set, besides the options of TLS.
ACCEPTED: Final = {
    *("host", "port", "path", "db", "username", "password", "client_name", "lib_name"),
    *("lib_version", "socket_timeout", "socket_connect_timeout", "socket_keepalive"),
    "socket_read_size",
}
OF_TLS: Final = {
    *("ssl_keyfile", "ssl_certfile", "ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_data", "ssl_ca_path"),
    *("ssl_check_hostname", "ssl_password", "ssl_min_version", "ssl_ciphers"),
    *("ssl_include_verify_flags", "ssl_exclude_verify_flags"),
}
# What kew decides by itself, whatever a URL that other programs use as well says.
IGNORED: Final = {
    *("decode_responses", "encoding", "encoding_errors", "protocol", "legacy_responses"),
    *("retry_on_timeout", "retry_on_error", "health_check_interval"),
}
# Options that people have in their URLs, which a message may name. Any other name may be a piece of a password.
REFUSED: Final = {
    *(
        "max_connections",
        "timeout",
        "retry",
        "single_connection_client",
        "auto_close_connection_pool",
    ),
    *(
        "parser_class",
        "connection_class",
        "socket_type",
        "redis_connect_func",
        "credential_provider",
    ),
    *("ssl", "virtual_host", "prefix", "fanout_prefix", "visibility_timeout", "sentinel_kwargs"),
}


NOT_VISIBLE: Final = re.compile(r"[^!-~]")


class NotThePrimary(ConnectionError):
    """The server at the address doesn't take writes. `remedy` is advice for the author of the URL."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.remedy = remedy


class WireConnection(Protocol):
    """What kew uses of redis.asyncio's `Connection`: it connects, and kew takes its socket over."""

    async def connect(self) -> None: ...

    async def disconnect(self, nowait: bool = False) -> None: ...


ConnectionClass = Callable[..., WireConnection]


@attrs.frozen(kw_only=True)
class Address:
    """Where Redis is and how long to wait for it. The password appears in no repr, message or log line."""

    where: str
    options: dict[str, Any] = attrs.field(repr=False)
    connection_class: ConnectionClass = attrs.field(repr=False)
    connect_timeout: float = 2.0
    timeout: float = 5.0
    client_name: str = ""
    durability: Durability = Durability()
    is_node: bool = (
        False  # of a Cluster: it refers requests to others, and can be used nevertheless
    )
    route: Route = attrs.field(factory=Route, eq=False, repr=False)

    @property
    def name(self) -> str:
        """The server in a message."""
        return f"Redis at {self.where}"

    @property
    def database(self) -> int:
        """The number of the database; 0 without one."""
        return int(self.options.get("db") or 0)

    def connection(self) -> WireConnection:
        """A connection that is not connected yet."""
        return self.connection_class(
            **self.options,
            socket_connect_timeout=self.connect_timeout,
            socket_timeout=None,  # kew has timeouts of its own, that don't cost a task per call
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )

    async def located(self) -> WireConnection:
        """A connection to the server that is the primary now, not connected yet. Raises `RedisError` or OSError."""
        return self.connection()

    async def follow(self) -> None:
        """Replace the connections as soon as another primary is announced. Runs until it is cancelled.

        Returns at once if the address has nothing to follow.
        """

    async def facts(self) -> Mapping[str, str]:
        """What is to be said of the way to the primary, by name; nothing if the address is its own."""
        return {}

    async def wire(self) -> Wire:
        """A new connection to the primary. Raises `RedisError` or OSError, `NotThePrimary` among them."""
        return await self._opened(DirectWire)

    async def listening_wire(self, on_message: OnMessage) -> ListeningWire:
        """The same, for a subscription."""
        return await self._opened(lambda writer: ListeningWire(writer, on_message))

    async def _opened(self, make: Callable[[asyncio.StreamWriter], L]) -> L:
        async with asyncio.timeout(self.timeout):
            connection = await self.located()
        try:
            async with asyncio.timeout(self.timeout):
                await connection.connect()
            wire = make(writer_of(connection))
        except BaseException:
            with contextlib.suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)
            raise
        try:
            self._set_name(wire)
            await self.check_role(wire, self.timeout)
        except BaseException:
            wire.drop()
            raise
        return wire

    def _set_name(self, wire: DirectWire) -> None:
        """Let the server's list of clients say which process this is. A server that refuses it misses nothing else.

        The next command's reply comes after this one's, so nothing waits for it. The process may be a fork of the one
        that read the URL: so its pid is asked for here.
        """
        name = self.client_name or f"{socket.gethostname()}:{os.getpid()}"
        give_up_at = asyncio.get_running_loop().time() + self.timeout
        wire.ask(packed("CLIENT", "SETNAME", _visible(name)), give_up_at, lambda reply: None)

    async def check_role(self, wire: DirectWire, seconds: float) -> None:
        """Raise `NotThePrimary` unless this connection leads to a primary, as far as the server says."""
        reply = await wire.answer(packed("INFO", "server", "replication"), seconds)
        if isinstance(reply, ReplyError):
            if leads_elsewhere(reply):
                raise NotThePrimary(str(reply), "give the address of the primary")
            if reply.code not in ("NOAUTH", "BUSY"):  # the next command gets the same, with advice
                self.route.role_unknown(self.name, reply)
            return
        facts = facts_of(reply)
        if facts.get("redis_mode") == "sentinel":
            raise NotThePrimary(
                "it is a Sentinel",
                "give redis+sentinel://host:port,host:port/service, or the primary's own address",
            )
        if facts.get("role") == "slave":
            primary = f"{facts.get('master_host', '?')}:{facts.get('master_port', '?')}"
            raise NotThePrimary("it is a replica", f"use its primary, {primary}")
        self.route.reached(facts.get("run_id", ""))


def _visible(name: str) -> str:
    """A name as Redis accepts it: without blanks."""
    return NOT_VISIBLE.sub("-", name)


def facts_of(info: bytes) -> dict[str, str]:
    """The reply to INFO."""
    lines = info.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def address(
    url: str,
    *,
    connect_timeout: float = 2.0,
    timeout: float = 5.0,
    client_name: str = "",
) -> Address:
    """Read a URL. Raises `InvalidConfigError`, which quotes no part of the URL that may belong to a password."""
    read = _read(url)
    # Raised here: the error that says why quotes the URL, and would become the context of this one.
    if read is None:
        raise InvalidConfigError(f"the Redis URL can't be read; it looks like {URL_FORMS}")
    options, parts = read
    _check_form(parts, is_socket="path" in options)
    known_class = options.pop("connection_class", Connection)
    durability = read_durability(options)
    _check_options(options, is_tls=parts.scheme == "rediss")
    is_socket = "path" in options
    if not is_socket:
        options = {**OF_TCP, **options}
    found = Address(
        where=options["path"] if is_socket else f"{options['host']}:{options['port']}",
        connect_timeout=options.pop("socket_connect_timeout", connect_timeout),
        timeout=options.pop("socket_timeout", timeout),
        client_name=client_name or str(options.pop("client_name", "") or ""),
        durability=durability,
        options=options,
        connection_class=known_class,
    )
    if not _can_connect(found):
        raise InvalidConfigError(
            f"the Redis URL has an option with a value that redis-py refuses; it looks like {URL_FORMS}"
        )
    _check_timeout(found.timeout)
    return found


def _read(url: str) -> tuple[dict[str, Any], SplitResult] | None:
    try:
        return dict(parse_url(url)), urlsplit(url)
    except (ValueError, TypeError, AttributeError):
        return None


def _can_connect(found: Address) -> bool:
    try:
        found.connection()
    except (TypeError, ValueError, RedisError):
        return False
    return True


def _check_form(parts: SplitResult, *, is_socket: bool) -> None:
    """Refuse a URL that a special character in the password has cut into other pieces than meant."""
    _, at, _ = parts.netloc.rpartition("@")
    is_cut = bool(parts.netloc and not at) if is_socket else "@" in parts.query
    before, at, after = parts.path.rpartition("@")
    # A socket's own path may have an @ (redis@1.sock); one after a colon or before a slash ends a password.
    is_password_in_path = at and (not is_socket or ":" in before or after.startswith("/"))
    if is_cut or is_password_in_path or parts.fragment:
        raise InvalidConfigError(
            "the Redis URL can't be read: a special character must be written as %XX "
            f"(@ is %40, / is %2F, ? is %3F, # is %23); it looks like {URL_FORMS}"
        )
    path = parts.path.strip("/")
    has_database = is_socket or not path or path.isdecimal()
    if not has_database or (parts.scheme == "unix" and not is_socket):
        raise InvalidConfigError(
            f"the Redis URL names no usable database; it looks like {URL_FORMS}"
        )


def _check_options(options: dict[str, Any], *, is_tls: bool) -> None:
    """Drop what kew decides by itself, and refuse what it can't use."""
    ignored = sorted(IGNORED & options.keys())
    for name in ignored:
        del options[name]
    if ignored:
        logger.debug("the Redis URL's %s is ignored: kew decides it itself", ", ".join(ignored))
    unusable = options.keys() - ACCEPTED - (OF_TLS if is_tls else set())
    if unusable & OF_TLS:
        raise InvalidConfigError(f"the Redis URL's {_listed(unusable & OF_TLS)} needs rediss://")
    if unusable & REFUSED:
        raise InvalidConfigError(
            f"kew doesn't accept {_listed(unusable & REFUSED)} in a Redis URL: remove it "
            "(kew keeps a few connections of its own; it accepts db, client_name, socket_timeout, "
            "socket_connect_timeout and the ssl_ options)"
        )
    if unusable:
        raise InvalidConfigError(
            f"the Redis URL has an option that kew doesn't know; it looks like {URL_FORMS}"
        )


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))


def _check_timeout(seconds: float) -> None:
    if not 0 < seconds <= LONGEST_ANSWER:
        raise InvalidConfigError(
            f"socket_timeout takes more than 0 and at most {LONGEST_ANSWER:g} s: a repeated submit must meet its record"
        )


def writer_of(connection: Any) -> asyncio.StreamWriter:
    """What the connection writes to. redis-py has no public way to take its socket over."""
    writer = getattr(connection, "_writer", None)
    if not isinstance(writer, asyncio.StreamWriter):
        raise RedisError(f"kew doesn't know redis-py {redis.__version__} yet: use an earlier one")
    connection._reader = connection._writer = None
    return writer
