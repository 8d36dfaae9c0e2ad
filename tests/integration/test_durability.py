"""What a chosen durability promises, on real servers: an acknowledged task survives what it says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import attrs
import pytest

from kew import (
    QueueConfig,
    StoreUnavailableError,
    StoreUnsuitableError,
    SubmitUncertainError,
    TaskNotFoundError,
    TaskQueueManager,
)
from kew.adapters.redis import connect as connect_store
from kew.adapters.redis import durability
from kew.app.ports import Ambiguous, Cancel
from tests.conftest import PrivateRedis
from tests.integration.conftest import Managers
from tests.support import jobs
from tests.support.asking import once, submit
from tests.support.lagging import Link, lagging_replica
from tests.support.redis_process import ProcessRedis, connect
from tests.support.redis_source import any_binary, packaged_binary
from tests.support.rights import rights

QUEUE = QueueConfig("q")
BINARIES = pytest.mark.parametrize(
    "binary", [any_binary, packaged_binary], ids=["redis7", "redis8"]
)
CONFIRM_WITHIN = 1.0  # on a machine that may be busy
PATIENCE = 2.5  # seconds: for a repeat, which changes nothing


@attrs.define
class Pair:
    primary: ProcessRedis
    replica: ProcessRedis
    link: Link

    def promote(self) -> None:
        """The primary is gone, and the replica takes its place."""
        self.primary.kill()
        with contextlib.closing(connect(self.replica.url)) as client:
            client.replicaof("NO", "ONE")


@pytest.fixture
async def pair(binary: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    monkeypatch.setattr(durability, "CONFIRM_WITHIN", CONFIRM_WITHIN)
    async with lagging_replica(binary()) as made:
        yield Pair(*made)


async def submitting(managers: Managers, url: str, **options: float) -> TaskQueueManager:
    manager = await managers(url, **options)
    await manager.create_queue(QUEUE, work=False, functions=[jobs.echo])
    return manager


async def has(manager: TaskQueueManager, task: str) -> bool:
    try:
        await manager.get_task_status(task)
    except TaskNotFoundError:
        return False
    return True


@BINARIES
async def test_what_replicas_lack_is_acknowledged_by_default_and_refused_if_it_has_to_be_replicated(
    pair: Pair, managers: Managers
):
    plain = await submitting(managers, pair.primary.url)
    url = f"{pair.primary.url}?durability=replicated"
    replicated = await submitting(managers, url, patience=PATIENCE)
    await submit(replicated, "confirmed", jobs.echo)
    pair.link.hold()
    await submit(plain, "acknowledged", jobs.echo)
    with pytest.raises(SubmitUncertainError):
        await submit(replicated, "refused", jobs.echo)
    pair.promote()
    after = await managers(pair.replica.url)
    assert await has(after, "confirmed")
    assert not await has(after, "acknowledged")
    assert not await has(after, "refused")


@pytest.mark.parametrize("binary", [packaged_binary], ids=["redis8"])
async def test_a_submit_is_acknowledged_once_the_replica_has_it(
    pair: Pair, managers: Managers, caplog: pytest.LogCaptureFixture
):
    manager = await submitting(managers, f"{pair.primary.url}?durability=replicated", patience=30.0)
    pair.link.hold()
    submitted = asyncio.create_task(submit(manager, "late", jobs.echo))

    async def logged() -> str:
        return caplog.text

    await once(logged, lambda text: "0 of 1 replicas have it" in text)
    assert not submitted.done()
    pair.link.let_go()
    await submitted
    pair.promote()
    assert await has(await managers(pair.replica.url), "late")


@pytest.mark.parametrize("binary", [packaged_binary], ids=["redis8"])
async def test_a_command_is_confirmed_too(pair: Pair, managers: Managers):
    manager = await submitting(managers, f"{pair.primary.url}?durability=replicated")
    await submit(manager, "a", jobs.echo)
    pair.link.hold()
    store, _ = connect_store(f"{pair.primary.url}?durability=replicated")
    with pytest.raises(Ambiguous, match="0 of 1 replicas have it"):
        await store.do(Cancel("q", "none", None))
    await store.close()
    assert (await manager.get_queue_status("q"))["queued_tasks"] == 1, "a question needs no replica"


async def test_a_durability_that_this_redis_cannot_give_is_refused(
    private_redis: PrivateRedis, managers: Managers, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(durability, "CONFIRM_WITHIN", 0.1)  # nothing is confirmed in any time
    seven, eight = (private_redis(binary=find()) for find in (any_binary, packaged_binary))
    for server in (seven, eight):
        with pytest.raises(StoreUnavailableError, match="0 of 1 replicas have it"):
            await managers(f"{server.url}?durability=replicated")
    with pytest.raises(StoreUnsuitableError, match=r"WAITAOF needs Redis 7\.2"):
        await managers(f"{seven.url}?durability=fsync")
    with pytest.raises(StoreUnsuitableError, match="appendonly is disabled"):
        await managers(f"{eight.url}?durability=fsync")
    with contextlib.closing(connect(eight.url)) as client:
        client.execute_command("ACL", "SETUSER", "default", "-wait")
    with pytest.raises(StoreUnsuitableError, match="doesn't allow this user the command WAIT"):
        await managers(f"{eight.url}?durability=replicated")


@pytest.mark.parametrize("binary", [packaged_binary], ids=["redis8"])
async def test_the_documented_rights_are_enough_and_a_library_that_was_flushed_is_loaded_again(
    pair: Pair, managers: Managers
):
    with contextlib.closing(connect(pair.primary.url)) as client:
        client.execute_command("ACL", "SETUSER", "kew", "on", ">s3cret", *rights(), "+wait")
        url = pair.primary.url.replace("redis://", "redis://kew:s3cret@")
        manager = await submitting(managers, f"{url}?durability=replicated")
        await submit(manager, "a", jobs.echo)
        client.function_flush()
        await submit(manager, "b", jobs.echo)
    assert await has(manager, "b")


async def test_what_was_synced_survives_a_crash(
    private_redis: PrivateRedis, managers: Managers, tmp_path: Path
):
    server = private_redis(
        binary=packaged_binary(), directory=tmp_path, appendonly="yes", appendfsync="always"
    )
    manager = await submitting(managers, f"{server.url}?durability=fsync")
    await submit(manager, "synced", jobs.echo)
    server.kill()
    server.start()
    assert await has(manager, "synced")
