"""What connections learn from each other: silence, a server that is no primary, an address that moved."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kew.adapters.redis.pool import Pool
from kew.adapters.redis.wakeup import RedisWakeup
from kew.adapters.redis.wire import packed
from kew.app.notices import Interrupted, Notice, Resumed, Woken
from kew.app.ports import Ambiguous, Refused
from tests.support.ledger import until
from tests.support.scripted import Scripted, bulk, echo, serving

INFO = b"role:%s\r\nrun_id:%s\r\nmaster_host:10.0.0.2\r\nmaster_port:6380\r\n"
NOT_A_PRIMARY = (
    "READONLY You can't write against a read only replica.",
    "LOADING Redis is loading the dataset in memory",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    "NOREPLICAS Not enough good replicas to write.",
    "MOVED 1 10.0.0.2:6379",
    "ERR instance is readonly replica",
    "ERR upstream failure",
    "ERR no upstream host",
    "ERR No such master with that name",
    "ERR max number of clients reached",
    "ERR Connection refused",
)


class Server:
    """Answers ECHO, or says what it is told to, on the connections that were open at that moment."""

    def __init__(self) -> None:
        self.says: bytes | None = None
        self.sick: set[asyncio.StreamWriter] = set()

    async def answer(self, command: list[bytes], writer: asyncio.StreamWriter) -> None:
        if writer not in self.sick:
            await echo(command, writer)
        elif self.says is not None:
            writer.write(self.says)

    def spoil(self, scripted: Scripted, says: str | None) -> None:
        """All that is connected now gets this error, or silence."""
        self.sick = set(scripted.writers)
        self.says = None if says is None else f"-{says}\r\n".encode()


async def burst(pool: Pool, count: int) -> list[object]:
    calls = (pool.call(packed("ECHO", str(n))) for n in range(count))
    replies: list[object] = await asyncio.gather(*calls, return_exceptions=True)
    return replies


@pytest.mark.parametrize("text", NOT_A_PRIMARY)
async def test_a_server_that_is_no_primary_costs_one_call_and_all_connections_are_replaced(
    text: str,
):
    server = Server()
    async with serving(server.answer) as scripted:
        where = scripted.address()
        pool, others = Pool(where, 3), Pool(where, 1)
        await burst(pool, 3)
        await burst(others, 1)
        server.spoil(scripted, text)
        with pytest.raises((Refused, Ambiguous)):
            await pool.call(packed("ECHO", "x"))
        assert await burst(pool, 3) == [b"0", b"1", b"2"]
        assert await burst(others, 1) == [b"0"]
        assert scripted.connections == 8
        await pool.close()
        await others.close()


@pytest.mark.parametrize("text", NOT_A_PRIMARY[:3] + NOT_A_PRIMARY[4:7])
async def test_such_an_answer_means_that_nothing_was_executed(text: str):
    server = Server()
    async with serving(server.answer) as scripted:
        pool = Pool(scripted.address(), 1)
        await burst(pool, 1)
        server.spoil(scripted, text)
        with pytest.raises(Refused):
            await pool.call(packed("ECHO", "x"))
        await pool.close()


@pytest.mark.parametrize(
    "text", ["OOM it is full", "NOPERM no", "ERR user_function:1: a nil value"]
)
async def test_an_error_of_the_request_leaves_all_connections_alone(text: str):
    server = Server()
    async with serving(server.answer) as scripted:
        pool = Pool(scripted.address(), 2)
        await burst(pool, 2)
        server.spoil(scripted, text)
        for _ in range(3):
            with pytest.raises((Refused, Ambiguous)):
                await pool.call(packed("ECHO", "x"))
        assert scripted.connections == 2
        await pool.close()


async def test_an_error_that_no_redis_gives_costs_its_connection_alone():
    server = Server()
    async with serving(server.answer) as scripted:
        pool = Pool(scripted.address(), 2)
        await burst(pool, 2)
        server.spoil(scripted, "ERR something else")
        with pytest.raises(Ambiguous):
            await pool.call(packed("ECHO", "x"))
        with pytest.raises(Ambiguous):
            await pool.call(packed("ECHO", "x"))
        assert await pool.call(packed("ECHO", "x")) == b"x"
        assert scripted.connections == 3
        await pool.close()


async def test_one_timeout_replaces_all_connections_that_went_silent():
    server = Server()
    async with serving(server.answer) as scripted:
        where = scripted.address(timeout=0.2)
        pool, others = Pool(where, 4), Pool(where, 1)
        await burst(pool, 4)
        await burst(others, 1)
        server.spoil(scripted, None)
        with pytest.raises(Ambiguous, match="no answer in"):
            await pool.call(packed("ECHO", "x"))
        assert await burst(pool, 8) == [str(n).encode() for n in range(8)]
        assert await burst(others, 1) == [b"0"]
        await pool.close()
        await others.close()


async def test_a_server_that_stays_unusable_is_not_reconnected_to_for_every_call():
    server = Server()

    async def always(command: list[bytes], writer: asyncio.StreamWriter) -> None:
        writer.write(b"-LOADING it takes long\r\n")

    async with serving(always) as scripted:
        where = scripted.address()
        generations = set()
        pool = Pool(where, 4)
        for _ in range(20):
            await burst(pool, 4)
            generations.add(where.route.generation)
        assert len(generations) <= 2
        await pool.close()
    assert server.says is None


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (INFO % (b"slave", b"1"), "is a replica"),
        (b"redis_mode:sentinel\r\n", "is a Sentinel"),
        (b"-MASTERDOWN Link is down\r\n", "MASTERDOWN"),
    ],
)
async def test_a_new_connection_to_a_server_that_is_no_primary_is_not_used(
    info: bytes, reason: str
):
    async with serving(echo) as scripted:
        scripted.info = info
        pool = Pool(scripted.address(), 1)
        with pytest.raises(Refused, match=reason):
            await pool.call(packed("ECHO", "x"))
        assert not scripted.asked
        scripted.info = INFO % (b"master", b"1")
        assert await pool.call(packed("ECHO", "x")) == b"x"
        await pool.close()


async def test_a_server_that_does_not_tell_its_role_is_used_and_that_is_logged_once(
    caplog: pytest.LogCaptureFixture,
):
    async with serving(echo) as scripted:
        scripted.info = b"-NOPERM this user has no permissions to run the 'info' command\r\n"
        pool = Pool(scripted.address(), 3)
        assert await burst(pool, 3) == [b"0", b"1", b"2"]
        await pool.close()
    assert [record.message for record in caplog.records] == [
        record.message for record in caplog.records if "whether it is a primary" in record.message
    ]
    assert len(caplog.records) == 1


async def test_a_server_that_is_busy_with_a_script_is_not_said_to_hide_its_role(
    caplog: pytest.LogCaptureFixture,
):
    async with serving(echo) as scripted:
        scripted.info = b"-BUSY Redis is busy running a script.\r\n"
        pool = Pool(scripted.address(), 1)
        assert await burst(pool, 1) == [b"0"]
        await pool.close()
    assert not caplog.records


async def test_an_address_that_leads_to_another_server_leaves_the_former_one_with_all_connections():
    async with serving(echo) as scripted:
        pool, others = Pool(scripted.address(), 2), None
        where = pool._address
        others = Pool(where, 1)
        await burst(pool, 2)
        scripted.info = INFO % (b"master", b"2")
        assert await burst(others, 1) == [b"0"]  # a new connection, which reports the other server
        before = scripted.connections
        assert await burst(pool, 2) == [b"0", b"1"]
        assert scripted.connections == before + 2
        await pool.close()
        await others.close()


# --- outages


async def test_an_outage_is_logged_when_it_begins_and_when_it_ends(
    caplog: pytest.LogCaptureFixture,
):
    async with serving(echo) as scripted:
        where = scripted.address()
        pool = Pool(where, 2)
        await burst(pool, 2)
        scripted.is_full = True
        for writer in scripted.writers:
            writer.transport.abort()
        await until(lambda: all(link.wire.is_ended for link in pool._links), "their ends")
        for _ in range(10):
            assert isinstance((await burst(pool, 1))[0], Refused)
        scripted.is_full = False
        assert await burst(pool, 1) == [b"0"]
        await pool.close()
    messages = [record.message for record in caplog.records]
    assert len(messages) == 2
    assert "can't be used" in messages[0]
    assert "answers again, after" in messages[1]


# --- the subscription


@asynccontextmanager
async def listening(scripted: Scripted) -> AsyncIterator[list[Notice]]:
    notices: list[Notice] = []
    wakeup = RedisWakeup(scripted.address(timeout=0.3))
    await wakeup.listen("me", notices.append)
    try:
        yield notices
    finally:
        await wakeup.close()


class Channel:
    """A server that takes subscriptions, or refuses them."""

    def __init__(self) -> None:
        self.refusal: bytes | None = None
        self.hello = b"-ERR unknown command 'HELLO'\r\n"
        self.is_silent = False
        self.delivers = True
        self.writer: asyncio.StreamWriter | None = None

    async def answer(self, command: list[bytes], writer: asyncio.StreamWriter) -> None:
        if self.is_silent:
            return
        match command[0]:
            case b"HELLO":
                writer.write(self.hello)
            case b"PING":
                writer.write(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n")
            case b"PUBLISH":
                if self.delivers:
                    self.publish(command[2])
                writer.write(b":1\r\n")
            case b"SUBSCRIBE" if self.refusal:
                writer.write(self.refusal)
            case b"SUBSCRIBE":
                self.writer = writer
                writer.write(b"*3\r\n$9\r\nsubscribe\r\n%s:1\r\n" % bulk(command[1]))

    def publish(self, text: bytes) -> None:
        assert self.writer is not None
        self.writer.write(b"*3\r\n$7\r\nmessage\r\n%s%s" % (bulk(b"kew:to:me"), bulk(text)))


async def test_a_refused_subscription_is_reported_with_advice_and_comes_back_when_it_is_allowed():
    channel = Channel()
    channel.refusal = b"-NOPERM No permissions to access a channel\r\n"
    async with serving(channel.answer) as scripted, listening(scripted) as notices:
        (refused,) = notices
        assert isinstance(refused, Interrupted)
        assert refused.is_refusal
        assert "kew:to:*" in refused.why
        channel.refusal = None
        await until(lambda: Resumed() in notices, "the subscription")
        channel.publish(b"w q")
        await until(lambda: Woken("q") in notices, "a message")


async def test_a_subscription_to_which_nothing_is_delivered_is_reported(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("kew.adapters.redis.wakeup.CHECK_ANSWER", 0.1)
    channel = Channel()
    channel.delivers = False
    async with serving(channel.answer) as scripted, listening(scripted) as notices:
        (broken,) = notices
        assert isinstance(broken, Interrupted)
        assert broken.is_refusal
        assert "delivers no message" in broken.why
        channel.delivers = True
        await until(lambda: Resumed() in notices, "the subscription")


async def test_a_subscription_that_went_silent_is_replaced(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kew.adapters.redis.wakeup.CHECK_EVERY", 0.05)
    monkeypatch.setattr("kew.adapters.redis.wakeup.CHECK_ANSWER", 0.1)
    channel = Channel()
    async with serving(channel.answer) as scripted, listening(scripted) as notices:
        channel.is_silent = True
        await until(lambda: notices, "the interruption")
        channel.is_silent = False
        await until(lambda: Resumed() in notices, "the subscription")


async def test_a_subscription_leaves_a_primary_that_was_demoted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kew.adapters.redis.wakeup.CHECK_EVERY", 0.05)
    channel = Channel()
    channel.hello = b"%1\r\n$5\r\nproto\r\n:3\r\n"
    async with serving(channel.answer) as scripted, listening(scripted) as notices:
        scripted.info = INFO % (b"slave", b"1")
        await until(lambda: notices, "the interruption")
        scripted.info = INFO % (b"master", b"2")
        await until(lambda: Resumed() in notices, "the subscription")


async def test_a_proxy_that_hangs_up_at_an_unknown_greeting_is_subscribed_to_without_it():
    channel = Channel()

    async def answer(command: list[bytes], writer: asyncio.StreamWriter) -> None:
        if command[0] == b"HELLO":
            writer.close()
        else:
            await channel.answer(command, writer)

    async with serving(answer) as scripted, listening(scripted) as notices:
        await until(lambda: Resumed() in notices, "the subscription")
        channel.publish(b"w q")
        await until(lambda: Woken("q") in notices, "a message")


def test_a_subscription_of_a_closed_event_loop_is_no_obstacle_in_the_next_one():
    notices: list[Notice] = []

    async def first() -> RedisWakeup:
        async with serving(Channel().answer) as scripted:
            wakeup = RedisWakeup(scripted.address())
            await wakeup.listen("me", notices.append)
            return wakeup

    async def second(wakeup: RedisWakeup) -> None:
        with contextlib.suppress(RuntimeError):  # that the first loop is closed
            await wakeup.close()
        await wakeup.listen("me", notices.append)
        route = wakeup._address.route
        route.renew(route.generation, "a timeout")
        assert route.generation == 1
        await wakeup.close()

    loop = asyncio.new_event_loop()
    wakeup = loop.run_until_complete(first())
    loop.close()
    asyncio.run(second(wakeup))


async def test_a_subscription_that_becomes_suspect_while_it_is_checked_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("kew.adapters.redis.wakeup.CHECK_EVERY", 0.01)
    channel = Channel()
    async with serving(channel.answer) as scripted:
        where, notices = scripted.address(), list[Notice]()
        wakeup = RedisWakeup(where)
        await wakeup.listen("me", notices.append)
        channel.is_silent = True
        asked = len(scripted.asked)
        await until(lambda: len(scripted.asked) > asked, "a check that gets no answer")
        channel.is_silent = False
        where.route.renew(where.route.generation, "a timeout elsewhere")
        await until(lambda: Resumed() in notices, "the subscription", 1.0)
        await wakeup.close()


async def test_a_timeout_of_a_call_replaces_the_subscription_too():
    channel = Channel()
    async with serving(channel.answer) as scripted:
        where, notices = scripted.address(timeout=0.2), list[Notice]()
        wakeup, pool = RedisWakeup(where), Pool(where, 1)
        await wakeup.listen("me", notices.append)
        channel.is_silent = True
        with pytest.raises(Ambiguous):
            await pool.call(packed("ECHO", "x"))
        channel.is_silent = False
        await until(lambda: Resumed() in notices, "the subscription")
        await wakeup.close()
        await pool.close()
