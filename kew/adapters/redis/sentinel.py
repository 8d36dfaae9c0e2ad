"""A Redis that Sentinels watch: they name its primary, and announce when another server becomes it.

Each new connection asks a Sentinel first, so whatever breaks a connection also finds the new primary. An announcement
replaces the connections that still work: a primary that was cut off would go on taking writes that are lost later.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import attrs
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from kew.adapters.redis.address import Address, NotThePrimary, WireConnection, address, writer_of
from kew.adapters.redis.endpoint import Endpoint, endpoints
from kew.adapters.redis.refusals import without_stop
from kew.adapters.redis.wire import DirectWire, ListeningWire, ReplyError, packed
from kew.compat import override
from kew.domain.errors import InvalidConfigError
from kew.log import logger

SCHEMES: Final = ("redis+sentinel", "rediss+sentinel")
FORM: Final = (
    "redis+sentinel://[[user]:password@]host:port,host:port/service[/db], rediss+sentinel://... for TLS; user and "
    "password are those of Redis, and sentinel_username and sentinel_password after a ? those of the Sentinels; "
    "special characters are written as %XX"
)
SENTINEL_PORT: Final = 26379
ANSWER: Final = 1.0  # seconds that one Sentinel has to connect and answer, before the next is asked
# The Sentinel that leads a failover names the new primary from the second of these on, but announces it only when the
# other replicas follow it, up to seconds later. The others announce it at once.
CHANNELS: Final = ("+switch-master", "+failover-state-reconf-slaves")
CHECK_EVERY: Final = 15.0  # seconds between two questions whether an announcement was missed
PAUSE: Final = 0.5  # seconds after a Sentinel could not be followed


@attrs.frozen(kw_only=True)
class SentinelAddress(Address):
    """A service by its name, and the Sentinels to ask for its primary; the one that answered last is asked first."""

    service: str
    sentinels: list[Endpoint]
    sentinel_options: dict[str, Any] = attrs.field(repr=False)

    async def primary(self) -> tuple[str, int]:
        """Host and port of the primary. Raises ConnectionError if no Sentinel names one."""
        reasons = []
        for sentinel in list(self.sentinels):
            try:
                async with asyncio.timeout(ANSWER):
                    found = await self._named_by(sentinel)
            except (RedisError, OSError, ReplyError) as error:
                reasons.append(f"{sentinel}: {without_stop(error) or 'no answer in time'}")
                continue
            if found is not None:
                self.sentinels.remove(sentinel)
                self.sentinels.insert(0, sentinel)
                return found
            reasons.append(f"{sentinel} knows no service of this name")
        raise ConnectionError(
            f"no Sentinel names the primary of {self.service!r} ({'; '.join(reasons)})"
        )

    @override
    async def facts(self) -> Mapping[str, str]:
        """`kew_sentinels`: how many there are; `kew_sentinels_amiss`: those that name another primary, or none."""
        found = [await self._said_by(sentinel) for sentinel in sorted(self.sentinels, key=str)]
        host, port = await self.primary()
        amiss = [f"{each}: {said}" for each, said in found if said != f"{host}:{port}"]
        return {"kew_sentinels": str(len(found)), "kew_sentinels_amiss": "; ".join(amiss)}

    async def _said_by(self, sentinel: Endpoint) -> tuple[Endpoint, str]:
        """What this one says of the primary, in words."""
        try:
            async with asyncio.timeout(ANSWER):
                named = await self._named_by(sentinel)
        except (RedisError, OSError, ReplyError) as error:
            return sentinel, without_stop(error) or "no answer in time"
        return (
            sentinel,
            "knows no service of this name" if named is None else f"{named[0]}:{named[1]}",
        )

    @override
    async def located(self) -> WireConnection:
        host, port = await self.primary()
        return attrs.evolve(self, options={**self.options, "host": host, "port": port}).connection()

    @override
    async def check_role(self, wire: DirectWire, seconds: float) -> None:
        try:
            await super().check_role(wire, seconds)
        except NotThePrimary as error:
            # Nothing is wrong with the URL, so no advice: the server is being promoted, or was just demoted.
            raise ConnectionError(f"the server that the Sentinels name: {error}") from error

    @override
    async def follow(self) -> None:
        known: tuple[str, int] | None = None
        while True:
            try:
                known = await self.primary()  # asks the next Sentinel if the first is gone
                await self._follow(self.sentinels[0], known)
            except (RedisError, OSError, ReplyError) as error:
                logger.debug("no Sentinel to follow: %s", error)
            await asyncio.sleep(PAUSE)

    async def _follow(self, sentinel: Endpoint, known: tuple[str, int]) -> None:
        """Return once this Sentinel has hung up, or names another primary than the one that was known."""
        moved: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_message(message: bytes) -> None:
            service, to = _announced(message)
            if service == self.service and to != known and not moved.done():
                moved.set_result(None)
                self._moved(message.decode(errors="replace"))

        connection = self._connection(sentinel)
        try:
            async with asyncio.timeout(ANSWER):
                await connection.connect()
                wire = ListeningWire(writer_of(connection), on_message)
        except BaseException:
            await _disconnect(connection)
            raise
        try:
            for channel in CHANNELS:
                reply = await wire.answer(packed("SUBSCRIBE", channel), ANSWER)
                if isinstance(reply, ReplyError) and channel is CHANNELS[0]:
                    raise reply
            # What was announced before the subscription stood would be missed for ever.
            while not wire.ended.done():
                if await self.primary() != known and not moved.done():
                    self._moved(f"{self.service}: {sentinel} names another primary")
                    return
                ends = (wire.ended, moved)
                await asyncio.wait(ends, timeout=CHECK_EVERY, return_when=asyncio.FIRST_COMPLETED)
                if moved.done():
                    return
        finally:
            wire.drop()

    def _moved(self, why: str) -> None:
        self.route.start_generation(why)

    async def _named_by(self, sentinel: Endpoint) -> tuple[str, int] | None:
        """The primary by this Sentinel; None: it doesn't watch the service."""
        connection = self._connection(sentinel)
        try:
            await connection.connect()
            wire = DirectWire(writer_of(connection))
        except BaseException:
            await _disconnect(connection)
            raise
        try:
            question = packed("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)
            reply = await wire.answer(question, ANSWER)
        finally:
            wire.drop()
        if isinstance(reply, ReplyError):
            raise reply
        return (reply[0].decode(), int(reply[1])) if reply else None

    def _connection(self, sentinel: Endpoint) -> WireConnection:
        return self.connection_class(
            **self.sentinel_options,
            host=sentinel.host,
            port=sentinel.port,
            socket_connect_timeout=ANSWER,
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )


def _announced(message: bytes) -> tuple[str, tuple[str, int] | None]:
    """The service that moves, and to which address, if the message says so."""
    words = message.decode(errors="replace").split(" ")
    match words:
        case [service, _, _, host, port] if port.isdecimal():  # +switch-master
            return service, (host, int(port))
        case ["master", service, _, _]:
            return service, None
    return words[0], None


async def _disconnect(connection: WireConnection) -> None:
    with contextlib.suppress(RedisError, OSError):
        await connection.disconnect(nowait=True)


def sentinel_address(
    url: str, *, connect_timeout: float = 2.0, timeout: float = 5.0, client_name: str = ""
) -> SentinelAddress:
    """Read the URL of a service. Raises `InvalidConfigError`, which quotes no part of it."""
    read = _read(url)
    if read is None:
        raise InvalidConfigError(f"the URL of the Sentinels can't be read; it looks like {FORM}")
    sentinels, service, options, plain = read
    base = address(plain, connect_timeout=connect_timeout, timeout=timeout, client_name=client_name)
    tls = {name: value for name, value in base.options.items() if name.startswith("ssl_")}
    same = {field.name: getattr(base, field.name) for field in attrs.fields(Address)}
    same["where"] = f"{','.join(map(str, sentinels))}/{service}"
    return SentinelAddress(
        **same, service=service, sentinels=sentinels, sentinel_options={**tls, **options}
    )


def _read(url: str) -> tuple[list[Endpoint], str, dict[str, str], str] | None:
    """The Sentinels, the service, how to log in at the Sentinels, and the URL of a server behind them."""
    try:
        parts = urlsplit(url)
        user, at, hosts = parts.netloc.rpartition("@")
        sentinels = endpoints(hosts, SENTINEL_PORT)
        service, _, database = parts.path.strip("/").partition("/")
        query = dict(
            parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        )
    except ValueError:
        return None
    if not service or "@" in user + parts.path or parts.fragment:
        return None
    options = {
        name: query.pop(f"sentinel_{name}")
        for name in ("username", "password")
        if f"sentinel_{name}" in query
    }
    if query.get("durability") == "fsync":  # on one disk alone, it would be lost in a failover
        query.setdefault("replicas", "1")
    plain_scheme = parts.scheme.partition("+")[0]
    plain = f"{plain_scheme}://{user}{at}{sentinels[0]}/{database}"
    return sentinels, service, options, plain + (f"?{urlencode(query)}" if query else "")
