"""How the Redis adapter reaches a Redis in this process: a connection without a wire, an operation without a pause."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any, cast

import attrs
from redis.asyncio.connection import Connection
from redis.exceptions import ResponseError

from kew.adapters.redis.connection import Address
from kew.adapters.redis.line import Line, OnReply, ReplyError
from kew.adapters.redis.store import RedisStore
from kew.adapters.simulation.errors import SimulationError
from kew.adapters.simulation.lua.redis import RedisInProcess
from kew.app.ports import OnAnswer, Submitted, TaskStore
from kew.compat import override
from kew.domain.requests import ClaimRequest, Group


class InProcessLine(Line):
    """A request is carried out when it is sent, and its reply is there before `ask` returns; what can go wrong on the
    way is the simulated network's.
    """

    is_ended = False

    def __init__(self, redis: RedisInProcess) -> None:
        self._redis = redis

    @override
    def ask(self, request: bytes, give_up_at: float, on_reply: OnReply) -> None:
        try:
            reply = self._redis.execute(request)
        except ResponseError as error:
            reply = ReplyError(f"ERR {error}")  # the code that redis-py takes away
        on_reply(reply)

    @override
    def drop(self) -> None:
        """Nothing to let go of."""


@attrs.frozen(kw_only=True)
class InProcessAddress(Address):
    """Where the adapter finds a Redis in this process."""

    redis: RedisInProcess

    @override
    async def line(self) -> Line:
        return InProcessLine(self.redis)


class StoreInProcess(RedisStore):
    """The adapter as it is, which also says what it last knew of the store's clock."""

    told_ms: int | None = None

    @override
    def post(
        self, queue: str, groups: Collection[Group], claim: ClaimRequest | None, on_answer: OnAnswer
    ) -> asyncio.Future[Submitted]:
        return TaskStore.post(self, queue, groups, claim, on_answer)  # its lines reply too early

    @override
    def _saw(self, now_ms: int) -> None:
        super()._saw(now_ms)
        self.told_ms = now_ms

    def believed_ms(self) -> int:
        """What the adapter takes for the store's time, where it asks nobody."""
        return round(asyncio.get_running_loop().time() * 1000 + self._clock_ahead_ms)


def address_of(redis: RedisInProcess) -> Address:
    """Where the adapter finds it."""
    return InProcessAddress(
        where="this process", options={}, connection_class=Connection, redis=redis
    )


class _Now:
    """Stands in for the task that the adapter's timeouts want to belong to: nothing cancels it."""

    def cancelling(self) -> int:
        return 0


def without_a_pause(operation: Coroutine[Any, Any, Any]) -> Any:
    """What an operation returns that waits for nothing. For callbacks of a running loop: no task runs there."""
    loop, stand_in = asyncio.get_running_loop(), cast("asyncio.Task[Any]", _Now())
    asyncio._enter_task(loop, stand_in)  # documented, for makers of loops
    try:
        operation.send(None)
    except StopIteration as done:
        return done.value
    finally:
        asyncio._leave_task(loop, stand_in)
    operation.close()
    raise SimulationError(
        "the Redis store waited for something, so the operation wasn't carried out"
    )
