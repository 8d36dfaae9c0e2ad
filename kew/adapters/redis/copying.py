"""Copying a namespace from one Redis to another, in bounded steps: no command reads more than a piece of a key.

While it is copied, no process may use it. So an entry that was copied stays as it is, and an interrupted copy goes on
with the keys of which the target has fewer entries. In the end all entries are compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import attrs
from redis.exceptions import RedisError

from kew.adapters.redis.address import Address
from kew.adapters.redis.keys import Keys
from kew.adapters.redis.library import Argument
from kew.adapters.redis.refusals import without_stop
from kew.adapters.redis.wire import ReplyError, Wire, packed
from kew.domain.errors import StoreUnavailableError, StoreUnsuitableError

PIECE: Final = 200  # entries at once, if they are small
PIECE_BYTES: Final = (
    1 << 20
)  # at once, if they aren't: what a slow link carries within the time for an answer
FIRST_PIECE: Final = 4  # entries, of which nothing is known yet
Entry = tuple[bytes, ...]


@attrs.frozen
class Copied:
    """What was done. `differing`: keys that are not the same in the end."""

    keys: int
    entries: int
    already_there: int
    differing: tuple[str, ...] = ()


@attrs.frozen
class Kind:
    """How keys of a type are counted, read and written. `scan` None: by index, or as a whole."""

    count: str
    scan: str | None
    add: str
    width: int  # words of an entry


KINDS: Final = {
    b"hash": Kind("HLEN", "HSCAN", "HSET", 2),
    b"zset": Kind("ZCARD", "ZSCAN", "ZADD", 2),
    b"set": Kind("SCARD", "SSCAN", "SADD", 1),
    b"list": Kind("LLEN", None, "RPUSH", 1),
    b"string": Kind("EXISTS", None, "SET", 1),
}


class Server:
    """One of the two servers, by a connection of its own. Raises `StoreUnavailableError`."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._wire: Wire | None = None

    @property
    def where(self) -> str:
        """Its address, without a password."""
        return self._address.where

    async def call(self, *command: Argument) -> Any:
        """The reply. A connection that broke is made again by the next call."""
        try:
            if self._wire is None or self._wire.is_ended:
                self._wire = await self._address.wire()
            reply = await self._wire.answer(packed(*command), self._address.timeout)
        except (RedisError, OSError) as error:
            reason = without_stop(error) or "no answer in time"
            raise StoreUnavailableError(f"{self._address.name}: {reason}") from error
        if isinstance(reply, ReplyError):
            raise StoreUnsuitableError(f"{self._address.name}: {reply}") from reply
        return reply

    def close(self) -> None:
        """Hang up."""
        if self._wire is not None:
            self._wire.drop()

    async def keys(self, keys: Keys) -> list[bytes]:
        """All keys of the namespace, except for the mark."""
        found, cursor = set[bytes](), b"0"
        while True:
            cursor, some = await self.call("SCAN", cursor, "MATCH", keys.patterns, "COUNT", PIECE)
            found.update(some)
            if cursor == b"0":
                return sorted(found - {keys.copy_mark.encode()})

    async def processes(self, keys: Keys) -> int:
        """How many listen to the namespace's notifications."""
        return len(await self.call("PUBSUB", "CHANNELS", f"{keys.channels}*"))

    async def count(self, key: bytes) -> int:
        """Its entries."""
        kind = await self.kind(key)
        return 0 if kind is None else int(await self.call(kind.count, key))

    async def kind(self, key: bytes) -> Kind | None:
        """Its type; None: there is no such key."""
        name = await self.call("TYPE", key)
        if name not in KINDS and name != b"none":
            text = key.decode(errors="replace")
            raise StoreUnsuitableError(
                f"{text} at {self.where} is a {name.decode()}, which kew never stores"
            )
        return KINDS.get(name)

    async def pieces(self, key: bytes) -> AsyncIterator[list[Entry]]:
        """Its entries, a piece at a time. One may come twice, unless it is a list."""
        kind = await self.kind(key)
        if kind is None:
            return
        if kind.add == "SET":
            yield [(await self.call("GET", key),)]
        elif kind.scan is None:
            first = 0
            while some := await self.call("LRANGE", key, first, first + PIECE - 1):
                yield [(each,) for each in some]
                first += PIECE
        else:
            cursor, count = b"0", FIRST_PIECE
            while True:
                cursor, some = await self.call(kind.scan, key, cursor, "COUNT", count)
                fitting = count * PIECE_BYTES // max(1, sum(map(len, some)))
                count = max(1, min(2 * count, fitting, PIECE))
                yield list(zip(*[iter(some)] * kind.width, strict=True))
                if cursor == b"0":
                    return

    async def digest(self, key: bytes) -> tuple[int, str]:
        """How many entries it has, and a digest of them. The order matters in a list alone."""
        kind, seen, position = await self.kind(key), set[bytes](), 0
        is_list = kind is KINDS[b"list"]
        async for piece in self.pieces(key):
            for entry in piece:
                place = str(position) if is_list else ""
                seen.add(digest_of(entry, place))
                position += 1
        return len(seen), hashlib.blake2b(b"".join(sorted(seen))).hexdigest()


