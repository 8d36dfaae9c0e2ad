"""A process's end of the network: the store port and the notifications, as the services see them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any, Protocol, TypeVar

import attrs

from kew.app.notices import Notice, Wakeup
from kew.app.ports import ListFailed, ListGroups, OnAnswer, Operation, Submitted, TaskStore
from kew.app.spawning import spawn
from kew.compat import override
from kew.domain.requests import Along, Group
from kew.simulation.hosts import Host
from kew.simulation.notices import FaultyHub

A = TypeVar("A")
MOST_LOOKED_AT = 3  # dead letters or groups, for a page: what a run has takes several


class Carrier(Protocol):
    """What takes an operation to the store and brings the reply back: a `Network`, say."""

    async def call(self, host: Host, operation: Operation[A]) -> A:
        """The store's reply. Raises `Ambiguous` or `Refused`."""
        ...


class SimulatedPost(asyncio.Future[Submitted]):
    """A submit on its way. It calls back in the very step that brings the answer, as on a real connection."""

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
        await asyncio.sleep(0)  # no callback before `post` has returned
        try:
            self.set_result(await submit())
        except Exception as error:  # noqa: BLE001 - any error belongs to the receiver of the answer
            self.set_exception(error)
        self._on_answer(self)


class FaultyStore(TaskStore):
    """The store, seen through the network."""

    def __init__(self, host: Host, network: Carrier) -> None:
        self._host = host
        self._network = network

    @override
    async def open(self) -> None:
        """Do nothing: the first operation shows whether the store can be reached."""

    @override
    async def close(self) -> None:
        """Nothing to close."""

    @override
    async def do(self, operation: Operation[A]) -> A:
        answer: A = await self._network.call(self._host, _in_small_pages(operation))
        return answer

    @override
    def post(
        self, queue: str, groups: Collection[Group], along: Along, on_answer: OnAnswer
    ) -> asyncio.Future[Submitted]:
        return SimulatedPost(partial(self.submit, queue, groups, along), on_answer)


def _in_small_pages(operation: Operation[Any]) -> Operation[Any]:
    if isinstance(operation, ListFailed | ListGroups):
        return attrs.evolve(operation, limit=min(operation.limit, MOST_LOOKED_AT))
    return operation


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
