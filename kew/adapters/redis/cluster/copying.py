"""Copying a namespace to a Cluster, or from one: each entry goes to the partition of its queue.

Keys have other names there, and hashes of the whole namespace are divided. What partitions have for themselves is not
copied: the target gets its own, and reserves ids as any submit does. What processes last said of themselves is not
copied either. Everything else is as in `kew/adapters/redis/copying.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from kew.adapters.redis.cluster.sides import Name, Side
from kew.adapters.redis.copying import Copied, in_use, unfinished
from kew.domain.errors import StoreUnsuitableError
from kew.domain.partitions import partition_of


class ClusterCopying:
    """A copy between two sides, one of which is a Cluster. Raises `StoreUnavailableError` or `StoreUnsuitableError`."""

    def __init__(self, source: Side, target: Side) -> None:
        self._source = source
        self._target = target

    async def run(self, *, dry_run: bool = False) -> Copied:
        """Copy what the target lacks, and compare all; `dry_run`: only count it."""
        try:
            for side in (self._source, self._target):
                await side.open()
            names = await self._checked()
            if dry_run:
                entries = [await self._source.count(name) for name in names]
                there = [await self._target.count(name) for name in names]
                return Copied(len(names), sum(entries), sum(there))
            await self._target.prepare()
            await self._target.mark("SET", self._source.shown)
            there = [await self._copied(name) for name in names]
            in_use_elsewhere = await self._reserved()
            return await self._compared(names, sum(there), in_use_elsewhere)
        finally:
            for side in (self._source, self._target):
                await side.close()

    async def _checked(self) -> list[Name]:
        """What to copy."""
        source, target = self._source, self._target
        for side in (source, target):
            if listening := await side.processes():
                raise in_use(listening, side.namespace, side.shown)
        names = await source.names()
        if not names:
            raise StoreUnsuitableError(
                f"there is no namespace {source.namespace} at {source.shown}"
            )
        await source.check_layout()
        if origin := await source.mark("GET"):
            raise unfinished(source.namespace, source.shown, origin)
        mark, there = await target.mark("GET"), await target.names()
        if there and mark != source.shown.encode():
            raise StoreUnsuitableError(
                f"there already is a namespace {target.namespace} at {target.shown}, and it is not an unfinished copy "
                "from here: remove it, or choose another target"
            )
        if stray := set(there) - set(names):
            raise StoreUnsuitableError(
                f"the key {min(stray)} is only at {target.shown}, so that is no copy: remove it"
            )
        return names

    async def _copied(self, name: Name) -> int:
        """Copy what the target lacks; how many entries it had already."""
        count, there = await self._source.count(name), await self._target.count(name)
        if there == count:
            return there
        await self._target.clear(name)
        kind = await self._source.kind(name)
        async for piece in self._source.pieces(name):
            if kind is not None and piece:
                await self._target.write(name, kind, piece)
        return 0

    async def _reserved(self) -> list[str]:
        """Reserve the ids of all tasks; those that are in use elsewhere."""
        refused: list[str] = []
        async for piece in self._source.pieces(Name("", b"tasks")):
            by_partition: dict[int, list[str]] = {}
            for queue, entry in piece:
                place = partition_of(queue, len(self._target.keys))
                by_partition.setdefault(place, []).append(entry[0].decode())
            for place, ids in by_partition.items():
                refused += await self._target.reserve(ids, place)
        return refused

    async def _compared(
        self, names: Sequence[Name], already_there: int, refused: Sequence[str]
    ) -> Copied:
        entries, differing = 0, [f"tasks: {task_id}" for task_id in refused]
        for name in names:
            count, digest = await self._source.digest(name)
            entries += count
            if (count, digest) != await self._target.digest(name):
                differing.append(str(name))
        if not differing:
            await self._target.mark("DEL")
        return Copied(len(names), entries, already_there, tuple(differing))
