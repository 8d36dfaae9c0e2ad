"""Calls without a coroutine of their own, against a server that answers what a test tells it to."""

import asyncio
from typing import Any

import pytest

from kew.adapters.redis.connection import Lines, packed
from kew.adapters.redis.posting import Posted
from kew.app.ports import Ambiguous, Refused
from tests.support.ledger import until
from tests.unit.adapters.redis.test_connection import Answer, echo, saying, serving, silence


class Posts:
    """Posts ECHOs on one connection, and notes what is told."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.told: list[asyncio.Future[str]] = []

    @staticmethod
    def read(reply: Any) -> str:
        text: str = reply.decode()
        return text

    async def patiently(self) -> str:
        return "patiently"

    def post(self, text: str, read: Any = None) -> "Posted[str]":
        line = self.lines.at_hand()
        assert line is not None
        posted = Posted[str](self.lines, line, patiently=self.patiently, told=self.told.append)
        posted.send(packed("ECHO", text), read or self.read)
        return posted


@pytest.fixture
async def posts(request: pytest.FixtureRequest) -> Any:
    answer = getattr(request, "param", echo)
    async with serving(answer) as server:
        lines = Lines(server.address(timeout=0.2), 1)
        await lines.warm(1)
        yield Posts(lines)
        await lines.close()


def answered_by(answer: Answer) -> Any:
    return pytest.mark.parametrize("posts", [answer], indirect=True)


async def test_it_tells_what_is_read_and_can_be_awaited_too(posts):
    posted = posts.post("hello")
    assert not posts.told
    assert await posted == "hello"
    assert posts.told == [posted]


async def test_it_tells_before_anything_that_the_reply_makes_ready(posts):
    posted = posts.post("hello")
    order: list[str] = []
    posted.add_done_callback(lambda _: order.append("a turn later"))
    posted._told = lambda _: order.append("told")
    await posted
    assert order == ["told", "a turn later"]


async def test_the_connection_is_free_again_when_it_tells(posts):
    again: list[Posted[str]] = []
    posted = posts.post("first")
    posted._told = lambda _: again.append(posts.post("second"))
    assert await posted == "first"
    assert await again[0] == "second"


@answered_by(saying(b"-OOM it is full\r\n"))
async def test_a_refusal_is_told_as_one(posts):
    with pytest.raises(Refused, match="it is full"):
        await posts.post("x")
    assert len(posts.told) == 1


@answered_by(saying(b"-ERR Function not found\r\n"))
async def test_a_server_without_the_library_is_asked_again_with_patience(posts):
    posted = posts.post("x")
    assert await posted == "patiently"
    assert posts.told == [posted]


@answered_by(saying(b"-ERR Function not found\r\n"))
async def test_an_error_of_the_patient_asking_is_told(posts):
    async def refused() -> str:
        raise Refused("still not")

    posts.patiently = refused
    with pytest.raises(Refused, match="still not"):
        await posts.post("x")
    assert len(posts.told) == 1


@answered_by(saying(b"-ERR Function not found\r\n"))
async def test_cancelled_while_it_is_patient_it_asks_no_more(posts):
    asking = asyncio.Event()
    ended: list[str] = []

    async def for_ever() -> str:
        asking.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("asking")
        return ""

    posts.patiently = for_ever
    posted = posts.post("x")
    await asking.wait()
    assert posted.cancel()
    await until(lambda: posts.told and ended, "the end of the asking")
    assert posts.told == [posted]
    assert posted.cancelled()


@answered_by(silence)
async def test_a_call_without_a_reply_in_time_is_in_doubt(posts):
    with pytest.raises(Ambiguous, match="no answer in"):
        await posts.post("x")
    assert posts.lines.at_hand() is None  # the connection is of no more use


@answered_by(silence)
async def test_cancelled_it_tells_so_and_its_connection_is_dropped(posts):
    posted = posts.post("x")
    assert posted.cancel()
    assert not posts.told  # never in the call that cancels it
    await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await posted
    assert posts.told == [posted]
    assert not posted.cancel()
    assert posts.lines.at_hand() is None
    assert len(posts.lines._places.free) == 1


async def test_a_reply_that_cannot_be_read_is_an_error_of_this_call_alone(posts):
    def unreadable(reply: object) -> str:
        raise ValueError("what is this?")

    with pytest.raises(ValueError, match="what is this"):
        await posts.post("x", unreadable)
    assert await posts.post("y") == "y"


async def test_a_connection_that_closes_before_it_is_used_is_told_later_and_not_at_once(posts):
    line = posts.lines.at_hand()
    posted = Posted[str](posts.lines, line, patiently=posts.patiently, told=posts.told.append)
    line._transport.abort()  # its end will be known in the next turn
    posted.send(packed("ECHO", "x"), posts.read)
    assert not posts.told
    with pytest.raises(Ambiguous, match="closed"):
        await posted
    assert posts.told == [posted]
