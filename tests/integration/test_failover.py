"""A primary that is demoted and lives on, connections that go silent, notifications that never come."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kew import QueueConfig, TaskQueueManager
from kew.adapters.redis import wakeup
from tests.conftest import PrivateRedis
from tests.integration.conftest import Managers
from tests.support import jobs
from tests.support.asking import end_of, once, record_of, submit
from tests.support.ledger import Ledger
from tests.support.proxy import Proxy
from tests.support.redis_process import LOOPBACK, ProcessRedis, connect

QUEUE = QueueConfig("q", lease=4.0)
FAST_CHECK = 0.2


@pytest.fixture
def quick_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeup, "CHECK_EVERY", FAST_CHECK)


class Pair:
    """A primary with a replica, behind an address that leads to the primary."""

    def __init__(self, primary: ProcessRedis, replica: ProcessRedis, proxy: Proxy) -> None:
        self.primary, self.replica, self.proxy = primary, replica, proxy

    async def fail_over(self) -> None:
        """The replica is the primary now; the old one lives on as its replica, and its connections stay open.

        It is planned: the replica has received everything before.
        """
        with contextlib.closing(connect(self.primary.url)) as client:
            client.set("all before this", "is replicated")  # WAIT is about this connection's writes
            assert client.wait(1, 4000) == 1
        with contextlib.closing(connect(self.replica.url)) as client:
            client.replicaof("NO", "ONE")
        with contextlib.closing(connect(self.primary.url)) as client:
            client.replicaof(LOOPBACK, self.replica.port)
        self.proxy.target = self.replica.url
        self.primary, self.replica = self.replica, self.primary

    def subscribers(self, server: ProcessRedis) -> int:
        with contextlib.closing(connect(server.url)) as client:
            return len(client.pubsub_channels("kew:to:*"))


@pytest.fixture
async def pair(private_redis: PrivateRedis) -> AsyncIterator[Pair]:
    primary = private_redis(repl_diskless_sync_delay=0)
    replica = private_redis(replicaof=f"{LOOPBACK} {primary.port}")
    with contextlib.closing(connect(replica.url)) as client:

        async def is_linked() -> Any:
            return client.info("replication")["master_link_status"]

        await once(is_linked, lambda status: status == "up")
    async with Proxy(primary.url, lambda _: None) as proxy:
        yield Pair(primary, replica, proxy)


async def test_a_manager_follows_a_planned_failover_with_all_its_connections(
    pair: Pair, managers: Managers, quick_checks: None
):
    manager = await managers(pair.proxy.url)
    await manager.create_queue(QUEUE)
    await submit(manager, "before", jobs.echo, value=1)
    assert (await end_of(manager, "before")).result == 1
    await pair.fail_over()
    await submit(manager, "after", jobs.echo, value=2)
    assert (await end_of(manager, "after")).result == 2
    await once(lambda: subscribed(pair, pair.replica), lambda count: count == 0)
    await once(lambda: subscribed(pair, pair.primary), lambda count: count == 1)


async def test_a_running_task_keeps_its_lease_across_a_planned_failover(
    pair: Pair, managers: Managers, ledger: Ledger, tmp_path: Path
):
    manager = await managers(pair.proxy.url)
    await manager.create_queue(QUEUE)
    await submit(manager, "long", jobs.wait_for, path=str(tmp_path / "end"))
    await ledger.until("start")
    await pair.fail_over()
    await asyncio.sleep(1.5 * QUEUE.lease)  # its lease would be over, had it not been extended
    (tmp_path / "end").touch()
    assert (await end_of(manager, "long")).attempt == 1


async def test_a_manager_that_only_listens_leaves_a_demoted_primary(
    pair: Pair, managers: Managers, quick_checks: None
):
    await managers(pair.proxy.url)
    assert await subscribed(pair, pair.primary) == 1
    await pair.fail_over()
    await once(lambda: subscribed(pair, pair.replica), lambda count: count == 0)
    await once(lambda: subscribed(pair, pair.primary), lambda count: count == 1)


async def test_a_connection_that_was_opened_to_the_replica_is_not_kept(
    pair: Pair, managers: Managers
):
    """The name still led to the old primary when all connections were made anew."""
    manager = await managers(pair.proxy.url)
    await manager.create_queue(QUEUE)
    old = pair.primary
    await pair.fail_over()
    pair.proxy.target = old.url
    pair.proxy.cut()
    await asyncio.sleep(0.3)  # a few attempts that lead to the old one
    pair.proxy.target = pair.primary.url
    await submit(manager, "after", jobs.echo, value=3)
    assert (await end_of(manager, "after")).result == 3


async def subscribed(pair: Pair, server: ProcessRedis) -> int:
    return pair.subscribers(server)


# --- silence


async def test_connections_that_went_silent_cost_a_submit_about_one_timeout(
    clean_redis_url: str, managers: Managers
):
    async with Proxy(clean_redis_url, lambda _: None) as proxy:
        manager = await managers(f"{proxy.url}?socket_timeout=2")
        await manager.create_queue(QUEUE)
        await asyncio.gather(*(submit(manager, f"t-{n}", jobs.echo) for n in range(50)))
        await asyncio.gather(*(manager.get_queue_status("q") for _ in range(50)))
        await asyncio.gather(*(end_of(manager, f"t-{n}") for n in range(50)))
        assert proxy.connections >= 4
        proxy.silence()
        began = time.monotonic()
        await submit(manager, "task", jobs.echo, value=1)
        assert (await end_of(manager, "task")).result == 1
        assert time.monotonic() - began < 7.5  # not two seconds for each connection
        await manager.shutdown()


async def test_heartbeats_that_went_silent_cost_no_lease(
    clean_redis_url: str, managers: Managers, ledger: Ledger, tmp_path: Path
):
    async with Proxy(clean_redis_url, lambda _: None) as proxy:
        manager = await managers(proxy.url)
        await manager.create_queue(QUEUE)
        await submit(manager, "long", jobs.wait_for, path=str(tmp_path / "end"))
        await ledger.until("start")
        await asyncio.sleep(QUEUE.lease / 2)  # past an extension, so that its connection stands
        proxy.silence()
        await asyncio.sleep(1.5 * QUEUE.lease)  # its lease would be over, had it not been extended
        (tmp_path / "end").touch()
        assert (await end_of(manager, "long")).attempt == 1
        await manager.shutdown()


# --- without notifications


async def deaf(url: str, managers: Managers, **options: Any) -> TaskQueueManager:
    """A manager whose user may not subscribe."""
    with contextlib.closing(connect(url)) as client:
        client.execute_command(
            *("ACL", "SETUSER", "deaf", "on", "nopass", "~*", "+@all", "-subscribe", "&*")
        )
    return await managers(url.replace("redis://", "redis://deaf:x@"), **options)


async def test_a_refused_subscription_is_logged_once_shown_and_replaced_by_frequent_looks(
    private_redis: PrivateRedis,
    managers: Managers,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    ledger: Ledger,
):
    caplog.set_level(logging.WARNING)
    url = private_redis().url
    worker = await deaf(url, managers, tick=10.0)
    submitter = await deaf(url, managers)
    assert len([text for text in caplog.messages if "docs/redis.md" in text]) == 2  # one each
    await worker.create_queue(QUEUE, functions=[jobs.echo, jobs.wait_for])
    await submitter.create_queue(QUEUE, work=False)
    status = await submitter.get_queue_status("q")
    assert status["notifications"].startswith("down since ")
    for n in range(3):
        async with asyncio.timeout(3.5):  # and not the tick of 10 s, or the poll of 5 s
            await submitter.submit_task(f"t-{n}", "q", "t", jobs.echo, None, value=n)
            await record_of(submitter, "q", f"t-{n}")
    await submit(submitter, "long", jobs.wait_for, path=str(tmp_path / "never"))
    await ledger.until("start")
    async with asyncio.timeout(3.5):
        await submitter.cancel_task("long")
        await record_of(submitter, "q", "long")
    assert len([text for text in caplog.messages if "docs/redis.md" in text]) == 2


async def test_a_subscription_that_stands_is_shown_as_such(store_url: str, managers: Managers):
    manager = await managers(store_url)
    await manager.create_queue(QUEUE)
    assert (await manager.get_queue_status("q"))["notifications"] == "ok"


# --- many calls at once


async def test_thousands_of_calls_at_once_wait_for_each_other_and_all_succeed(
    store_url: str, managers: Managers
):
    count = 3000
    manager = await managers(store_url)
    await manager.create_queue(QueueConfig("q", max_size=1_000_000), functions=[jobs.echo])
    await manager.submit_tasks(
        "q",
        [
            {"task_id": f"t-{n}", "task_type": "t", "task_func": jobs.echo, "_defer_by": 3600.0}
            for n in range(count)
        ],
    )
    infos = await asyncio.gather(*(manager.get_task_status(f"t-{n}") for n in range(count)))
    assert [info.task_id for info in infos] == [f"t-{n}" for n in range(count)]
    assert all(await asyncio.gather(*(manager.cancel_task(f"t-{n}") for n in range(count))))
    statuses = await asyncio.gather(*(manager.get_queue_status("q") for _ in range(300)))
    assert {status["queued_tasks"] for status in statuses} == {0}
    await asyncio.gather(
        *(manager.create_queue(QueueConfig(f"q-{n}"), work=False) for n in range(300))
    )
    assert len(await manager.get_queue_names()) == 301
