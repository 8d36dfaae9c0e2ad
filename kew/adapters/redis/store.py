"""The Redis store: an operation is one Redis function, one round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import attrs

from kew.adapters.redis import processes, queues, runs, schedules, tasks
from kew.adapters.redis.address import Address
from kew.adapters.redis.arguments import (
    LEASES_AT_ONCE,
    SETTLED_BYTES_AT_ONCE,
    FunctionCall,
    along_arguments,
    claim_arguments,
    pieces,
    settle_arguments,
    submit_arguments,
)
from kew.adapters.redis.aside import Aside
from kew.adapters.redis.facts import facts_about
from kew.adapters.redis.functions import Functions, Pools, confirmation_of, pools_of
from kew.adapters.redis.keys import Keys
from kew.adapters.redis.library import Library, genuine_library
from kew.adapters.redis.posted import Posted
from kew.adapters.redis.replies import read_grant, read_settled, read_submitted
from kew.adapters.redis.route import Route
from kew.adapters.redis.unstarted import Unstarted
from kew.app.ports import OnAnswer, Operation, Settled, StoreError, Submitted, TaskStore
from kew.compat import override
from kew.domain.requests import ALONE, Along, ClaimRequest, Grant, Group, Settlement, Word

A = TypeVar("A")


class RedisStore(TaskStore):
    """A namespace of queues in one Redis.

    `library` is for tests with another clock, `checks` for simulated servers, which lack INFO. `pools`: other
    connections than those to `address`.
    """

    def __init__(
        self,
        address: Address,
        namespace: str = "kew",
        *,
        library: Library | None = None,
        checks: bool = True,
        partition: int | None = None,
        pools: Pools | None = None,
    ) -> None:
        self._address = address
        self.keys = Keys(namespace, partition)
        self._checks = checks
        if pools is None:
            pools = pools_of(address, confirmation_of(address, self.keys))
        self.functions = Functions(address, pools, library or genuine_library(), self.keys)
        self.aside = Aside(lambda queue, refs: self.functions.ask("set_aside", queue, {}, refs))
        self.unstarted = Unstarted(self.functions) if self.functions.is_confirmed else None
        self._clock_ahead_ms = 0.0  # of the store's clock before this loop's: a hint for peek alone

    @property
    def address(self) -> Address:
        """Where Redis is."""
        return self._address

    def __repr__(self) -> str:
        return f"RedisStore({self._address.where!r}, namespace={self.keys.namespace!r})"

    @override
    async def open(self) -> None:
        self.functions.open()
        if self._checks:
            await self.functions.check()

    @override
    async def close(self) -> None:
        await self.aside.close()
        if self.unstarted is not None:
            await self.unstarted.close()
        await self.functions.close()

    @override
    def apart(self) -> TaskStore:
        address = attrs.evolve(self._address, route=Route())
        library, namespace = self.functions.library, self.keys.namespace
        return RedisStore(address, namespace, library=library, checks=False)

    @override
    async def facts(self) -> Mapping[str, str]:
        functions = self.functions
        return await facts_about(
            functions.questions,
            self._address,
            functions.library,
            self.keys,
            commands=functions.commands,
        )

    @override
    async def do(self, operation: Operation[A]) -> A:
        answer: A = await HANDLERS[type(operation)](self, operation)
        return answer

    # --- what every task goes through

    @override
    async def submit(
        self, queue: str, groups: Collection[Group], along: Along = ALONE
    ) -> Submitted:
        reply = await self._reply(queue, self._submit_call(queue, groups, along), 2)
        return self._read_submitted(queue, groups, along, reply)

    @override
    def post(
        self, queue: str, groups: Collection[Group], along: Along, on_answer: OnAnswer
    ) -> asyncio.Future[Submitted]:
        pool = self.functions.work
        link = pool.at_hand()
        if link is None:  # to have one takes waiting
            return super().post(queue, groups, along, on_answer)
        try:
            call = self._submit_call(queue, groups, along)
        except BaseException:
            pool.unsent(link)
            raise
        read = partial(self._read_submitted, queue, groups, along)
        if self.unstarted is not None:
            on_answer = self.unstarted.refusing(queue, 2, on_answer)
        posted = Posted(pool, link, read=read, on_answer=on_answer)
        posted.send(call.packed)
        return posted

    def _submit_call(self, queue: str, groups: Collection[Group], along: Along) -> FunctionCall:
        if along is ALONE:
            return self.functions.make("submit_alone", queue, {}, submit_arguments(groups))
        rest = submit_arguments(groups)
        if along.settlements:
            rest = settle_arguments(along.settlements) + rest
        return self.functions.make("submit", queue, along_arguments(along), rest)

    def _read_submitted(
        self, queue: str, groups: Collection[Group], along: Along, reply: Any
    ) -> Submitted:
        self.saw(reply[0])
        if along is ALONE:  # then the reply has no records
            return read_submitted(groups, along, reply)
        submitted = self.aside.read(queue, read_submitted, groups, along, reply)
        return submitted if self.unstarted is None else self.unstarted.answer(queue, submitted)

    @override
    async def claim(self, queue: str, request: ClaimRequest) -> Grant:
        call = self.functions.make("claim", queue, claim_arguments(request))
        now, answer = await self._reply(queue, call, 1)
        self.saw(now)
        grant = self.aside.read(queue, read_grant, answer) or Grant(word=Word.NO_QUEUE)
        return grant if self.unstarted is None else self.unstarted.without(queue, grant)

    @override
    async def settle(
        self, queue: str, settlements: Sequence[Settlement], claim: ClaimRequest | None = None
    ) -> Settled:
        call = self._settle_call(queue, settlements, claim)
        if len(settlements) <= LEASES_AT_ONCE and len(call.packed) <= SETTLED_BYTES_AT_ONCE:
            return await self._settled(queue, settlements, claim, call)
        *first, last = pieces(settlements)
        settled = [await self._settle(queue, piece, None) for piece in first]
        answer = await self._settle(queue, last, claim)
        outcomes = [outcome for each in (*settled, answer) for outcome in each.outcomes]
        return attrs.evolve(answer, outcomes=outcomes)

    async def _settle(
        self, queue: str, settlements: Sequence[Settlement], claim: ClaimRequest | None
    ) -> Settled:
        call = self._settle_call(queue, settlements, claim)
        return await self._settled(queue, settlements, claim, call)

    def _settle_call(
        self, queue: str, settlements: Sequence[Settlement], claim: ClaimRequest | None
    ) -> FunctionCall:
        rest = settle_arguments(settlements)
        if claim is None:
            return self.functions.make("settle_alone", queue, {}, rest)
        return self.functions.make("settle", queue, claim_arguments(claim), rest)

    async def _settled(
        self,
        queue: str,
        settlements: Sequence[Settlement],
        claim: ClaimRequest | None,
        call: FunctionCall,
    ) -> Settled:
        reply = await self._reply(queue, call, 2)
        self.saw(reply[0])
        settled = self.aside.read(queue, read_settled, settlements, claim, reply)
        return settled if self.unstarted is None else self.unstarted.answer(queue, settled)

    async def _reply(self, queue: str, call: FunctionCall, place: int) -> Any:
        """The reply, which says at this place what a claim brought, if there was one."""
        try:
            return await self.functions.reply(call, queue)
        except StoreError as error:
            if self.unstarted is not None:
                self.unstarted.refuse(queue, error, place)
            raise

    # --- the store's clock

    def saw(self, now_ms: int) -> None:
        """A reply contained this instant of the store's clock."""
        self._clock_ahead_ms = now_ms - asyncio.get_running_loop().time() * 1000

    def believed_ms(self) -> int:
        """The store's time, estimated from the last reply that contained it."""
        return round(asyncio.get_running_loop().time() * 1000 + self._clock_ahead_ms)


HANDLERS: Final[Mapping[type[Operation[Any]], Callable[[RedisStore, Any], Awaitable[Any]]]] = {
    **queues.HANDLERS,
    **processes.HANDLERS,
    **runs.HANDLERS,
    **schedules.HANDLERS,
    **tasks.HANDLERS,
}
"""How the Redis store carries each operation out."""
