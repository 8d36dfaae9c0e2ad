"""The Redis servers that the other tests stand on are what they seem to be."""

import contextlib
from pathlib import Path

import pytest
from redis.exceptions import AuthenticationError, RedisError

from tests.conftest import PrivateRedis
from tests.support.redis_container import ContainerRedis
from tests.support.redis_process import (
    ProcessRedis,
    RedisServer,
    ServerFailed,
    connect,
    major,
    server_version,
)
from tests.support.redis_source import UrlSource, requires_container


def set_word(url: str, word: str) -> None:
    with contextlib.closing(connect(url)) as client:
        client.set("word", word)


def get_word(url: str) -> object:
    with contextlib.closing(connect(url)) as client:
        return client.get("word")


def keys(url: str) -> int:
    with contextlib.closing(connect(url)) as client:
        return client.dbsize()


def test_the_main_server_answers_and_is_new_enough(redis_url: str):
    assert major(server_version(redis_url)) >= 7


def test_a_required_container_really_is_one_and_is_the_server_that_answers(
    redis_server: RedisServer,
):
    if not isinstance(redis_server, ContainerRedis):
        assert not requires_container(), f"{redis_server.origin} is not a container"
        return
    with contextlib.closing(connect(redis_server.url)) as client:
        run_id = client.info("server")["run_id"]
    assert redis_server.is_running()
    assert run_id in redis_server.run_inside("redis-cli", "info", "server")


def test_nothing_listens_beyond_the_loopback_interface(redis_servers: list[RedisServer]):
    for server in redis_servers:
        if isinstance(server, ContainerRedis):
            assert server.addresses() == {"127.0.0.1"}
        if isinstance(server, ProcessRedis):
            with contextlib.closing(connect(server.url)) as client:
                assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_a_test_that_asks_for_it_starts_with_nothing(clean_redis_url: str):
    assert keys(clean_redis_url) == 0
    set_word(clean_redis_url, "left behind, for the next line and the next test")
    assert keys(clean_redis_url) == 1


def test_a_test_runs_on_each_version_with_nothing_in_it(any_redis_url: str):
    assert keys(any_redis_url) == 0
    set_word(any_redis_url, "left behind")


def test_both_versions_are_there_when_ci_requires_them(redis_servers: list[RedisServer]):
    versions = [major(server_version(server.url)) for server in redis_servers]
    assert versions == [7, 8] or not requires_container()


def test_a_private_server_is_nobody_elses(private_redis: PrivateRedis, clean_redis_url: str):
    first, second = private_redis(), private_redis()
    set_word(first.url, "mine")
    assert [get_word(url) for url in (second.url, clean_redis_url)] == [None, None]


def test_a_killed_server_comes_back_on_its_port_with_its_append_only_file(
    private_redis: PrivateRedis,
):
    server = private_redis(appendonly="yes", appendfsync="always")
    set_word(server.url, "kept")
    url = server.url
    server.kill()
    with pytest.raises(RedisError):
        get_word(url)
    server.start()
    assert server.url == url
    assert get_word(url) == b"kept"


def test_a_killed_server_without_persistence_forgets(private_redis: PrivateRedis):
    server = private_redis()
    set_word(server.url, "gone")
    server.kill()
    server.start()
    assert get_word(server.url) is None


def test_a_data_directory_of_the_tests_own_outlives_the_server(
    private_redis: PrivateRedis, tmp_path: Path
):
    first = private_redis(directory=tmp_path, appendonly="yes", appendfsync="always")
    set_word(first.url, "kept")
    first.stop()
    second = private_redis(directory=tmp_path, appendonly="yes")
    assert get_word(second.url) == b"kept"


def test_options_reach_the_server(private_redis: PrivateRedis):
    server = private_redis(maxmemory="5mb", maxmemory_policy="allkeys-lru")
    with contextlib.closing(connect(server.url)) as client:
        assert client.config_get("maxmemory") == {"maxmemory": str(5 * 1024 * 1024)}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}


def test_a_server_may_want_a_password(private_redis: PrivateRedis):
    server = private_redis(requirepass="s3cret/@:")
    assert get_word(server.url) is None
    with pytest.raises(AuthenticationError):
        get_word(f"redis://127.0.0.1:{server.port}/0")


def test_a_server_that_cannot_start_says_why(private_redis: PrivateRedis):
    with pytest.raises(ServerFailed, match="maxmemory-policy"):
        private_redis(maxmemory_policy="nonsense")


def test_a_frozen_server_is_silent_until_it_is_thawed(private_redis: PrivateRedis):
    server = private_redis()
    server.freeze()
    with (
        contextlib.closing(connect(f"{server.url}?socket_timeout=0.1")) as client,
        pytest.raises(RedisError),
    ):
        client.ping()
    server.thaw()
    assert get_word(server.url) is None


def test_somebody_elses_server_is_used_only_where_it_is_empty(private_redis: PrivateRedis):
    theirs = private_redis()
    set_word(theirs.url, "theirs")
    with pytest.raises(ServerFailed, match="is not empty"):
        UrlSource(theirs.url, 0).start()
    assert get_word(theirs.url) == b"theirs"


def test_a_second_process_takes_the_next_database_and_leaves_it_empty(
    private_redis: PrivateRedis,
):
    theirs = private_redis()
    set_word(theirs.url, "theirs")
    ours = UrlSource(theirs.url, 1).start()
    set_word(ours.url, "ours")
    ours.stop()
    assert ours.url.endswith("/1")
    assert [get_word(url) for url in (theirs.url, ours.url)] == [b"theirs", None]
