"""`kew copy` to a Cluster, and back to one server."""

import contextlib
from collections.abc import Iterator

import pytest
import redis

from kew import QueueConfig, StoreUnsuitableError, TaskAlreadyExistsError, TaskQueueManager
from kew.adapters.redis.cluster import copying
from kew.adapters.redis.cluster.sides import Name
from kew.adapters.redis.keys import Keys
from kew.domain.partitions import home_of, partition_of
from tests.conftest import PrivateRedis
from tests.integration.conftest import Managers
from tests.integration.test_copy import TASKS, fill
from tests.support import jobs
from tests.support.asking import end_of, submit
from tests.support.clusters import Cluster
from tests.support.commands import kew
from tests.support.redis_process import connect
from tests.support.redis_source import any_binary

QUEUES = ("q", "keyed")
PARTITIONS = 5


@pytest.fixture(scope="module")
def started() -> Iterator[Cluster]:
    cluster = Cluster.start(any_binary(), shards=2, replicas=0)
    yield cluster
    cluster.stop()


@pytest.fixture
def cluster(started: Cluster) -> Cluster:
    started.clear()
    return started


@pytest.fixture
def url(cluster: Cluster) -> str:
    return f"{cluster.url}?partitions={PARTITIONS}"


@pytest.fixture
def server(private_redis: PrivateRedis) -> Iterator[redis.Redis]:
    with contextlib.closing(connect(private_redis().url)) as client:
        yield client


def url_of(client: redis.Redis) -> str:
    given = client.connection_pool.connection_kwargs
    return f"redis://{given['host']}:{given['port']}"


async def copied(source: str, target: str) -> int:
    """How many entries are the same."""
    done = await kew("copy", source, target, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["differing"] == []
    return int(done.json["entries"])


def dumped(client: redis.Redis) -> dict[bytes, object]:
    """What is in it, except for what processes said last."""
    return {key: _content(client, key) for key in client.scan_iter() if key != b"kew:processes"}


def _content(client: redis.Redis, key: bytes) -> object:
    kind = client.type(key)
    if kind == b"hash":
        return client.hgetall(key)
    if kind == b"zset":
        return client.zrange(key, 0, -1, withscores=True)
    if kind == b"set":
        return client.smembers(key)
    return client.lrange(key, 0, -1) if kind == b"list" else client.get(key)


async def test_a_namespace_moves_to_a_cluster_and_back(
    server: redis.Redis, url: str, managers: Managers, private_redis: PrivateRedis
):
    assert len({partition_of(queue, PARTITIONS) for queue in QUEUES}) == len(QUEUES)
    source = url_of(server)
    await fill(source)
    async with TaskQueueManager(source) as manager:
        manager.periodic(every=3600, name="hourly", queue="ticks", args=(1,))(jobs.echo)
        await manager.create_queue(QueueConfig("ticks"))
    before = dumped(server)
    planned = await kew("copy", source, url, "--dry-run", "--json")
    entries = await copied(source, url)
    assert planned.json["entries"] == entries > 2 * TASKS
    assert planned.json["already_there"] == 0
    wider = url.replace(f"={PARTITIONS}", f"={PARTITIONS + 2}")
    with pytest.raises(StoreUnsuitableError, match="number of partitions"):
        await managers(wider)
    with contextlib.closing(connect(private_redis().url)) as back:
        assert await copied(url, url_of(back)) == entries
        assert dumped(back) == before
    manager = await managers(url)
    assert [each.name for each in await manager.schedules.list()] == ["hourly"]
    assert (await manager.get_task_status("done")).result == "x" * 5000
    assert any(home_of(f"t-{n}", PARTITIONS) != partition_of("q", PARTITIONS) for n in range(9))
    for taken in ("t-1", "t-2", "t-3", "k-0", "k-1", "k-2"):
        with pytest.raises(TaskAlreadyExistsError):
            await submit(manager, taken, jobs.echo, "keyed" if taken[0] == "t" else "q")
    assert (await manager.get_queue_status("keyed"))["queued_tasks"] == 5


async def test_an_interrupted_copy_to_a_cluster_goes_on(
    server: redis.Redis, url: str, managers: Managers, monkeypatch: pytest.MonkeyPatch
):
    source = url_of(server)
    await fill(source)
    whole, names = copying.ClusterCopying._copied, 0

    async def interrupted(self: copying.ClusterCopying, name: Name) -> int:
        nonlocal names
        names += 1
        if names == 5:
            raise KeyboardInterrupt
        return await whole(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(copying.ClusterCopying, "_copied", interrupted)
        assert (await kew("copy", source, url)).code == 130
    with pytest.raises(StoreUnsuitableError, match=r"unfinished copy from .*repeat `kew copy`"):
        await managers(url)
    onward = await kew("copy", url, source)
    assert (onward.code, "an unfinished copy itself" in onward.words) == (1, True)
    done = await kew("copy", source, url, "--json")
    assert (done.code, done.json["differing"]) == (0, [])
    assert done.json["already_there"] > TASKS
    manager = await managers(url)
    await manager.shutdown()


async def test_a_difference_on_a_cluster_is_found(server: redis.Redis, url: str, cluster: Cluster):
    source = url_of(server)
    await fill(source)
    await copied(source, url)
    keys = Keys("kew", partition_of("q", PARTITIONS))
    with contextlib.closing(connect(cluster.owner(keys.key("state", "q")).url)) as client:
        client.hset(keys.key("state", "q"), "counts", "something else")
    again = await kew("copy", source, url)
    assert (again.code, "is not an unfinished copy from here" in again.words) == (1, True)
    first = Keys("kew", 0)
    with contextlib.closing(connect(cluster.owner(first.copy_mark).url)) as client:
        client.set(first.copy_mark, source.removeprefix("redis://") + "/0")
    again = await kew("copy", source, url)
    assert (again.code, "keys differ (q: state)" in again.words) == (1, True)


async def test_a_copy_is_refused_where_it_would_be_wrong(
    server: redis.Redis, url: str, managers: Managers
):
    source = url_of(server)
    nothing = await kew("copy", url, source)
    assert (nothing.code, "there is no namespace kew" in nothing.words) == (1, True)
    manager = await managers(url)
    used = await kew("copy", url, source)
    assert (used.code, "1 process uses the namespace kew" in used.words) == (1, True)
    await manager.create_queue(QueueConfig("q"))
    await manager.shutdown()
    other = await kew("copy", url.replace(f"={PARTITIONS}", "=4"), source)
    assert (other.code, f"end its URL with ?partitions={PARTITIONS}" in other.words) == (1, True)
    assert server.dbsize() == 0
    await copied(url, source)
    manager = await managers(source)
    await manager.create_queue(QueueConfig("q"), functions=[jobs.echo])
    await submit(manager, "t", jobs.echo, value=1)
    assert (await end_of(manager, "t")).result == 1
