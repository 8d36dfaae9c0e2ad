"""Which Redis a test run picks, decided without starting one."""

from pathlib import Path

import attrs
import pytest

from tests.support.redis_process import RedisServer, ServerFailed, binary_version
from tests.support.redis_source import (
    DEFAULT_IMAGE,
    BinarySource,
    ContainerSource,
    ExternalRedis,
    RedisPool,
    Source,
    UrlSource,
    binary_on_path,
    expectation,
    packaged_binary,
    sources,
    start_first,
)


@attrs.frozen
class Missing:
    reason: str

    def expect(self) -> str:
        raise ServerFailed(self.reason)

    def start(self) -> RedisServer:
        raise ServerFailed(self.reason)


@attrs.define
class CountedMissing:
    tries: int = 0

    def expect(self) -> str:
        raise ServerFailed("gone")

    def start(self) -> RedisServer:
        self.tries += 1
        raise ServerFailed("gone")


@attrs.frozen
class There:
    server: RedisServer

    def expect(self) -> str:
        return self.server.origin

    def start(self) -> RedisServer:
        return self.server


SOMEBODYS = ExternalRedis("redis://:secret@127.0.0.1:6390/2")


def test_a_named_url_is_the_only_place_looked_at():
    assert sources({"KEW_TEST_REDIS_URL": "redis://h:1"}) == [UrlSource("redis://h:1", 0)]


def test_without_a_url_a_container_comes_first_then_the_path_then_the_package():
    assert sources({}) == [
        ContainerSource(DEFAULT_IMAGE),
        BinarySource(binary_on_path),
        BinarySource(packaged_binary),
    ]


def test_the_image_can_be_chosen():
    assert sources({"KEW_TEST_REDIS_IMAGE": "redis:7.4"})[0] == ContainerSource("redis:7.4")


def test_a_required_container_leaves_nothing_to_fall_back_on():
    environ = {"KEW_TEST_REQUIRE_CONTAINER": "1", "KEW_TEST_REDIS_URL": "redis://h:1"}
    assert sources(environ) == [ContainerSource(DEFAULT_IMAGE)]


def test_the_first_place_that_has_one_is_used():
    places: list[Source] = [Missing("no engine"), There(SOMEBODYS)]
    assert start_first(places) is SOMEBODYS
    assert expectation(places) == SOMEBODYS.origin


def test_when_none_can_be_had_every_reason_is_told_with_what_to_install():
    with pytest.raises(ServerFailed) as failure:
        start_first([Missing("no engine"), Missing("no binary")])
    told = str(failure.value)
    assert "no engine" in told
    assert "no binary" in told
    assert "install redis-server" in told


def test_a_search_that_failed_is_not_made_again_for_every_test():
    place = CountedMissing()
    pool = RedisPool([place], strict=False)
    for _ in range(3):
        with pytest.raises(ServerFailed, match="gone"):
            pool.main()
    assert place.tries == 1


def test_a_password_is_never_told():
    assert SOMEBODYS.origin == "KEW_TEST_REDIS_URL, 127.0.0.1:6390/2"


@pytest.mark.parametrize("url", ["unix:///tmp/redis.sock", "redis://h:1/first", "h:1"])
def test_a_url_that_has_no_database_number_is_refused(url: str):
    with pytest.raises(ServerFailed, match="must look like"):
        UrlSource(url, 0).start()


def test_a_redis_server_that_is_too_old_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=0:0 malloc=libc bits=64'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerFailed, match=r"is 6\.2\.14, and kew needs 7"):
        binary_on_path()


def test_a_machine_without_redis_still_has_the_packaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerFailed, match="no redis-server on the PATH"):
        binary_on_path()
    assert binary_version(packaged_binary()).startswith("8.")
