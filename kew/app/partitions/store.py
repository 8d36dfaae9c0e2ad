"""Several stores as one: each is a partition, and a queue lies in one of them for ever.

What concerns a queue goes to its partition as it is. `routes.py` has the way of every operation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

from kew.app.partitions.reserving import Reservations, one_after_the_other, together
from kew.app.partitions.routes import ROUTES
from kew.app.partitions.submitting import is_at_home, submit
from kew.app.ports import OnAnswer, Operation, Settled, StoreError, Submitted, TaskStore
from kew.app.repeat import Failures, answered
from kew.app.spawning import Owned
from kew.compat import override
from kew.domain.errors import InvalidConfigError, StoreUnsuitableError
from kew.domain.partitions import SLOTS, layout, mark_of, partition_of
from kew.domain.requests import ALONE, Along, ClaimRequest, Grant, Group, Settlement

A = TypeVar("A")


class PartitionedStore(TaskStore):
    """A namespace that is spread over these stores. Their number and order are part of what it has stored."""

    def __init__(self, stores: Sequence[TaskStore]) -> None:
        if not 1 <= len(stores) <= SLOTS:
            raise InvalidConfigError(f"a namespace has 1 to {SLOTS} partitions, not {len(stores)}")
        self.stores = tuple(stores)
        self.reservations = Reservations(self.stores)
        self._places: dict[str, int] = {}
        self._marks: dict[str, str] = {}
        self._tended = 0
        self._tending = Owned("giving back ids", lambda: None)
        what = "partition %s: ids that no task has were not given back"
        self._failures = [Failures(what % number) for number in range(len(stores))]

    # --- its life

    @override
    async def open(self) -> None:
        await together([store.open() for store in self.stores])
        count = len(self.stores)
        checks = [self._is_laid_out(number) for number in range(count)]
        if not all(await together(checks)):
            raise StoreUnsuitableError(
                f"the namespace doesn't consist of these {count} partitions in this order: "
                "connect with the number of partitions with which it was created"
            )

    async def _is_laid_out(self, number: int) -> bool:
        record = layout(number, len(self.stores))
        return await answered(lambda: self.reservations.is_laid_out(record, number))

    @override
    async def close(self) -> None:
        for task in list(self._tending):
            task.cancel()
        await one_after_the_other([store.close for store in self.stores])

    @override
    def apart(self) -> TaskStore | None:
        stores = [store.apart() for store in self.stores]
        found = [store for store in stores if store is not None]
        return PartitionedStore(found) if len(found) == len(stores) else None

    @override
    async def facts(self) -> Mapping[str, str]:
        return {**await self.stores[0].facts(), "partitions": str(len(self.stores))}

    # --- where things are

    def place_of(self, queue: str) -> int:
        """The number of the queue's partition."""
        place = self._places.get(queue)
        if place is None:
            place = self._places[queue] = partition_of(queue, len(self.stores))
        return place

    def store_of(self, queue: str) -> TaskStore:
        """The queue's partition."""
        return self.stores[self.place_of(queue)]

    @override
    def id_ending(self, queue: str) -> str:
        mark = self._marks.get(queue)
        if mark is None:
            mark = self._marks[queue] = mark_of(queue)
        return mark

    # --- operations

    @override
    async def do(self, operation: Operation[A]) -> A:
        answer: A = await ROUTES[type(operation)](self, operation)
        return answer

    @override
    async def submit(
        self, queue: str, groups: Collection[Group], along: Along = ALONE
    ) -> Submitted:
        return await submit(self, queue, groups, along)

    @override
    def post(
        self, queue: str, groups: Collection[Group], along: Along, on_answer: OnAnswer
    ) -> asyncio.Future[Submitted]:
        if is_at_home(groups, self.id_ending(queue)):
            return self.store_of(queue).post(queue, groups, along, on_answer)
        return super().post(queue, groups, along, on_answer)

    @override
    async def claim(self, queue: str, request: ClaimRequest) -> Grant:
        return await self.store_of(queue).claim(queue, request)

    @override
    async def settle(
        self, queue: str, settlements: Sequence[Settlement], claim: ClaimRequest | None = None
    ) -> Settled:
        return await self.store_of(queue).settle(queue, settlements, claim)

    # --- maintenance

    def tend_next(self) -> None:
        """Look through the reservations of one partition after the other, each time this is called, one at a time."""
        if not self._tending:
            self._tended = (self._tended + 1) % len(self.stores)
            self._tending.begin(self._tend(self._tended))

    async def _tend(self, number: int) -> None:
        try:
            await self.reservations.tend(number)
        except StoreError as error:
            self._failures[number].add(error)
        else:
            self._failures[number].end()
