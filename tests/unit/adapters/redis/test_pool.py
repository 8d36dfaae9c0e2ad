"""Pool and the calls on them, against a server that answers what a test tells it to."""

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from kew.adapters.redis import pool as pools
from kew.adapters.redis.address import address
from kew.adapters.redis.connections import LibraryMissing
from kew.adapters.redis.pool import Pool
from kew.adapters.redis.wire import BUFFER_BYTES, ReplyError, Wire, packed
from kew.app.ports import Ambiguous, Damaged, Refused
from kew.domain.errors import InvalidConfigError
from tests.support.ledger import until
from tests.support.scripted import echo, saying, serving, silence


def asking(wire: Wire, text: str, seconds: float = 5.0) -> "asyncio.Future[object]":
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[object] = loop.create_future()

    def told(reply: object) -> None:
        if isinstance(reply, Exception):
            answer.set_exception(reply)
        else:
            answer.set_result(reply)

    wire.ask(packed("ECHO", text), loop.time() + seconds, told)
    return answer


# --- one wire


async def test_a_reply_may_come_byte_by_byte():
    async def drip(command: list[bytes], writer: asyncio.StreamWriter) -> None:
        for byte in b"*2\r\n$3\r\nabc\r\n:7\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    async with serving(drip) as server:
        wire = await server.address().wire()
        assert await asking(wire, "x") == [b"abc", 7]
        assert await asking(wire, "x") == [b"abc", 7]
        wire.drop()


