"""One command on a connection that no pool has."""

import asyncio

from kew.adapters.redis.wire import OnReply, Wire, packed
from kew.compat import override


class HeldWire(Wire):
    """It replies when the test says so."""

    is_ended = False
    on_reply: OnReply

    @override
    def ask(self, request: bytes, give_up_at: float, on_reply: OnReply) -> None:
        self.on_reply = on_reply

    @override
    def drop(self) -> None:
        """Nothing to close."""


async def test_a_reply_that_comes_in_the_turn_in_which_its_caller_is_cancelled_is_discarded():
    wire = HeldWire()
    asking = asyncio.create_task(wire.answer(packed("PING"), 5.0))
    await asyncio.sleep(0)

    asking.cancel()
    wire.on_reply(b"PONG")

    await asyncio.wait([asking])
    assert asking.cancelled()
