"""What every test may ask for. The Redis fixtures:

- `redis_url`: the run's main server (`tests.support.redis_source` says which one that is);
- `clean_redis_url`: the same, emptied before the test;
- `any_redis_url`: emptied too; the test runs twice, on Redis 7 and on Redis 8;
- `redis_servers`: both of those servers;
- `private_redis(**options)`: starts a server for this test alone, which it may kill and restart.

With pytest-xdist every process has servers of its own, started when first asked for.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import settings

from tests.support.ordering import seconds_of, slow_first
from tests.support.redis_process import ProcessRedis, RedisServer, ServerFailed
from tests.support.redis_source import (
    RedisPool,
    any_binary,
    expectation,
    requires_container,
    sources,
)

VERSIONS = {"redis7": 7, "redis8": 8}
REDIS_FIXTURES = {"redis_pool", "private_redis"}
POOL = pytest.StashKey[RedisPool]()
TOLD = pytest.StashKey[set[str]]()

# How long an example takes says nothing on a shared machine. In CI Hypothesis has its own profile.
settings.register_profile("kew", deadline=None)
if not os.environ.get("CI"):
    settings.load_profile("kew")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Stop the first of two coverages.

    In a process of pytest-xdist, pytest-cov starts one when it is loaded and another at the start of the session.
    `no_cover` stops the latter, and coverage goes on with the one before it.
    """
    plugin = session.config.pluginmanager.getplugin("_cov")
    if plugin is not None and hasattr(session.config, "workerinput"):
        plugin.cov_controller.cov.stop()


class PrivateRedis(Protocol):
    """Starts a server for one test; it is stopped when the test ends.

    `options` are Redis's own with underscores (`appendonly="yes"`, `maxmemory="5mb"`,
    `requirepass="secret"`). A `directory` of the test's own survives `kill()` and `start()`, and so
    does the one made when none is given.
    """

    def __call__(
        self,
        *,
        binary: Path | None = None,
        directory: Path | None = None,
        port: int | None = None,
        **options: str | int,
    ) -> ProcessRedis: ...


@pytest.fixture(scope="session")
def redis_pool(pytestconfig: pytest.Config) -> Iterator[RedisPool]:
    """This process's servers, for the fixtures below."""
    pool = pytestconfig.stash[POOL] = RedisPool(
        sources(process_number=_process_number()), strict=requires_container()
    )
    yield pool
    pool.stop()


@pytest.fixture(scope="session")
def redis_server(redis_pool: RedisPool) -> RedisServer:
    return _or_fail(redis_pool.main)


@pytest.fixture(scope="session")
def redis_url(redis_server: RedisServer) -> str:
    return redis_server.url


@pytest.fixture
def clean_redis_url(redis_server: RedisServer) -> str:
    redis_server.clear()
    return redis_server.url


@pytest.fixture(scope="session")
def redis_servers(redis_pool: RedisPool) -> list[RedisServer]:
    return [_of_version(redis_pool, name) for name in VERSIONS]


@pytest.fixture(params=list(VERSIONS))
def any_redis_url(request: pytest.FixtureRequest, redis_pool: RedisPool) -> str:
    server = _of_version(redis_pool, request.param)
    server.clear()
    return server.url


@pytest.fixture
def private_redis() -> Iterator[PrivateRedis]:
    started: list[ProcessRedis] = []

    def start(
        *,
        binary: Path | None = None,
        directory: Path | None = None,
        port: int | None = None,
        **options: str | int,
    ) -> ProcessRedis:
        server = ProcessRedis(
            binary=binary or any_binary(), directory=directory, port=port, options=options
        )
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.stop()


def _of_version(pool: RedisPool, name: str) -> RedisServer:
    return _or_fail(lambda: pool.of_version(VERSIONS[name]))


def _or_fail(find: Callable[[], RedisServer]) -> RedisServer:
    try:
        return find()
    except ServerFailed as failure:
        reason = str(failure)
    pytest.fail(reason, pytrace=False)  # out here, so that the report is the reason alone


def _process_number() -> int:
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


# --- What the run says about its Redis ------------------------------------------------------------


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if REDIS_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.redis)
    processes = getattr(config, "workerinput", {}).get("workercount", 1)
    items[:] = slow_first(items, seconds_of, shares=processes)


def pytest_report_header() -> str:
    return f"redis: {expectation(sources())}"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process of a parallel run hands what it used to the one that prints."""
    pool = session.config.stash.get(POOL, None)
    if pool is None:
        return
    session.config.stash[TOLD] = pool.told()
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["redis"] = sorted(pool.told())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    config: pytest.Config = node.config  # type: ignore[attr-defined]
    output: dict[str, list[str]] = getattr(node, "workeroutput", {})
    config.stash.setdefault(TOLD, set()).update(output.get("redis", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    told: set[str] = terminalreporter.config.stash.get(TOLD, set())
    for line in sorted(told):
        terminalreporter.write_line(f"redis used: {line}")
    for report in terminalreporter.stats.get("passed", []):
        for name, figure in report.user_properties:
            test = report.nodeid.rpartition("::")[2]
            terminalreporter.write_line(f"measured: {name} = {figure} ({test})")
