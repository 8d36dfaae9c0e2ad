"""A Redis Cluster: calls, notifications and the library reach whichever node serves a partition."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from kew import (
    QueueConfig,
    StoreUnavailableError,
    StoreUnsuitableError,
    SubmitUncertainError,
    TaskQueueManager,
)
from kew.adapters.redis import durability
from kew.adapters.redis.cluster import listening
from kew.adapters.redis.keys import Keys
from kew.app.ports import Queues
from kew.domain.partitions import partition_of
from tests.conftest import PrivateRedis
from tests.integration.conftest import Managers
from tests.support import jobs
from tests.support.asking import end_of, record_of, submit
from tests.support.clusters import Cluster
from tests.support.commands import kew
from tests.support.ledger import until
from tests.support.redis_process import ProcessRedis, connect
from tests.support.redis_source import any_binary

PARTITIONS = 6
PATIENCE = 1.2  # seconds: for a repeat, which changes nothing
MOVED = range(3)  # partitions
QUEUES = [f"q{n}" for n in range(8)]
SOONER_THAN_A_POLL = 3.5  # seconds; the tick of 10 s and the poll of 5 s are slower


@pytest.fixture(scope="module")
def started() -> Iterator[Cluster]:
    cluster = Cluster.start(any_binary())
    yield cluster
    cluster.stop()


@pytest.fixture
def cluster(started: Cluster) -> Cluster:
    started.clear()
    return started


@pytest.fixture
def url(cluster: Cluster) -> str:
    return f"{cluster.url}?partitions={PARTITIONS}"


async def with_queues(managers: Managers, url: str, *, work: bool) -> TaskQueueManager:
    manager = await managers(url, tick=10.0)
    for queue in QUEUES:
        await manager.create_queue(QueueConfig(queue), functions=[jobs.echo], work=work)
    return manager


async def test_work_and_results_are_notified_wherever_their_partitions_are(
    cluster: Cluster, url: str, managers: Managers
):
    worker = await with_queues(managers, url, work=True)
    web = await with_queues(managers, url, work=False)
    assert len({cluster.owner(Keys("kew", n).key("tasks")) for n in range(PARTITIONS)}) > 1
    for n, queue in enumerate(QUEUES):
        async with asyncio.timeout(SOONER_THAN_A_POLL):
            await submit(web, f"t{n}", jobs.echo, queue, value=n)
            await record_of(web, queue, f"t{n}")
        assert (await web.get_task_status(f"t{n}")).result == n
    assert sorted(await web.get_queue_names()) == QUEUES
    for manager in (worker, web):
        assert (await manager.get_queue_status("q0"))["notifications"] == "ok"


async def test_a_manager_that_only_listens_follows_its_partitions(
    cluster: Cluster, managers: Managers, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(listening, "CHECK_EVERY", 0.2)
    await managers(f"{cluster.url}?partitions=1")
    old = cluster.owner(Keys("kew", 0).key("tasks"))
    new = cluster.replica_of(old)
    assert (channels_at(old), channels_at(new)) == (1, 0)
    await asyncio.to_thread(cluster.fail_over, old)
    await until(lambda: (channels_at(old), channels_at(new)) == (0, 1), "it moves", 30)


def channels_at(node: ProcessRedis) -> int:
    with contextlib.closing(connect(node.url)) as client:
        return len(client.pubsub_shardchannels("{kew:*"))


@pytest.mark.parametrize(
    ("more", "options"),
    [("", ""), (" +wait", "&durability=replicated")],
    ids=["plain", "confirmed"],
)
async def test_the_documented_rights_are_enough(
    cluster: Cluster, url: str, managers: Managers, more: str, options: str
):
    text = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("ACL SETUSER"))
    for node in cluster.nodes:
        with contextlib.closing(connect(node.url)) as client:
            client.execute_command(*(line.replace("PASSWORD", "p@ss") + more).split())
    own = url.replace("redis+cluster://", "redis+cluster://kew:p%40ss@") + options
    worker = await with_queues(managers, own, work=True)
    web = await with_queues(managers, own, work=False)
    assert (await findings(own))["rights"]["verdict"] == "ok"
    slot = cluster.slot(Keys("kew", 0).key("tasks"))
    source = cluster.owner_of(slot)
    target = next(node for node in cluster.primaries() if node is not source)
    await asyncio.to_thread(cluster.move, slot, target)
    for n, queue in enumerate(QUEUES):
        await submit(web, f"t{n}", jobs.echo, queue, value=n)
        assert (await end_of(web, f"t{n}")).result == n
    for manager in (worker, web):
        assert (await manager.get_queue_status("q0"))["notifications"] == "ok"


async def test_the_doctor_looks_at_all_primaries(cluster: Cluster, url: str, managers: Managers):
    manager = await managers(url)
    await manager.create_queue(QueueConfig("mails"), work=False)
    await manager.submit_task("t", "mails", "t", jobs.echo, None)
    found = await findings(url)
    assert (
        found["role"]["text"]
        .split(" ", 1)[1]
        .startswith("primaries of a Redis Cluster serve the namespace")
    )
    assert found["queue mails"]["verdict"] == "ok"
    with contextlib.closing(connect(cluster.primaries()[1].url)) as client:
        client.config_set("maxmemory", "1gb")
        client.config_set("maxmemory-policy", "volatile-lru")
        try:
            assert (await findings(url))["eviction"]["verdict"] == "warning"
        finally:
            client.config_set("maxmemory", "0")


async def findings(url: str) -> dict[str, dict[str, str]]:
    printed = await kew("doctor", "--json", url=url)
    return {finding["name"]: finding for finding in printed.lines}


async def test_a_submit_that_has_to_be_replicated_waits_for_the_replicas_of_its_node(
    cluster: Cluster, url: str, managers: Managers, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(durability, "CONFIRM_WITHIN", 0.3)
    manager = await managers(f"{url}&durability=replicated", patience=PATIENCE)
    await manager.create_queue(QueueConfig("q0"), work=False, functions=[jobs.echo])
    await submit(manager, manager.new_task_id("t", "q0"), jobs.echo, "q0")
    key = Keys("kew", partition_of("q0", PARTITIONS)).key("tasks")
    replica = cluster.replica_of(cluster.owner(key))
    replica.freeze()
    try:  # its repeats change nothing, and are not confirmed either
        with pytest.raises(SubmitUncertainError):
            await submit(manager, manager.new_task_id("t", "q0"), jobs.echo, "q0")
        with pytest.raises(StoreUnavailableError, match="replicas have it"):
            await managers(f"{url}&durability=replicated", patience=PATIENCE)
    finally:
        replica.thaw()
    await asyncio.to_thread(cluster.wait_until_replicated)
    await submit(manager, manager.new_task_id("t", "q0"), jobs.echo, "q0")


async def test_a_store_for_another_event_loop_has_connections_of_its_own(
    url: str, managers: Managers
):
    manager = await with_queues(managers, url, work=False)
    store = manager._parts.store

    async def look() -> list[str]:
        apart = store.apart()
        assert apart is not None
        await apart.open()
        try:
            return list(await apart.do(Queues()))
        finally:
            await apart.close()

    for _ in range(2):
        assert await asyncio.to_thread(asyncio.run, look()) == QUEUES
    assert await store.do(Queues()) == QUEUES


def test_a_manager_can_be_used_in_one_event_loop_after_another(url: str):
    manager = TaskQueueManager(url)

    async def use(number: int) -> object:
        async with manager:
            await manager.create_queue(QueueConfig("q0"), functions=[jobs.echo])
            await submit(manager, f"t{number}", jobs.echo, "q0", value=number)
            return (await end_of(manager, f"t{number}")).result

    assert [asyncio.run(use(number)) for number in range(2)] == [0, 1]


async def test_the_number_of_partitions_is_kept(url: str, managers: Managers):
    await (await managers(url)).shutdown()
    for other in (PARTITIONS + 1, 1):
        with pytest.raises(StoreUnsuitableError, match="number of partitions"):
            await managers(url.replace(f"={PARTITIONS}", f"={other}"))


async def test_a_url_of_the_wrong_kind_is_answered_with_the_right_one(
    cluster: Cluster, private_redis: PrivateRedis, managers: Managers
):
    with pytest.raises(StoreUnsuitableError, match=r"redis\+cluster://"):
        await managers(cluster.primaries()[0].url)
    with pytest.raises(StoreUnsuitableError, match=r"is not a node of a Cluster: .* redis://"):
        await managers(private_redis().url.replace("redis://", "redis+cluster://"))


async def test_a_primary_that_joins_later_gets_the_library_and_the_subscriptions(
    cluster: Cluster, url: str, managers: Managers
):
    worker = await with_queues(managers, url, work=True)
    web = await with_queues(managers, url, work=False)
    newcomer = await asyncio.to_thread(cluster.add_primary)
    for number in MOVED:
        slot = cluster.slot(Keys("kew", number).key("tasks"))
        await asyncio.to_thread(cluster.move, slot, newcomer)
    for n, queue in enumerate(QUEUES):  # each call is referred, and tells where its partition is
        await submit(web, f"a{n}", jobs.echo, queue, value=n)
        assert (await end_of(web, f"a{n}")).result == n
    await until(lambda: channels_at(newcomer) == 2 * len(MOVED), "both subscribe there", 30)
    for n, queue in enumerate(QUEUES):
        async with asyncio.timeout(SOONER_THAN_A_POLL):
            await submit(web, f"b{n}", jobs.echo, queue, value=n)
            await record_of(web, queue, f"b{n}")
    for manager in (worker, web):
        await manager.shutdown()
