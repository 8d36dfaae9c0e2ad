"""Partitions as tests see them: a router over memory stores, and ids of which one knows where they are looked up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any, TypeVar

import attrs

from kew.adapters.memory.store import MemoryStore
from kew.app.partitions import PartitionedStore
from kew.app.ports import Declare, Operation, Refused, TaskStore
from kew.compat import override
from kew.domain.config import Settings
from kew.domain.partitions import home_of, partition_of
from kew.domain.requests import Group, GroupOutcome
from kew.domain.task import Task
from tests.support.scene import SteppedClock, group

A = TypeVar("A")


class Watched(TaskStore):
    """A partition that counts what it is asked, and may be cut off."""

    def __init__(self, inner: MemoryStore) -> None:
        self.inner = inner
        self.asked = Counter[str]()
        self.is_cut_off = False

    @override
    async def open(self) -> None:
        """It lives in this process."""

    @override
    async def close(self) -> None:
        """It lives in this process."""

    @override
    async def do(self, operation: Operation[A]) -> A:
        self.asked[operation.name] += 1
        if self.is_cut_off:
            raise Refused("cut off")
        return await self.inner.do(operation)


@attrs.define(eq=False)
class Partitions:
    """A namespace of several partitions."""

    number: int = 3
    clock: SteppedClock = attrs.field(factory=SteppedClock)
    stores: list[Watched] = attrs.field(init=False)
    store: PartitionedStore = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.stores = [Watched(MemoryStore(self.clock)) for _ in range(self.number)]
        self.store = PartitionedStore(self.stores)

    def queue_in(self, partition: int) -> str:
        """The name of a queue that lies there."""
        return next(name for name in names("queue") if self.place_of(name) == partition)

    def place_of(self, queue: str) -> int:
        return partition_of(queue, self.number)

    def id_at(self, home: int, stem: str = "task") -> str:
        """An id that is looked up there."""
        return next(name for name in names(stem) if home_of(name, self.number) == home)

    async def declare(self, *queues: str, **settings: Any) -> None:
        for queue in queues:
            await self.store.do(Declare(queue, Settings(**settings), f"edition of {queue}"))

    async def submit(self, queue: str, *groups: Group | str) -> list[GroupOutcome]:
        wanted = [group(one) if isinstance(one, str) else one for one in groups]
        return list((await self.store.submit(queue, wanted)).outcomes)

    def tasks(self, task_id: str) -> list[Task]:
        """All records of an id."""
        found = [store.inner.namespace.records.get(task_id) for store in self.stores]
        return [task for task in found if task is not None]

    def asked(self) -> int:
        """How many operations the stores were asked for."""
        return sum(store.asked.total() for store in self.stores)


def names(stem: str) -> Iterator[str]:
    """One name after the other."""
    return (f"{stem}-{n}" for n in count())
