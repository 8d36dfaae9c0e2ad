"""Calling the library's functions: each kind of call has connections of its own, and a lost library is loaded again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final

import attrs

from kew.adapters.redis.address import Address
from kew.adapters.redis.arguments import FunctionCall, FunctionCalls
from kew.adapters.redis.checks import check, check_confirmed, load
from kew.adapters.redis.connections import Connections, LibraryMissing
from kew.adapters.redis.durability import Confirmation
from kew.adapters.redis.keys import Keys
from kew.adapters.redis.library import Argument, Library
from kew.adapters.redis.occupied import Occupied
from kew.adapters.redis.pool import Pool
from kew.adapters.redis.standstill import Standstill
from kew.adapters.redis.wire import packed
from kew.app.ports import Damaged, Refused

WORK_WIRES, QUESTION_WIRES, HEARTBEAT_WIRES = 6, 2, 1
COMMAND_WIRES = 2  # if commands are confirmed, which takes connections of their own
# An extension that isn't answered by then is sent on another connection.
ANSWERS_PER_LEASE: Final = 4


@attrs.frozen
class Pools:
    """The connections of each kind of call."""

    work: Connections
    questions: Connections
    commands: Connections
    heartbeats: Connections

    def each(self) -> Iterable[Connections]:
        """Each of them once: questions and commands may share theirs."""
        return dict.fromkeys((self.work, self.questions, self.commands, self.heartbeats))

    @property
    def is_confirmed(self) -> bool:
        """Whether changes are confirmed, which takes connections of their own."""
        return self.commands is not self.questions


def confirmation_of(address: Address, keys: Keys) -> Confirmation | None:
    """What confirms changes; None: nothing is to."""
    durability = address.durability
    if durability.is_default:
        return None
    marker = packed("PUBLISH", keys.channel("check"), "")
    standstill = Standstill(address.name, partial(_look_at, address))
    return Confirmation(durability, marker, address.timeout, standstill)


async def _look_at(address: Address) -> None:
    """Connect to where it leads; its route notices if that is another server."""
    (await address.wire()).drop()


def pools_of(address: Address, confirmation: Confirmation | None = None) -> Pools:
    """Those to one server."""
    questions = Pool(address, QUESTION_WIRES)
    return Pools(
        work=Pool(address, WORK_WIRES, confirmation=confirmation),
        questions=questions,
        commands=questions
        if confirmation is None
        else Pool(address, COMMAND_WIRES, confirmation=confirmation),
        heartbeats=Pool(address, HEARTBEAT_WIRES),  # what is lost of these, the next one repeats
    )


class Functions:
    """kew's functions in one Redis.

    Many questions at once delay no work (submits, claims, settles, presence), and neither delays a heartbeat.
    """

    def __init__(self, address: Address, pools: Pools, library: Library, keys: Keys) -> None:
        self.library = library
        self._address = address
        self._keys = keys
        self._pools = pools
        self.work = pools.work
        self.questions = pools.questions
        self.commands = pools.commands
        self.heartbeats = pools.heartbeats
        self.is_confirmed = pools.is_confirmed
        self._calls = FunctionCalls(library, keys)
        self.make = self._calls.make
        self._occupied = Occupied(self.questions, keys, address.where)

    def open(self) -> None:
        """Keep connections from now on."""
        for pool in self._pools.each():
            pool.open()

    async def check(self) -> None:
        """Connect, and see whether this Redis will do. Raises `StoreUnavailableError` or `StoreUnsuitableError`."""
        plain = self.questions if self.is_confirmed else self.work
        await check(plain, self._address, self.library, self._keys)
        if self.is_confirmed:
            await check_confirmed(self.commands, self._address)
        with contextlib.suppress(Refused):
            await self.work.warm(
                2
            )  # or the second of two pieces of a batch would wait for its connection

    async def close(self) -> None:
        """Disconnect."""
        for pool in self._pools.each():
            await pool.close()

    async def ask(
        self, name: str, queue: str, named: dict[str, Argument], rest: Sequence[Argument] = ()
    ) -> Any:
        """The reply to a question, or to a request that no task's run waits for."""
        call = self.make(name, queue, named, rest)
        pool = self.commands if call.operation.changes else self.questions
        return await self._reply(call, queue, pool)

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

    async def reply_unconfirmed(self, call: FunctionCall, queue: str) -> Any:
        """The reply to an operation whose confirmation nothing waits for."""
        return await self._reply(call, queue, self.questions)

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
        self, call: FunctionCall, queue: str, pool: Connections, within: float | None = None
    ) -> Any:
        try:
            return await self._answer(call, pool, within)
        except Damaged as error:
            raise await self._occupied.explained(error, queue) from error.__cause__

    async def _answer(self, call: FunctionCall, pool: Connections, within: float | None) -> Any:
        """The reply; a server that lost the library gets it again, or the operation as a script if it is too full."""
        try:
            return await pool.call(call.packed, within)
        except LibraryMissing:
            if await load(pool, self.library):
                return await pool.call(call.packed, within)
            script = self.library.script(call.operation)
            return await pool.call(packed("EVAL", script, *call.arguments), within)
