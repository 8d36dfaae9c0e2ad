"""How the Redis adapter reaches a Redis in this process: a connection without a wire, an operation without a pause."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar, cast

import attrs
from redis.asyncio.connection import Connection
from redis.exceptions import ResponseError

from kew.adapters.redis.address import Address
from kew.adapters.redis.store import RedisStore
from kew.adapters.redis.wire import OnReply, ReplyError, Wire
from kew.app.ports import OnAnswer, Submitted, TaskStore
from kew.compat import override
from kew.domain.requests import Along, Group
from kew.simulation.errors import SimulationError
from kew.simulation.lua.redis import RedisInProcess

A = TypeVar("A")


class InProcessWire(Wire):
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
        """Nothing to close."""


@attrs.frozen(kw_only=True)
class InProcessAddress(Address):
    """Where the adapter finds a Redis in this process."""

    redis: RedisInProcess

    @override
    async def wire(self) -> Wire:
        return InProcessWire(self.redis)


class StoreInProcess(RedisStore):
    """The adapter as it is, which also says what it last knew of the store's clock."""

    told_ms: int | None = None

    @override
    def post(
        self, queue: str, groups: Collection[Group], along: Along, on_answer: OnAnswer
    ) -> asyncio.Future[Submitted]:
        return TaskStore.post(self, queue, groups, along, on_answer)  # its wires reply too early

    @override
    def saw(self, now_ms: int) -> None:
        super().saw(now_ms)
        self.told_ms = now_ms


def address_of(redis: RedisInProcess) -> Address:
    """Where the adapter finds it."""
    return InProcessAddress(
        where="this process", options={}, connection_class=Connection, redis=redis
    )


class _Now:
    """A fake of the asyncio task that the adapter's timeouts belong to: nothing cancels it."""

    def cancelling(self) -> int:
        return 0


def without_a_pause(operation: Coroutine[Any, Any, A]) -> A:
    """What an operation returns that waits for nothing. For callbacks of a running loop: no task runs there."""
    loop, stand_in = asyncio.get_running_loop(), cast("asyncio.Task[Any]", _Now())
    asyncio._enter_task(loop, stand_in)  # documented, for makers of loops
    try:
        operation.send(None)
    except StopIteration as done:
        reply: A = done.value
        return reply
    finally:
        asyncio._leave_task(loop, stand_in)
    operation.close()
    raise SimulationError(
        "the Redis store waited for something, so the operation wasn't carried out"
    )
