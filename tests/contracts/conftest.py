"""The stores that the contract suite runs against: every test here runs once on each of them, unchanged."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import VERSIONS
from tests.support.redis_source import RedisPool
from tests.support.scene import Scene
from tests.support.stores import memory_scene, redis_scene, sqlite_scene

STORES = ["memory", "sqlite", *(pytest.param(name, marks=pytest.mark.redis) for name in VERSIONS)]


@pytest.fixture(params=STORES)
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    """An empty namespace of one of the stores."""
    if request.param == "memory":
        made = memory_scene()
        yield made
        await made.close()
        return
    if request.param == "sqlite":
        made = sqlite_scene(tmp_path / "kew.db")
        await made.store.open()
        yield made
        await made.close()
        return
    async with redis_scene(url_of(request, request.param)) as made:
        await made.store.open()
        yield made
        await made.close()


def url_of(request: pytest.FixtureRequest, version: str) -> str:
    """The emptied server of a version, started when first asked for."""
    pool: RedisPool = request.getfixturevalue("redis_pool")
    server = pool.of_version(VERSIONS[version])
    server.clear()
    return server.url
