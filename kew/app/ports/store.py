"""The store: whatever remembers tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeVar, assert_never

from kew.app.ports.answers import Settled, Submitted
from kew.app.ports.operation import Operation
from kew.app.ports.operations import Claim, Settle, Submit
from kew.app.spawning import spawn
from kew.domain.requests import ALONE, Along, ClaimRequest, Grant, Group, Settlement

A = TypeVar("A")
OnAnswer = Callable[["asyncio.Future[Submitted]"], object]


class TaskStore(Protocol):
    """One namespace of queues.

    `do` carries out every operation. What each task goes through has methods as well, since their callers are many:
    a store that overrides these saves the value. They mean the same as `do(Submit(...))` and so on.
    """

    async def open(self) -> None:
        """Connect and check the store. Raises `StoreUnavailableError` or `StoreUnsuitableError`, with advice."""

    async def close(self) -> None:
        """Close all connections. The store keeps its data."""

    def apart(self) -> TaskStore | None:
        """The same store for another event loop, in another thread, not opened yet; None: it lives in one loop."""
        return None

    async def facts(self) -> Mapping[str, str]:
        """What the server says of itself, for people: names and values; nothing if there is no server."""
        return {}

    def id_ending(self, queue: str) -> str:
        """What the generated ids of a queue's tasks end with, so that ids alone say where they are; "": nothing."""
        return ""

    async def do(self, operation: Operation[A]) -> A:
        """The answer to an operation, which says on its class what it does. Raises `StoreError`."""
        ...

    async def submit(
        self, queue: str, groups: Collection[Group], along: Along = ALONE
    ) -> Submitted:
        """See `Submit`."""
        return await self.do(Submit(queue, groups, along))

    def post(
        self, queue: str, groups: Collection[Group], along: Along, on_answer: OnAnswer
    ) -> asyncio.Future[Submitted]:
        """`submit`, begun now, for callers that don't wait: a future with its answer, or the error that it raises.

        `on_answer` is called with it, once and never before this returns: in the call that brings the answer if the
        store can do so, at the latest in the loop's next turn. Cancelled, it is called too, and the submit is in doubt.
        """
        posted = spawn(self.submit(queue, groups, along))
        posted.add_done_callback(on_answer)
        return posted

    async def claim(self, queue: str, request: ClaimRequest) -> Grant:
        """See `Claim`."""
        return await self.do(Claim(queue, request))

    async def settle(
        self, queue: str, settlements: Sequence[Settlement], claim: ClaimRequest | None = None
    ) -> Settled:
        """See `Settle`."""
        return await self.do(Settle(queue, settlements, claim))


async def by_method(store: TaskStore, operation: Submit | Claim | Settle) -> object:
    """The answer to an operation for which the port has a method, by a store that overrides it."""
    match operation:
        case Submit(queue, groups, along):
            return await store.submit(queue, groups, along)
        case Claim(queue, request):
            return await store.claim(queue, request)
        case Settle(queue, settlements, claim):
            return await store.settle(queue, settlements, claim)
        case _:
            assert_never(operation)
