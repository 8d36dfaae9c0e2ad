"""What the URL of a service may say that Sentinels watch."""

import asyncio

import pytest

from kew import StoreUnavailableError, TaskQueueManager
from kew.adapters.redis import connect
from kew.adapters.redis.endpoint import Endpoint
from kew.adapters.redis.sentinel import SENTINEL_PORT, sentinel_address
from kew.domain.errors import InvalidConfigError
from tests.support.ledger import until
from tests.support.scripted import bulk, serving


def test_a_url_names_sentinels_service_and_database():
    found = sentinel_address("redis+sentinel://ada:s%40cret@one:1,two,[::1]:3/main/4")
    assert found.sentinels == [
        Endpoint("one", 1),
        Endpoint("two", SENTINEL_PORT),
        Endpoint("::1", 3),
    ]
    assert (found.service, found.database) == ("main", 4)
    assert (found.options["username"], found.options["password"]) == ("ada", "s@cret")
    assert found.where == "one:1,two:26379,[::1]:3/main"


def test_the_sentinels_have_a_login_of_their_own():
    url = "redis+sentinel://:redis@one/main?sentinel_username=eve&sentinel_password=p%26w&socket_timeout=2"
    found = sentinel_address(url)
    assert found.sentinel_options == {"username": "eve", "password": "p&w"}
    assert (found.options["password"], found.timeout) == ("redis", 2.0)
    assert "p&w" not in repr(found)
    assert "redis" not in repr(found).partition("where=")[2].replace("redis+", "")


def test_tls_is_for_both():
    found = sentinel_address("rediss+sentinel://one/main?ssl_cert_reqs=none")
    assert found.sentinel_options == {"ssl_cert_reqs": "none"}
    assert found.options["ssl_cert_reqs"] == "none"


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://one:1",
        "redis+sentinel:///main",
        "redis+sentinel://one,,two/main",
        "redis+sentinel://one:port/main",
        "redis+sentinel://user:p@ss@one/main",
        "redis+sentinel://user:p/ss@one/main",
        "redis+sentinel://one/main#x",
        "redis+sentinel://one/main/x",
        "redis+sentinel://one/main?max_connections=3",
    ],
)
def test_what_cannot_be_read_is_refused_and_not_quoted(url: str):
    with pytest.raises(InvalidConfigError) as caught:
        connect(url)
    assert "ss@" not in str(caught.value)
    assert "p/ss" not in str(caught.value)


async def test_a_sentinel_that_cannot_be_reached_is_named():
    manager = TaskQueueManager("redis+sentinel://127.0.0.1:1,127.0.0.1:2/main")
    with pytest.raises(StoreUnavailableError) as caught:
        async with asyncio.timeout(30):
            await manager.initialize()
    assert "127.0.0.1:1" in str(caught.value)
    assert "127.0.0.1:2" in str(caught.value)


MOVES = b"main 127.0.0.1 1 127.0.0.1 2"


@pytest.mark.parametrize(
    ("message", "moves"),
    [
        (MOVES, True),
        (b"master main 127.0.0.1 1", True),
        (b"main 127.0.0.1 9 127.0.0.1 1", False),  # to where the connections lead already
        (b"other 127.0.0.1 1 127.0.0.1 2", False),
        (b"master other 127.0.0.1 1", False),
    ],
)
async def test_what_a_sentinel_announces_replaces_the_connections_if_it_concerns_them(
    message: bytes, moves: bool, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("DEBUG", "kew")
    subscribed = asyncio.Event()
    writers: list[asyncio.StreamWriter] = []

    async def sentinel(command: list[bytes], writer: asyncio.StreamWriter) -> None:
        if command[0] == b"SUBSCRIBE":
            writer.write(b"*3\r\n$9\r\nsubscribe\r\n" + bulk(command[1]) + b":1\r\n")
            writers.append(writer)
            if len(writers) == 2:
                subscribed.set()
        else:
            writer.write(b"*2\r\n" + bulk(b"127.0.0.1") + bulk(b"1"))

    async with serving(sentinel) as server:
        address = sentinel_address(f"redis+sentinel://127.0.0.1:{server.port}/main")
        following = asyncio.create_task(address.follow())
        async with asyncio.timeout(30):
            await subscribed.wait()
            for each in (message, MOVES):
                writers[0].write(b"*3\r\n" + bulk(b"message") + bulk(b"+any") + bulk(each))
            await until(lambda: address.route.generation, "new connections")
        following.cancel()
    reason = (message if moves else MOVES).decode()
    assert caplog.messages[-1] == f"replacing the connections to Redis: {reason}"
    assert address.route.generation == 1