def digest_of(entry: Entry, place: str = "") -> bytes:
    """A digest of one entry; `place`: in a list."""
    text = b"".join(b"%d:%b" % (len(word), word) for word in entry)
    return hashlib.blake2b(text + place.encode(), digest_size=16).digest()


def in_use(processes: int, namespace: str, where: str) -> StoreUnsuitableError:
    """What to raise while so many processes listen."""
    who = "1 process uses" if processes == 1 else f"{processes} processes use"
    return StoreUnsuitableError(
        f"{who} the namespace {namespace} at {where}: "
        "stop all processes first, as what they change meanwhile would be lost"
    )


def unfinished(namespace: str, where: str, origin: bytes) -> StoreUnsuitableError:
    """What to raise for a source that was copied from `origin` in part."""
    return StoreUnsuitableError(
        f"the namespace {namespace} at {where} is an unfinished copy itself, from "
        f"{origin.decode(errors='replace')}: finish that one first"
    )


class Copying:
    """A copy of a namespace from one server to another. Raises `StoreUnavailableError` or `StoreUnsuitableError`."""

    def __init__(self, source: Address, target: Address, namespace: str) -> None:
        self._source = Server(source)
        self._target = Server(target)
        self._keys = Keys(namespace)
        self._origin = f"{source.where}/{source.database}"

    async def run(self, *, dry_run: bool = False) -> Copied:
        """Copy what the target lacks, and compare all; `dry_run`: only count it."""
        try:
            keys = await self._checked()
            if dry_run:
                entries = [await self._source.count(key) for key in keys]
                there = [await self._target.count(key) for key in keys]
                return Copied(len(keys), sum(entries), sum(there))
            await self._target.call("SET", self._keys.copy_mark, self._origin)
            there = [await self._copied(key) for key in keys]
            return await self._compared(keys, sum(there))
        finally:
            self._source.close()
            self._target.close()

    async def _checked(self) -> list[bytes]:
        """The keys to copy."""
        for server in (self._source, self._target):
            if listening := await server.processes(self._keys):
                raise in_use(listening, self._keys.namespace, server.where)
        keys = await self._source.keys(self._keys)
        if not keys:
            raise StoreUnsuitableError(
                f"there is no namespace {self._keys.namespace} at {self._source.where}"
            )
        if origin := await self._source.call("GET", self._keys.copy_mark):
            raise unfinished(self._keys.namespace, self._source.where, origin)
        mark = await self._target.call("GET", self._keys.copy_mark)
        there = await self._target.keys(self._keys)
        if there and mark != self._origin.encode():
            raise StoreUnsuitableError(
                f"there already is a namespace {self._keys.namespace} at {self._target.where} ({len(there)} keys), "
                "and it is not an unfinished copy from here: remove it, or choose another database"
            )
        if stray := set(there) - set(keys):
            raise StoreUnsuitableError(
                f"{min(stray).decode(errors='replace')} is only at {self._target.where}, so that is no copy: remove it"
            )
        return keys

    async def _copied(self, key: bytes) -> int:
        """Copy what the target lacks; how many entries it had already."""
        count, there = await self._source.count(key), await self._target.count(key)
        if there == count:
            return there
        await self._target.call("UNLINK", key)
        kind = await self._source.kind(key)
        async for piece in self._source.pieces(key):
            if kind is not None and piece:
                await self._target.call(kind.add, key, *words(kind, piece))
        if (ttl := await self._source.call("PTTL", key)) > 0:
            await self._target.call("PEXPIRE", key, ttl)
        return 0

    async def _compared(self, keys: Sequence[bytes], already_there: int) -> Copied:
        entries, differing = 0, []
        for key in keys:
            count, digest = await self._source.digest(key)
            entries += count
            if (count, digest) != await self._target.digest(key):
                differing.append(key.decode(errors="replace"))
        if not differing:
            await self._target.call("DEL", self._keys.copy_mark)
        return Copied(len(keys), entries, already_there, tuple(differing))


def words(kind: Kind, piece: Sequence[Entry]) -> list[Argument]:
    """Entries as the command to add them takes them."""
    ordered = [entry[::-1] for entry in piece] if kind.add == "ZADD" else piece
    return [word for entry in ordered for word in entry]
