"""Keys that another program has overwritten: Redis says only that some key is of the wrong type, so look for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from kew.adapters.redis.connections import Connections
from kew.adapters.redis.keys import Keys
from kew.adapters.redis.wire import packed
from kew.app.ports import Damaged, StoreError

# What each key is, and a command that only a key of this type accepts.
HASH: Final = ("a hash", ("HEXISTS", ""))
SET: Final = ("a set", ("SCARD",))
LIST: Final = ("a list", ("LLEN",))
SORTED_SET: Final = ("a sorted set", ("ZCARD",))
Kind = tuple[str, tuple[str, ...]]
KINDS: Final = {
    **dict.fromkeys(("tasks", "contents", "state", "hungry"), HASH),
    **dict.fromkeys(("queues", "parked"), SET),
    **dict.fromkeys(("line1", "line2", "line3"), LIST),
    **dict.fromkeys(("waiting1", "waiting2", "waiting3", "leases", "ended"), SORTED_SET),
    **dict.fromkeys(("idle", "workers", "unreadable"), SORTED_SET),
}
OF_A_PROCESS: Final = {"lanes": HASH, "functions": SET}
OF_NO_QUEUE: Final = ("tasks", "contents", "queues")
LOOKED_AT: Final = 100  # processes and functions, each


class Occupied:
    """Finds the keys of a queue that hold something else than kew writes there."""

    def __init__(self, pool: Connections, keys: Keys, where: str) -> None:
        self._pool = pool
        self._keys = keys
        self._where = where

    async def explained(self, error: Damaged, queue: str) -> Damaged:
        """The same error, with the name of the key; as it is if none is found or Redis doesn't answer."""
        try:
            found = await self._find(queue)
        except StoreError:
            return error
        if not found:
            return error
        listed = " and ".join(f"the key {key!r} is not {what}" for key, (what, _) in found)
        explained = Damaged(
            f"Redis at {self._where}: {listed} any more, so another program has overwritten it: move it away (RENAME) "
            f"or remove it (DEL), and keep other programs out of {self._keys.patterns} ({error.__cause__})"
        )
        explained.__cause__ = error.__cause__
        return explained

    async def _find(self, queue: str) -> list[tuple[str, Kind]]:
        expected = {
            self._keys.key(part, "" if part in OF_NO_QUEUE else queue): kind
            for part, kind in KINDS.items()
            if queue or part in OF_NO_QUEUE
        }
        found = await self._wrong(expected.items())
        if found or not queue:
            return found
        return await self._wrong((await self._further(queue)).items())

    async def _further(self, queue: str) -> dict[str, Kind]:
        """The keys of processes and shelves."""
        workers, parked = self._keys.key("workers", queue), self._keys.key("parked", queue)
        processes = await self._pool.call(packed("ZRANGE", workers, 0, LOOKED_AT - 1, "REV"))
        functions = await self._pool.call(packed("SRANDMEMBER", parked, LOOKED_AT))
        further = {
            f"{self._keys.key(part, queue)}:{process.decode()}": kind
            for process in processes
            for part, kind in OF_A_PROCESS.items()
        }
        for function in functions:
            name = function.decode(errors="surrogateescape")
            further |= {f"{parked}:{priority}:{name}": SORTED_SET for priority in (1, 2, 3)}
        return further

    async def _wrong(self, expected: Iterable[tuple[str, Kind]]) -> list[tuple[str, Kind]]:
        pairs = list(expected)
        are_right = await asyncio.gather(*(self._is_right(*pair) for pair in pairs))
        return [pair for pair, is_right in zip(pairs, are_right, strict=True) if not is_right]

    async def _is_right(self, key: str, kind: Kind) -> bool:
        command, *rest = kind[1]
        try:
            await self._pool.call(packed(command, key.encode(errors="surrogateescape"), *rest))
        except Damaged:
            return False
        return True
