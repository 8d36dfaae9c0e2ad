"""Calling the library's functions: each kind of call has connections of its own, and a lost library is loaded again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kew.adapters.redis.address import Address
from kew.adapters.redis.arguments import FunctionCall, FunctionCalls
from kew.adapters.redis.checks import load
from kew.adapters.redis.keys import Keys
from kew.adapters.redis.library import Argument, Library
from kew.adapters.redis.occupied import Occupied
from kew.adapters.redis.pool import LibraryMissing, Pool
from kew.adapters.redis.wire import packed
from kew.app.ports import Damaged

WORK_WIRES, QUESTION_WIRES, HEARTBEAT_WIRES = 6, 2, 1
# An extension that isn't answered by then is sent on another connection.
ANSWERS_PER_LEASE: Final = 4


class Functions:
    """kew's functions in one Redis.

    Many questions at once delay no work (submits, claims, settles, presence), and neither delays a heartbeat.
    """

    def __init__(self, address: Address, library: Library, keys: Keys) -> None:
        self.library = library
        self.work = Pool(address, WORK_WIRES)
        self.questions = Pool(address, QUESTION_WIRES)
        self.heartbeats = Pool(address, HEARTBEAT_WIRES)
        self._calls = FunctionCalls(library, keys)
        self.make = self._calls.make
        self._occupied = Occupied(self.questions, keys, address.where)

    def open(self) -> None:
        """Keep connections from now on."""
        for pool in (self.work, self.questions, self.heartbeats):
            pool.open()

    async def close(self) -> None:
        """Disconnect."""
        for pool in (self.work, self.questions, self.heartbeats):
            await pool.close()

    async def ask(
        self, name: str, queue: str, named: dict[str, Argument], rest: Sequence[Argument] = ()
    ) -> Any:
        """The reply to a question, or to a request that no task's run waits for."""
        return await self._reply(self.make(name, queue, named, rest), queue, self.questions)

    async def ask_of_each(
        self, name: str, queues: Sequence[str], named: dict[str, Argument]
    ) -> Any:
        """The reply to a question about several queues at once."""
        call = self._calls.make_for_each(name, queues, named)
        return await self._reply(call, "", self.questions)

    async def work_on(
        self, name: str, queue: str, named: dict[str, Argument], rest: Sequence[Argument] = ()
    ) -> Any:
        """The reply to an operation that runs depend on."""
        return await self.reply(self.make(name, queue, named, rest), queue)

    async def reply(self, call: FunctionCall, queue: str) -> Any:
        """The reply to such an operation, already made."""
        return await self._reply(call, queue, self.work)

    async def read(self, queue: str, *command: Argument) -> Any:
        """The reply to a plain command that reads a key of this queue; "": of the namespace."""
        try:
            return await self.questions.call(packed(*command))
        except Damaged as error:
            raise await self._occupied.explained(error, queue) from error.__cause__

    async def extend(self, queue: str, lease_ms: int, rest: Sequence[Argument]) -> Any:
        """The reply to an extension of leases. A connection that is silent is left early enough to try another."""
        call = self.make("extend", queue, {"lease_ms": lease_ms}, rest)
        within = lease_ms / 1000 / ANSWERS_PER_LEASE
        return await self._reply(call, queue, self.heartbeats, within)

    async def _reply(
        self, call: FunctionCall, queue: str, pool: Pool, within: float | None = None
    ) -> Any:
        try:
            return await self._answer(call, pool, within)
        except Damaged as error:
            raise await self._occupied.explained(error, queue) from error.__cause__

    async def _answer(self, call: FunctionCall, pool: Pool, within: float | None) -> Any:
        """The reply; a server that lost the library gets it again, or the operation as a script if it is too full."""
        try:
            return await pool.call(call.packed, within)
        except LibraryMissing:
            if await load(pool, self.library):
                return await pool.call(call.packed, within)
            script = self.library.script(call.operation)
            return await pool.call(packed("EVAL", script, *call.arguments), within)
