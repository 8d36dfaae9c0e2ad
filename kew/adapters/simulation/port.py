"""A process's end of the network: the store port and the notifications, as the services see them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

from kew.adapters.simulation.hosts import Host
from kew.adapters.simulation.notices import FaultyHub
from kew.app.ports import (
    Bookmark,
    Command,
    DeadLetters,
    Declared,
    Notice,
    OnAnswer,
    QueueStatus,
    Settled,
    Submitted,
    Swept,
    TaskStore,
    Wakeup,
)
from kew.app.spawning import spawn
from kew.compat import override
from kew.domain.config import Settings
from kew.domain.requests import ClaimRequest, Grant, Group, LeaseRef, Settlement, Word
from kew.domain.task import Life, Task

P = ParamSpec("P")
R = TypeVar("R")
MOST_LOOKED_AT = 3  # ended tasks, for a page of dead letters: what a run has takes several


class Carrier(Protocol):
    """What takes a call of the port to the store and brings the reply back: a `Network`, say."""

    async def call(self, host: Host, operation: str, args: tuple[Any, ...]) -> Any:
        """The store's reply. Raises `Ambiguous` or `Refused`."""


class Posted(asyncio.Future[Submitted]):
    """A submit on its way. It tells in the very step that brings the answer, as on a real connection."""

    def __init__(self, submit: Callable[[], Awaitable[Submitted]], on_answer: OnAnswer) -> None:
        super().__init__()
        self._on_answer = on_answer
        self._carrying = spawn(self._carry(submit))

    @override
    def cancel(self, msg: Any | None = None) -> bool:
        if not super().cancel(msg):
            return False
        self._carrying.cancel()
        self.get_loop().call_soon(self._on_answer, self)
        return True

    async def _carry(self, submit: Callable[[], Awaitable[Submitted]]) -> None:
        await asyncio.sleep(0)  # nothing is told before `post` has returned
        try:
            self.set_result(await submit())
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to whoever has the answer
            self.set_exception(error)
        self._on_answer(self)


class FaultyStore(TaskStore):
    """The store, seen through the network."""

    def __init__(self, host: Host, network: Carrier) -> None:
        self._host = host
        self._network = network

    async def _ask(
        self,
        operation: Callable[Concatenate[TaskStore, P], Awaitable[R]],
        *args: P.args,
        **_none: P.kwargs,
    ) -> R:
        return cast("R", await self._network.call(self._host, operation.__name__, args))

    @override
    async def open(self) -> None:
        """The first operation tells whether the store can be reached."""

    @override
    async def close(self) -> None:
        """Nothing to let go of."""

    @override
    async def declare(self, queue: str, settings: Settings) -> Declared:
        return await self._ask(TaskStore.declare, queue, settings)

    @override
    async def settings(self, queue: str) -> tuple[Settings, int] | None:
        return await self._ask(TaskStore.settings, queue)

    @override
    async def announce(
        self,
        queue: str,
        incarnation: str,
        functions: Sequence[str],
        ttl_ms: int,
        gone: Sequence[str] = (),
    ) -> Word:
        return await self._ask(TaskStore.announce, queue, incarnation, functions, ttl_ms, gone)

    @override
    async def depart(self, queue: str, incarnation: str) -> None:
        await self._ask(TaskStore.depart, queue, incarnation)

    @override
    async def submit(
        self, queue: str, groups: Collection[Group], claim: ClaimRequest | None = None
    ) -> Submitted:
        return await self._ask(TaskStore.submit, queue, groups, claim)

    @override
    def post(
        self, queue: str, groups: Collection[Group], claim: ClaimRequest | None, on_answer: OnAnswer
    ) -> asyncio.Future[Submitted]:
        return Posted(partial(self.submit, queue, groups, claim), on_answer)

    @override
    async def claim(self, queue: str, request: ClaimRequest) -> Grant:
        return await self._ask(TaskStore.claim, queue, request)

    @override
    async def settle(
        self, queue: str, settlements: Sequence[Settlement], claim: ClaimRequest | None = None
    ) -> Settled:
        return await self._ask(TaskStore.settle, queue, settlements, claim)

    @override
    async def extend(self, queue: str, refs: Sequence[LeaseRef], lease_ms: int) -> Sequence[Word]:
        return await self._ask(TaskStore.extend, queue, refs, lease_ms)

    @override
    async def sweep(self, queue: str, limit: int) -> Swept:
        return await self._ask(TaskStore.sweep, queue, limit)

    @override
    async def peek(self, queue: str) -> int | None:
        return await self._ask(TaskStore.peek, queue)

    @override
    async def find(self, task_ids: Sequence[str]) -> Sequence[Task | None]:
        return await self._ask(TaskStore.find, task_ids)

    @override
    async def running(self, queue: str) -> Sequence[Task]:
        return await self._ask(TaskStore.running, queue)

    @override
    async def failed(self, queue: str, after: Bookmark | None, limit: int) -> DeadLetters | None:
        return await self._ask(TaskStore.failed, queue, after, min(limit, MOST_LOOKED_AT))

    @override
    async def watch(
        self, queue: str, task_ids: Sequence[str], incarnation: str
    ) -> Sequence[Task | None]:
        return await self._ask(TaskStore.watch, queue, task_ids, incarnation)

    @override
    async def cancel(self, queue: str, task_id: str, life: Life | None) -> Word:
        return await self._ask(TaskStore.cancel, queue, task_id, life)

    @override
    async def replay(self, queue: str, task_id: str, life: Life | None) -> Word:
        return await self._ask(TaskStore.replay, queue, task_id, life)

    @override
    async def control(self, queue: str, command: Command, incarnation: str, sequence: int) -> Word:
        return await self._ask(TaskStore.control, queue, command, incarnation, sequence)

    @override
    async def status(self, queue: str) -> QueueStatus | None:
        return await self._ask(TaskStore.status, queue)

    @override
    async def queues(self) -> Sequence[str]:
        return await self._ask(TaskStore.queues)

    @override
    async def purge(self, queue: str) -> None:
        await self._ask(TaskStore.purge, queue)


class FaultyWakeup(Wakeup):
    """A process's subscription."""

    def __init__(self, host: Host, hub: FaultyHub) -> None:
        self._host = host
        self._hub = hub

    @override
    async def listen(self, incarnation: str, deliver: Callable[[Notice], None]) -> None:
        self._host.incarnation = incarnation
        self._hub.subscribe(self._host, incarnation, deliver)

    @override
    async def close(self) -> None:
        self._hub.remove(self._host.incarnation)
