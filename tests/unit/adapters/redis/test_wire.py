"""How commands are written, and one command on a connection that no pool has."""

import asyncio

import pytest

from kew.adapters.redis.library import Argument
from kew.adapters.redis.wire import OnReply, Opening, Wire, packed
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


@pytest.mark.parametrize(
    "rest", [(), ("",), (1, "a\r\n*2\r\n", b"\n\x00", "\u00e9"), (7,) * 1200], ids=len
)
def test_a_command_is_the_same_if_its_first_words_were_packed_before(rest: tuple[Argument, ...]):
    first = ("FCALL", "name\n", 2, "key:1", b"key:2")
    assert Opening(*first).packed(rest) == packed(*first, *rest)