@pytest.mark.parametrize("size", [10, BUFFER_BYTES, 5 * BUFFER_BYTES + 17])
async def test_a_reply_may_be_of_any_size(size: int):
    text = bytes(range(256)) * (size // 256 + 1)

    async def answer(command: list[bytes], writer: asyncio.StreamWriter) -> None:
        writer.write(b"$%d\r\n%s\r\n" % (size, text[:size]))

    async with serving(answer) as server:
        wire = await server.address().wire()
        assert await asking(wire, "x") == text[:size]
        wire.drop()


async def test_replies_over_tls_arrive_whole(tmp_path: Path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(tls)
    text = bytes(range(256)) * 1000

    async def answer(command: list[bytes], writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(text), 1000):  # a record of TLS each: many are read in one go
            writer.write((b"$%d\r\n" % len(text) if start == 0 else b"") + text[start:][:1000])
        writer.write(b"\r\n")

    async with serving(answer, tls=tls) as server:
        url = f"rediss://localhost:{server.port}?ssl_ca_certs={tmp_path}/ca.pem"
        wire = await address(url).wire()
        for _ in range(3):
            assert await asking(wire, "x") == text
        wire.drop()


async def test_an_error_is_a_reply_and_the_line_lives_on():
    answers = iter([b"-OOM it is full\r\n", b"+fine\r\n"])

    async def answer(command: list[bytes], writer: asyncio.StreamWriter) -> None:
        writer.write(next(answers))

    async with serving(answer) as server:
        wire = await server.address().wire()
        with pytest.raises(ReplyError, match="OOM it is full") as refused:
            await asking(wire, "x")
        assert refused.value.code == "OOM"
        assert not wire.is_ended
        assert await asking(wire, "x") == b"fine"
        wire.drop()


async def test_a_line_whose_reply_does_not_come_in_time_is_of_no_more_use():
    async with serving(silence) as server:
        wire = await server.address().wire()
        with pytest.raises(TimeoutError):
            await asking(wire, "x", seconds=0.05)
        assert wire.is_ended
        with pytest.raises(ConnectionError):
            await asking(wire, "x")


async def test_a_timer_of_an_earlier_call_does_not_end_a_later_one():
    async def slow_once(command: list[bytes], writer: asyncio.StreamWriter) -> None:
        if command[1] == b"slow":
            await asyncio.sleep(0.15)  # past the time of the first call, within that of the second
        await echo(command, writer)

    async with serving(slow_once) as server:
        wire = await server.address().wire()
        assert await asking(wire, "quick", seconds=0.1) == b"quick"
        assert await asking(wire, "slow", seconds=5) == b"slow"
        with pytest.raises(TimeoutError):
            await asking(wire, "slow", seconds=0.05)


async def test_many_calls_need_one_timer():
    loop = asyncio.get_running_loop()
    async with serving(echo) as server:
        wire = await server.address().wire()
        before = len(loop._scheduled)  # type: ignore[attr-defined]
        for _ in range(50):
            await asking(wire, "x")
        assert len(loop._scheduled) - before <= 1  # type: ignore[attr-defined]
        wire.drop()


async def test_a_server_that_hangs_up_ends_the_call():
    async def hang_up(command: list[bytes], writer: asyncio.StreamWriter) -> None:
        writer.write(b"$100\r\nhalf of")
        writer.close()

    async with serving(hang_up) as server:
        wire = await server.address().wire()
        with pytest.raises(ConnectionError):
            await asking(wire, "x")
        assert wire.is_ended


async def test_what_is_not_the_language_of_redis_ends_the_call():
    async with serving(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        wire = await server.address().wire()
        with pytest.raises(ConnectionError, match="language"):
            await asking(wire, "x")
        assert wire.is_ended


async def test_a_reply_that_nobody_asked_for_ends_the_line():
    async with serving(saying(b"+one\r\n+two\r\n")) as server:
        pool = Pool(server.address(), 1)
        for connections in range(1, 4):
            assert await pool.call(packed("ECHO", "x")) == b"one"
            assert server.connections == connections
        await pool.close()


# --- calls


@pytest.mark.parametrize("is_alone", [True, False])
async def test_the_reply_to_a_cancelled_call_is_taken_for_no_other(is_alone: bool):
    async def late(command: list[bytes], writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05 if command[1] == b"first" else 0)
        await echo(command, writer)

    async with serving(late) as server:
        pool = Pool(server.address(), 1)
        first = asyncio.create_task(pool.call(packed("ECHO", "first")))
        await until(lambda: server.asked, "the first call")
        first.cancel()
        if is_alone:
            await asyncio.wait([first])
        assert await pool.call(packed("ECHO", "second")) == b"second"
        assert server.connections == (2 if is_alone else 1)
        assert await pool.call(packed("ECHO", "third")) == b"third"
        await pool.close()


@pytest.mark.parametrize("depth", [1, 2, 64])
async def test_calls_share_a_few_lines(depth: int):
    async with serving(echo) as server:
        pool = Pool(server.address(), 3, depth)
        texts = [str(n) for n in range(40)]
        replies = await asyncio.gather(*(pool.call(packed("ECHO", text)) for text in texts))
        assert replies == [text.encode() for text in texts]
        assert server.connections == 3
        await pool.close()


async def test_a_call_that_never_got_a_line_is_surely_not_executed_and_redis_not_blamed(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(pools, "LONGEST_WAIT", 0.05)
    async with serving(silence) as server:
        pool = Pool(server.address(timeout=0.2), 1, depth=1)
        first = asyncio.create_task(pool.call(packed("ECHO", "first")))
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="this process had no connection free"):
            await pool.call(packed("ECHO", "second"))
        with pytest.raises(Ambiguous, match=r"no answer in 0\.2 s"):
            await first
        assert [command[1] for command in server.asked] == [b"first"]
        await pool.close()


async def test_where_nobody_listens_nothing_was_executed():
    async with serving(echo) as server:
        where = server.address()
    with pytest.raises(Refused):
        await Pool(where, 1).call(packed("ECHO", "x"))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("OOM command not allowed", Refused),
        ("READONLY a replica", Refused),
        ("LOADING its data", Refused),
        ("NOAUTH first", Refused),
        ("BUSY with a script", Refused),
        ("ERR Function not found", LibraryMissing),
        ("ERR user_function:12: a nil value", Ambiguous),
        ("WRONGTYPE of key", Damaged),
    ],
)
async def test_an_error_tells_whether_anything_was_executed(text: str, kind: type[Exception]):
    async with serving(saying(f"-{text}\r\n".encode())) as server:
        pool = Pool(server.address(), 1)
        with pytest.raises(kind) as refused:
            await pool.call(packed("ECHO", "x"))
        assert type(refused.value) is kind
        await pool.close()


async def test_a_missing_library_is_nothing_to_log_since_the_next_call_brings_it():
    async with serving(saying(b"-ERR Function not found\r\n")) as server:
        pool = Pool(server.address(), 1)
        with pytest.raises(LibraryMissing) as refused:
            await pool.call(packed("ECHO", "x"))
        assert refused.value.is_logged
        await pool.close()


async def test_a_connection_that_the_server_ended_meanwhile_is_not_used():
    async with serving(echo) as server:
        pool = Pool(server.address(), 1)
        assert await pool.call(packed("ECHO", "1")) == b"1"
        server.writers[0].close()
        (link,) = pool._idle
        await until(lambda: link.wire.is_ended, "its end")
        assert await pool.call(packed("ECHO", "2")) == b"2"
        assert server.connections == 2
        await pool.close()


async def test_a_closed_pool_keeps_no_connection():
    async with serving(echo) as server:
        pool = Pool(server.address(), 2)
        await pool.call(packed("ECHO", "1"))
        await pool.close()
        await pool.call(packed("ECHO", "2"))
        await pool.call(packed("ECHO", "3"))
        assert server.connections == 3
        pool.open()
        await pool.call(packed("ECHO", "4"))
        await pool.call(packed("ECHO", "5"))
        assert server.connections == 4
        await pool.close()


async def test_a_connection_that_cannot_be_made_keeps_nobody_from_those_there_are():
    async with serving(echo) as server:
        pool = Pool(server.address(), 3)
        await pool.warm(2)
        server.is_full = True
        crowd = [pool.call(packed("ECHO", str(n))) for n in range(5)]
        assert await asyncio.gather(*crowd) == [str(n).encode() for n in range(5)]
        for n in range(5):
            assert await pool.call(packed("ECHO", str(n))) == str(n).encode()
        await pool.close()


async def test_a_connection_that_ended_makes_room_for_one_that_lives():
    async with serving(echo) as server:
        pool = Pool(server.address(), 2)
        await pool.warm(2)
        server.writers[1].close()  # the one that would be taken next
        server.is_full = True
        for _ in range(5):
            await asyncio.sleep(0.01)
        assert await pool.call(packed("ECHO", "x")) == b"x"
        await pool.close()


async def test_a_call_in_another_event_loop_fails_at_once_and_takes_nothing_away():
    async with serving(echo) as server:
        pool = Pool(server.address(), 1)
        assert await pool.call(packed("ECHO", "here")) == b"here"

        def elsewhere() -> object:
            return asyncio.run(pool.call(packed("ECHO", "elsewhere")))

        with pytest.raises(RuntimeError, match="another event loop"):
            await asyncio.to_thread(elsewhere)
        assert await pool.call(packed("ECHO", "again")) == b"again"
        await pool.close()


@pytest.mark.parametrize("seconds", ["0", "-1", "21", "1e9"])
def test_a_timeout_that_a_repeated_submit_could_outlive_its_record_by_is_refused(seconds: str):
    with pytest.raises(
        InvalidConfigError, match="socket_timeout takes more than 0 and at most 20 s"
    ):
        address(f"redis://localhost?socket_timeout={seconds}")
    assert address("redis://localhost?socket_timeout=20").timeout == 20


async def test_a_call_that_is_cancelled_in_the_turn_of_its_place_leaves_the_place_to_the_next():
    async with serving(echo) as scripted:
        pool = Pool(scripted.address(), 1, depth=1)
        await pool.warm(1)
        link = pool.at_hand()
        assert link is not None
        waiting = asyncio.create_task(pool.call(packed("ECHO", "waits")))
        await asyncio.sleep(0)

        def on_reply(reply: object) -> None:
            pool.release(link, reply)  # the call that waits has the place now
            waiting.cancel()

        link.wire.ask(packed("ECHO", "first"), pool.give_up_at(), on_reply)
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        async with asyncio.timeout(30):
            assert await pool.call(packed("ECHO", "next")) == b"next"
        await pool.close()
