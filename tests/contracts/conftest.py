"""The stores that the contract suite runs against: every test here runs once on each of them, unchanged.

Behind Sentinels, and on a Cluster, the store does the same as on a plain Redis, once it has found it. So there only the
tests of `FEW` run, unless KEW_CONTRACTS=all. Behind Sentinels they run as users with no other rights than docs/redis.md
lists.
"""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.conftest import VERSIONS
from tests.support.clusters import Cluster
from tests.support.redis_source import RedisPool, any_binary
from tests.support.scene import Scene
from tests.support.sentinels import Watched
from tests.support.stores import (
    CLOCK_KEY,
    cluster_scene,
    memory_scene,
    partitioned_scene,
    redis_scene,
    sqlite_scene,
)

SENTINEL, CLUSTER = "sentinel", "cluster"
FEW = ("test_submitting_and_settling.py", "test_waking.py")
STORES = [
    *("memory", "partitions", "sqlite"),
    *(pytest.param(name, marks=pytest.mark.redis) for name in (*VERSIONS, SENTINEL, CLUSTER)),
]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("KEW_CONTRACTS", "") != "all":
        left_out = [
            item for item in items if _is_found_by_others(item) and item.path.name not in FEW
        ]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def _is_found_by_others(item: pytest.Item) -> bool:
    """Sentinels or nodes of a Cluster say where the server is."""
    callspec = getattr(item, "callspec", None)
    return callspec is not None and callspec.params.get("scene") in (SENTINEL, CLUSTER)


@pytest.fixture(scope="session")
def watched() -> Iterator[Watched]:
    """A primary with a replica, and the Sentinel that names it."""
    started = Watched.start(any_binary(), replicas=1, sentinels=1)
    yield started
    started.stop()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Three primaries, each with a replica."""
    started = Cluster.start(any_binary())
    yield started
    started.stop()


@pytest.fixture(params=STORES)
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    """An empty namespace of one of the stores."""
    if request.param == "memory":
        made = memory_scene()
        yield made
        await made.close()
        return
    if request.param == "partitions":
        made = partitioned_scene()
        await made.store.open()
        yield made
        await made.close()
        return
    if request.param == "sqlite":
        made = sqlite_scene(tmp_path / "kew.db")
        await made.store.open()
        yield made
        await made.close()
        return
    if request.param == CLUSTER:
        cluster: Cluster = request.getfixturevalue("cluster")
        cluster.clear()
        async with cluster_scene(cluster, partitions=3) as made:
            await made.store.open()
            yield made
            await made.close()
        return
    async with redis_scene(*urls_of(request, request.param)) as made:
        await made.store.open()
        yield made
        await made.close()


def urls_of(request: pytest.FixtureRequest, name: str) -> tuple[str, str]:
    """The URL for kew, and that of the emptied server behind it, started when first asked for."""
    if name == SENTINEL:
        watched: Watched = request.getfixturevalue("watched")
        watched.primary.clear()
        return watched.url_with_least_rights(f"%R~{CLOCK_KEY}"), watched.primary.url
    pool: RedisPool = request.getfixturevalue("redis_pool")
    server = pool.of_version(VERSIONS[name])
    server.clear()
    return server.url, server.url
