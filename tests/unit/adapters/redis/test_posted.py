"""Calls without a coroutine of their own, against a server that answers what a test tells it to."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from kew.adapters.redis.connections import LibraryMissing
from kew.adapters.redis.pool import Pool
from kew.adapters.redis.posted import Posted
from kew.adapters.redis.wire import packed
from kew.app.ports import Ambiguous, Refused
from tests.support.scripted import Answer, Scripted, echo, saying, serving, silence


class Posts:
    """Posts ECHOs on one connection, and notes each that has its answer."""

    def __init__(self, pool: Pool, server: Scripted) -> None:
        self.pool = pool
        self.server = server
        self.answered: list[object] = []

    @staticmethod
    def read(reply: Any) -> str:
        text: str = reply.decode()
        return text

    def post(
        self,
        text: str,
        read: Callable[[Any], str] | None = None,
        on_answer: Callable[[Any], object] | None = None,
    ) -> Posted[str]:
        link = self.pool.at_hand()
        assert link is not None
        posted = Posted(
            self.pool,
            link,
            read=read or self.read,
            on_answer=on_answer or self.answered.append,
        )
        posted.send(packed("ECHO", text))
        return posted

    async def connections_after_another_call(self) -> int:
        assert await self.pool.call(packed("ECHO", "other")) == b"other"
        return self.server.connections


@pytest.fixture
async def posts(request: pytest.FixtureRequest) -> Any:
    answer = getattr(request, "param", echo)
    async with serving(answer) as server:
        pool = Pool(server.address(timeout=0.2), 1)
        await pool.warm(1)
        yield Posts(pool, server)
        await pool.close()


def answered_by(answer: Answer) -> Any:
    return pytest.mark.parametrize("posts", [answer], indirect=True)


async def silent_once(command: list[bytes], writer: asyncio.StreamWriter) -> None:
    if command[1] != b"unanswered":
        await echo(command, writer)


async def test_it_has_what_is_read_and_says_so_once(posts):
    posted = posts.post("hello")
    assert not posts.answered
    assert await posted == "hello"
    assert posts.answered == [posted]


async def test_it_says_so_before_anything_that_the_answer_makes_ready(posts):
    order: list[str] = []
    posted = posts.post("hello", on_answer=lambda _: order.append("told"))
    posted.add_done_callback(lambda _: order.append("a turn later"))
    await posted
    assert order == ["told", "a turn later"]


async def test_the_connection_is_free_again_when_it_says_so(posts):
    again: list[Posted[str]] = []
    posted = posts.post("first", on_answer=lambda _: again.append(posts.post("second")))
    assert await posted == "first"
    assert await again[0] == "second"
    assert posts.server.connections == 1


@answered_by(saying(b"-OOM it is full\r\n"))
async def test_a_refusal_is_told_as_one(posts):
    with pytest.raises(Refused, match="it is full"):
        await posts.post("x")
    assert len(posts.answered) == 1


@answered_by(saying(b"-ERR Function not found\r\n"))
async def test_a_server_without_the_library_surely_did_nothing(posts):
    with pytest.raises(LibraryMissing):
        await posts.post("x")


@answered_by(silent_once)
async def test_a_call_without_a_reply_in_time_is_in_doubt_and_its_connection_not_used_again(posts):
    with pytest.raises(Ambiguous, match="no answer in"):
        await posts.post("unanswered")
    assert len(posts.answered) == 1
    assert await posts.connections_after_another_call() == 2


@answered_by(silent_once)
async def test_cancelled_it_says_so_a_turn_later_and_its_connection_is_not_used_again(posts):
    posted = posts.post("unanswered")
    assert posted.cancel()
    assert not posts.answered
    await asyncio.sleep(0)
    assert posts.answered == [posted]
    assert posted.cancelled()
    assert not posted.cancel()
    assert await posts.connections_after_another_call() == 2


async def test_a_reply_that_cannot_be_read_is_an_error_of_this_call_alone(posts):
    def unreadable(reply: object) -> str:
        raise ValueError("what is this?")

    with pytest.raises(ValueError, match="what is this"):
        await posts.post("x", unreadable)
    assert await posts.post("y") == "y"


async def test_a_connection_that_closes_before_it_is_used_is_told_later_and_not_at_once(posts):
    link = posts.pool.at_hand()
    posted = Posted(posts.pool, link, read=posts.read, on_answer=posts.answered.append)
    link.wire.drop()
    posted.send(packed("ECHO", "x"))
    assert not posts.answered
    with pytest.raises(Ambiguous, match="closed"):
        await posted
    assert posts.answered == [posted]


async def test_a_call_that_cannot_be_sent_gives_its_place_back(posts, monkeypatch):
    def no_clock() -> float:
        raise RuntimeError("no clock")

    with monkeypatch.context() as patched:
        patched.setattr(posts.pool, "give_up_at", no_clock)
        with pytest.raises(RuntimeError, match="no clock"):
            posts.post("x")
    assert not posts.answered
    assert await posts.connections_after_another_call() == 2


@answered_by(silence)
async def test_a_pool_that_closes_lets_go_of_what_is_on_its_way(posts):
    posted = posts.post("x")
    await posts.pool.close()
    posted.cancel()
    with pytest.raises(asyncio.CancelledError):
        await posted
