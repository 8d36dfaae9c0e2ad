"""`kew copy` between two real servers."""

import contextlib
from collections.abc import Iterator

import attrs
import pytest
import redis

from kew import PerKey, QueueConfig, StoreUnsuitableError, TaskQueueManager, TaskStatus
from kew.adapters.redis import copying
from tests.conftest import PrivateRedis
from tests.integration.conftest import Managers
from tests.support import jobs
from tests.support.asking import end_of, submit
from tests.support.commands import kew
from tests.support.redis_process import connect
from tests.support.redis_source import any_binary, packaged_binary

TASKS = 700  # more than a piece, and than a small hash


@attrs.frozen
class Two:
    """Two servers of different versions."""

    source: redis.Redis
    target: redis.Redis
    source_url: str
    target_url: str


@pytest.fixture
def two(private_redis: PrivateRedis) -> Iterator[Two]:
    servers = [private_redis(binary=find()) for find in (any_binary, packaged_binary)]
    with contextlib.ExitStack() as stack:
        source, target = (
            stack.enter_context(contextlib.closing(connect(each.url))) for each in servers
        )
        yield Two(source, target, servers[0].url, servers[1].url)


async def fill(url: str) -> None:
    """Tasks that wait, are due later, have keys, have ended and have failed; then no process is left."""
    async with TaskQueueManager(url) as manager:
        await manager.create_queue(QueueConfig("q", max_size=10_000), functions=[jobs.echo])
        await submit(manager, "done", jobs.echo, value="x" * 5000)
        assert (await end_of(manager, "done")).result == "x" * 5000
        keyed = QueueConfig("keyed", per_key=PerKey(max_workers=2), max_size=10_000)
        await manager.create_queue(keyed, work=False)
        for number in range(5):
            await submit(manager, f"k-{number}", jobs.echo, "keyed", _key=f"key {number}")
    async with TaskQueueManager(url) as manager:
        await manager.create_queue(QueueConfig("q", max_size=10_000), work=False)
        calls = [
            {"task_id": f"t-{n}", "task_type": "t", "task_func": jobs.echo, "args": (n,)}
            for n in range(TASKS)
        ]
        await manager.submit_tasks("q", calls)
        await submit(manager, "later", jobs.echo, _defer_by=3600)


async def test_a_copy_is_the_same_and_works(two: Two, managers: Managers):
    await fill(two.source_url)
    two.source.set("kewpie", "of another program")
    before = {key: two.source.dump(key) for key in two.source.scan_iter()}
    planned = (await kew("copy", two.source_url, two.target_url, "--dry-run", "--json")).json
    assert two.target.dbsize() == 0
    done = await kew("copy", two.source_url, two.target_url, "--json")
    assert done.code == 0, done.err
    assert done.json["keys"] == planned["keys"] == two.target.dbsize() == len(before) - 1
    assert done.json["entries"] == planned["entries"] > 2 * TASKS
    assert {key: two.source.dump(key) for key in two.source.scan_iter()} == before
    doctor = await kew("doctor", url=two.target_url)
    assert doctor.code == 0, doctor.words
    manager = await managers(two.target_url)
    assert (await manager.get_task_status("done")).result == "x" * 5000
    await manager.create_queue(QueueConfig("q", max_size=10_000), functions=[jobs.echo])
    assert (await end_of(manager, f"t-{TASKS - 1}")).result == TASKS - 1
    assert (await manager.get_task_status("later")).status is TaskStatus.QUEUED
    assert (await manager.get_queue_status("keyed"))["queued_tasks"] == 5


async def test_an_interrupted_copy_goes_on(
    two: Two, managers: Managers, monkeypatch: pytest.MonkeyPatch
):
    await fill(two.source_url)
    whole, pieces = copying.Copying._copied, 0

    async def interrupted(self: copying.Copying, key: bytes) -> int:
        nonlocal pieces
        pieces += 1
        if pieces == 6:
            raise KeyboardInterrupt
        return await whole(self, key)

    with monkeypatch.context() as patch:
        patch.setattr(copying.Copying, "_copied", interrupted)
        assert (await kew("copy", two.source_url, two.target_url)).code == 130
    assert two.target.exists("kew:copying")
    with pytest.raises(
        StoreUnsuitableError, match=r"is an unfinished copy from .*repeat `kew copy`"
    ):
        await managers(two.target_url)
    onward = await kew("copy", two.target_url, two.source_url)
    assert (onward.code, "an unfinished copy itself" in onward.words) == (1, True)
    half = next(key for key in two.target.scan_iter() if two.target.type(key) == b"hash")
    two.target.hdel(half, two.target.hkeys(half)[0])
    done = await kew("copy", two.source_url, two.target_url, "--json")
    assert (done.code, done.json["differing"]) == (0, [])
    assert done.json["already_there"] > 0
    assert not two.target.exists("kew:copying")
    assert two.target.dbsize() == two.source.dbsize()


async def test_a_difference_is_found_and_named(two: Two):
    await fill(two.source_url)
    await kew("copy", two.source_url, two.target_url)
    two.target.hset("kew:tasks", "later", "something else")
    two.target.set("kew:copying", two.source_url.removeprefix("redis://"))
    done = await kew("copy", two.source_url, two.target_url)
    assert (done.code, "1 of" in done.words, "keys differ (kew:tasks)" in done.words) == (
        1,
        True,
        True,
    )
    assert two.target.exists("kew:copying")


async def test_a_copy_of_a_namespace_that_is_in_use_or_onto_another_is_refused(
    two: Two, managers: Managers
):
    nothing = await kew("copy", two.source_url, two.target_url)
    assert (nothing.code, "there is no namespace kew" in nothing.words) == (1, True)
    await fill(two.source_url)
    two.target.set("kew:tasks", "of another copy")
    onto = await kew("copy", two.source_url, two.target_url)
    assert (onto.code, "is not an unfinished copy from here" in onto.words) == (1, True)
    two.target.flushall()
    await managers(two.source_url)
    used = await kew("copy", two.source_url, two.target_url)
    assert (used.code, "1 process uses the namespace kew" in used.words) == (1, True)
    assert two.target.dbsize() == 0
    other = await kew("copy", two.source_url, "sqlite:///kew.db")
    assert (other.code, "from one Redis to another" in other.words) == (2, True)
