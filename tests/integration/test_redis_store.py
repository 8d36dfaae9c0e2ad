"""What is Redis' own: a library that vanishes, full memory, rights, connections, other programs' keys, costs."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from redis.exceptions import ResponseError

from kew import QueueConfig, TaskQueueManager
from kew.adapters.redis import RedisStore, RedisWakeup, address, connect
from kew.adapters.redis import queues as redis_queues
from kew.adapters.redis.library import Library
from kew.app.declaring import InForce
from kew.app.inspector import purged
from kew.app.notices import Interrupted, Notice, Resumed, TaskEnded
from kew.app.ports import (
    Ambiguous,
    Announce,
    Bookmark,
    Cancel,
    Control,
    Declare,
    Depart,
    Extend,
    Find,
    Forget,
    ListFailed,
    ListGroups,
    Peek,
    Purge,
    Queues,
    ReadAttempts,
    ReadSettings,
    Refused,
    Replay,
    ReplayAll,
    Running,
    Status,
    StoreError,
    Sweep,
    Watch,
)
from kew.domain.config import Settings
from kew.domain.errors import StoreUnsuitableError, TaskQueueError
from kew.domain.events import Failed, SettleEvent, Succeeded
from kew.domain.requests import (
    Along,
    ClaimRequest,
    Grant,
    Group,
    LeaseRef,
    LifeRef,
    Settlement,
    Word,
)
from kew.domain.task import Life, Submission, TaskStatus
from tests.conftest import PrivateRedis
from tests.support import jobs
from tests.support.asking import record_of
from tests.support.redis_process import connect as plain_client
from tests.support.redis_process import free_port
from tests.support.rights import rights
from tests.support.tasks import readable

Q = "orders"
SETTINGS = Settings(max_workers=100, max_size=1_000_000)


def call(task_id: str, payload: bytes = b"", **options: Any) -> Submission:
    return Submission(
        id=task_id,
        nonce=f"n{task_id}",
        task_type="mail",
        function="shop:send",
        payload=payload,
        priority=2,
        **options,
    )


def group(*calls: Submission) -> list[Group]:
    return [Group(submissions=calls)]


def request(sequence: int, want: int = 1, incarnation: str = "w1") -> ClaimRequest:
    return ClaimRequest(
        incarnation=incarnation, lane=0, sequence=sequence, want=want, lease_ms=15_000
    )


def settled(grant: Grant, event: SettleEvent) -> list[Settlement]:
    return [Settlement(task_id=task.id, lease=task.lease, event=event) for task in grant.tasks]


def succeeded(grant: Grant | None) -> list[Settlement]:
    assert grant is not None
    return settled(grant, Succeeded(b"ok"))


@contextlib.asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[RedisStore]:
    """A store with a queue and a process that serves it."""
    store = RedisStore(address(url, **options))
    try:
        await store.open()
        await store.do(Declare(Q, SETTINGS, "one"))
        await store.do(Announce(Q, "w1", ["shop:send"], 600_000))
        yield store
    finally:
        await store.close()


# --- the library


async def test_a_flushed_library_is_given_again(clean_redis_url: str):
    async with opened(clean_redis_url) as store:
        with contextlib.closing(plain_client(clean_redis_url)) as client:
            client.function_flush()
            await store.submit(Q, group(call("a")))
            client.function_flush()
            grant = await store.claim(Q, request(1))
            client.function_flush()
            settled = await store.settle(Q, succeeded(grant))
    assert [outcome.word for outcome in settled.outcomes] == [Word.DONE]


async def test_a_restarted_redis_is_used_again(private_redis: PrivateRedis):
    server = private_redis(appendonly="yes")
    async with opened(server.url) as store:
        await store.submit(Q, group(call("a")))
        server.kill()
        with pytest.raises(StoreError):
            await store.claim(Q, request(1))
        server.start()
        grant = await store.claim(Q, request(1))
    assert [task.id for task in grant.tasks] == ["a"]


# --- what it keeps of a queue's state from one call to the next


async def test_a_queues_state_is_what_redis_says_whoever_wrote_it(clean_redis_url: str):
    key = f"kew:{{{Q}}}:state"
    async with opened(clean_redis_url) as store:
        await store.submit(Q, group(call("a")))
        with contextlib.closing(plain_client(clean_redis_url)) as client:
            earlier: Any = client.hgetall(key)
            await store.submit(Q, group(call("b")))
            client.hset(key, mapping=earlier)  # as a failover does that lost the last write
            await store.submit(Q, group(call("c")))
            b, c = map(readable, await store.do(Find(["b", "c"])))
            assert b is not None
            assert c is not None
            assert b.ticket == c.ticket

            smaller = earlier[b"settings"].replace(b"max_size=1000000", b"max_size=2")
            client.hset(key, "settings", smaller)
            full = await store.submit(Q, group(call("d")))

            granted = await store.claim(Q, request(1))
            client.hset(key, "breaker", f"open 5 {full.now_ms} 1 0")
            refused = await store.claim(Q, request(2))
    assert [outcome.word for outcome in full.outcomes] == [Word.FULL]
    assert len(granted.tasks) == 1
    assert refused.tasks == ()


async def test_a_running_tasks_record_is_what_redis_says_whoever_wrote_it(clean_redis_url: str):
    """Lua keeps what a grant wrote, for as long as the text is the same."""
    async with opened(clean_redis_url) as store:
        await store.submit(Q, group(call("as it was"), call("taken over"), call("cancelled")))
        granted = await store.claim(Q, request(1, want=3))
        with contextlib.closing(plain_client(clean_redis_url)) as client:
            _rewrite(client, "taken over", b",w1.0.1.", b",w2.0.1.")
            _rewrite(client, "cancelled", b"1,0,0,0,0,", b"1,0,0,0,1,")
        again = settled(granted, Failed(error="no", retry_after_ms=0))
        answer = await store.settle(Q, again)
    found = [(each.word, each.status) for each in answer.outcomes]
    assert found == [
        (Word.DONE, TaskStatus.RETRY),
        (Word.STALE, None),
        (Word.DONE, TaskStatus.CANCELLED),
    ]


def _rewrite(client: Any, task_id: str, old: bytes, new: bytes) -> None:
    record = client.hget("kew:tasks", task_id)
    assert old in record
    client.hset("kew:tasks", task_id, record.replace(old, new))


async def test_a_call_that_fails_midway_leaves_nothing_to_the_next(clean_redis_url: str):
    line = f"kew:{{{Q}}}:line2"
    async with opened(clean_redis_url) as store:
        await store.submit(Q, group(call("a")))
        with contextlib.closing(plain_client(clean_redis_url)) as client:
            client.rename(line, "aside")
            client.set(line, "no list")
            with pytest.raises(StoreError, match="WRONGTYPE"):
                await store.submit(Q, group(call("b")))
            client.rename("aside", line)
        await store.submit(Q, group(call("c")))
        status = await store.do(Status(Q))
        assert status is not None
        assert (status.state.ticket, sum(status.waiting.values())) == (3, 3)  # b's were written
        b, c = map(readable, await store.do(Find(["b", "c"])))
        assert b is None
        assert c is not None
        assert c.ticket == 3


async def test_what_a_failing_claim_rode_on_is_counted_all_the_same(clean_redis_url: str):
    lanes = f"kew:{{{Q}}}:lanes:w1"
    async with opened(clean_redis_url) as store:
        await store.submit(Q, group(call("held")))
        held = await store.claim(Q, request(1))
        with contextlib.closing(plain_client(clean_redis_url)) as client:
            client.rename(lanes, "aside")
            client.set(lanes, "no hash")
            with pytest.raises(Ambiguous, match="WRONGTYPE"):
                await store.submit(Q, group(call("a")), Along(claim=request(2)))
            with pytest.raises(Ambiguous, match="WRONGTYPE"):
                again = Failed(error="no", retry_after_ms=0)
                await store.settle(Q, settled(held, again), request(2))
            client.rename("aside", lanes)
        status = await store.do(Status(Q))
        assert status is not None
        assert (status.state.ticket, sum(status.waiting.values())) == (2, 2)
        grant = await store.claim(Q, request(2, want=5))
    assert sorted(task.id for task in grant.tasks) == ["a", "held"]


async def test_where_an_index_cannot_be_written_nothing_is_stored_and_the_counts_are_corrected(
    clean_redis_url: str,
):
    async with opened(clean_redis_url) as store:
        kinds: list[tuple[str, dict[str, Any]]] = [("line2", {}), ("waiting2", {"delay_ms": 50})]
        for key, options in kinds:
            index = f"kew:{{{Q}}}:{key}"
            with contextlib.closing(plain_client(clean_redis_url)) as client:
                client.set(index, "a stranger's")
                for _ in range(3):
                    with pytest.raises(StoreError, match="WRONGTYPE"):
                        await store.submit(Q, group(call("a", **options)))
                client.delete(index)
            assert await store.do(Find(["a"])) == [None]
            await store.do(Sweep(Q, 10, 3_600_000, None))
            status = await store.do(Status(Q))
            assert status is not None
            assert sum(status.waiting.values()) == 0
            await store.submit(Q, group(call(key, **options)))
            await asyncio.sleep(0.06)
            grant = await store.claim(Q, request(1 if key == "line2" else 2, want=5))
            assert [task.id for task in grant.tasks] == [key]


async def test_a_claim_of_large_tasks_brings_them_in_parts(clean_redis_url: str):
    async with opened(clean_redis_url) as store:
        for n in range(30):
            await store.submit(Q, group(call(str(n), b"x" * 100_000)))
        brought: list[str] = []
        for sequence in range(1, 4):
            grant = await store.claim(Q, request(sequence, want=30))
            assert len(grant.tasks) <= 11
            assert grant.wait_ms == 0 or len(brought) + len(grant.tasks) == 30
            brought += [task.id for task in grant.tasks]
    assert brought == [str(n) for n in range(30)]


async def test_a_sweep_of_large_records_removes_them_in_parts(clean_redis_url: str):
    async with opened(clean_redis_url) as store:
        await store.do(Declare(Q, Settings(task_ttl_ms=1), "one"))
        for n in range(60):
            await store.submit(Q, group(call(str(n), b"x" * 10)))
            await store.do(Cancel(Q, str(n), None))
        with contextlib.closing(plain_client(clean_redis_url)) as client:  # as kew once stored them
            stored: Any = client.hgetall("kew:tasks")
            for task_id, raw in stored.items():
                old = raw.replace(b" 10\n", b" 100000\n") + b"x" * 99_990
                client.hset("kew:tasks", task_id, old)
        await asyncio.sleep(0.01)  # the last record has expired
        removed: list[int] = []
        while not removed or removed[-1]:
            removed.append((await store.do(Sweep(Q, 200, 60_000, None))).removed)
    assert sum(removed) == 60
    assert max(removed) == 20


@pytest.mark.parametrize("garbage", [b"", b"garbage", b"p orders 1 1 0 no,history 2 n f 0 0\n"])
async def test_a_record_that_cannot_be_read_stops_no_other_task(
    clean_redis_url: str, garbage: bytes
):
    async with opened(clean_redis_url) as store:
        await store.submit(Q, group(call("held"), call("waits"), call("later", delay_ms=50)))
        await store.claim(Q, request(1))
        with contextlib.closing(plain_client(clean_redis_url)) as client:
            leases: Any = client.zrange(f"kew:{{{Q}}}:leases", 0, 0)
            client.zadd(f"kew:{{{Q}}}:leases", {leases[0]: 1})
            client.hset("kew:tasks", mapping=dict.fromkeys(("held", "waits", "later"), garbage))
        await asyncio.sleep(0.06)
        submitted = await store.submit(Q, group(call("a")), Along(claim=request(2, want=3)))
        assert submitted.grant is not None
        assert [task.id for task in submitted.grant.tasks] == ["a"]
        assert await store.do(ListFailed(Q, None, 10)) is not None
        assert await store.do(Cancel(Q, "held", None)) is Word.MISSING
        await store.do(Sweep(Q, 10, 3_600_000, None))


# --- memory


async def test_a_full_redis_refuses_tasks_and_lets_the_queue_drain(private_redis: PrivateRedis):
    server = private_redis(maxmemory="8mb", maxmemory_policy="noeviction")
    async with opened(server.url) as store:
        accepted = await fill(store)
        with contextlib.closing(plain_client(server.url)) as client:
            client.config_set("maxmemory", "1mb")
        with pytest.raises(Refused, match=r"maxmemory"):
            await store.submit(Q, group(call("late")))
        await store.do(Announce(Q, "w1", ["shop:send"], 600_000))
        grant, sequence, done = await store.claim(Q, request(1, want=20)), 1, 0
        while grant.tasks:
            refs = [LeaseRef(task.id, task.lease) for task in grant.tasks]
            assert set(await store.do(Extend(Q, refs, 15_000))) == {Word.DONE}
            done, sequence = done + len(grant.tasks), sequence + 1
            settled = await store.settle(Q, succeeded(grant), request(sequence, want=20))
            assert settled.grant is not None
            grant = settled.grant
        assert done == accepted
        await store.do(Sweep(Q, 100, 3_600_000, None))
        await store.do(Depart(Q, "w1"))


async def test_a_process_whose_submits_a_full_redis_refuses_drains_its_queue_meanwhile(
    private_redis: PrivateRedis,
):
    server = private_redis(maxmemory_policy="noeviction")
    async with TaskQueueManager(server.url) as manager:
        await manager.create_queue(QueueConfig("q", max_workers=2), functions=[jobs.echo])
        await manager.pause_queue("q")
        waiting = [
            await manager.submit_task(f"w{n}", "q", "t", jobs.echo, None, value=n)
            for n in range(100)
        ]
        with contextlib.closing(plain_client(server.url)) as client:
            client.config_set("maxmemory", "1mb")
            refused = [
                asyncio.ensure_future(manager.submit_task(f"r{n}", "q", "t", jobs.echo, value=n))
                for n in range(5)
            ]
            await asyncio.sleep(0.1)
            await manager.resume_queue("q")
            for info in waiting:
                await manager.handle(info).result(timeout=30)
            client.config_set("maxmemory", "0")
        for submitting in refused:
            await submitting


async def test_a_label_of_a_kind_of_text_is_text_and_a_record_that_cannot_be_read_is_told_of(
    clean_redis_url: str,
):
    class Text(str):
        pass

    async with TaskQueueManager(clean_redis_url) as manager:
        await manager.create_queue(QueueConfig("q"), functions=[jobs.echo])
        both = (Text("label"), "label")
        infos = await asyncio.gather(
            *(manager.submit_task(f"t{n}", "q", label, jobs.echo) for n, label in enumerate(both))
        )
        assert [(await record_of(manager, "q", info.task_id)).call.task_type for info in infos] == [
            "label",
            "label",
        ]
        with contextlib.closing(plain_client(clean_redis_url)) as client:
            for garbage in (b"", b"junk", b"\xff" * 50, b"c q 1 1 0 - 2 n f 0 0"):
                client.hset("kew:tasks", "t0", garbage)
                with pytest.raises(TaskQueueError, match="the record of task 't0'"):
                    await manager.get_task_status("t0")


async def test_a_process_that_starts_while_redis_is_full_drains_the_queue(
    private_redis: PrivateRedis,
):
    server = private_redis(maxmemory="8mb", maxmemory_policy="noeviction")
    async with TaskQueueManager(server.url) as submitter:
        await submitter.create_queue(QueueConfig("full"), work=False)
        await submitter.submit_task("t", "full", "t", jobs.echo, None, value="drained")
        with contextlib.closing(plain_client(server.url)) as client:
            client.config_set("maxmemory", "1mb")
        async with TaskQueueManager(server.url) as worker:
            await worker.create_queue(QueueConfig("full"), functions=[jobs.echo])
            async with asyncio.timeout(30):
                ended = await record_of(submitter, "full", "t")
    assert ended.status is TaskStatus.COMPLETED


async def test_a_full_redis_that_lacks_the_library_drains_all_the_same(
    private_redis: PrivateRedis,
):
    """As when a new version comes to drain it."""
    server = private_redis(maxmemory="8mb", maxmemory_policy="noeviction")
    async with TaskQueueManager(server.url) as submitter:
        await submitter.create_queue(QueueConfig("full"), work=False, functions=[jobs.echo])
        for n in range(50):
            await submitter.submit_task(f"t{n}", "full", "t", jobs.echo, None, value=n)
        with contextlib.closing(plain_client(server.url)) as client:
            client.config_set("maxmemory", "1mb")
            client.function_flush()
            async with TaskQueueManager(server.url) as worker:
                await worker.create_queue(QueueConfig("full"), functions=[jobs.echo])
                async with asyncio.timeout(30):
                    for n in range(50):
                        ended = await record_of(submitter, "full", f"t{n}")
                        assert ended.status is TaskStatus.COMPLETED
                assert client.function_list() == []
                assert (await worker.get_queue_status("full"))["queued_tasks"] == 0
                more = asyncio.create_task(
                    submitter.submit_task("more", "full", "t", jobs.echo, None, value=1)
                )
                assert not (await asyncio.wait([more], timeout=0.3))[0]
                client.config_set("maxmemory", "8mb")
                await more
                assert (await record_of(submitter, "full", "more")).status is TaskStatus.COMPLETED


async def test_an_operation_is_the_same_as_a_function_and_as_a_script(clean_redis_url: str):
    library = Library()
    with contextlib.closing(plain_client(clean_redis_url)) as client:
        for operation in library:
            arguments = ["0" if name in operation.numbers else "x" for name in operation.arguments]
            keys = [f"kew:{{q}}:{key}" for key in operation.keys]
            asked = (len(keys), *keys, *arguments)
            with contextlib.suppress(ResponseError):
                client.execute_command("FUNCTION", "LOAD", library.text)
            replies = []
            for words in (("FCALL", operation.function), ("EVAL", library.script(operation))):
                client.flushdb()
                try:
                    replies.append(without_times(client.execute_command(*words, *asked)))
                except ResponseError as error:
                    replies.append(re.sub(r"script: .*|user_\w+:\d+", "", str(error)))
            assert replies[0] == replies[1], operation.name


def without_times(reply: object) -> object:
    """The reply, but for instants."""
    if isinstance(reply, list):
        return [without_times(each) for each in reply]
    return "an instant" if isinstance(reply, int) and reply > 10**12 else reply


async def fill(store: RedisStore) -> int:
    for n in range(100):
        await store.submit(Q, group(call(f"t{n}", b"x" * 10_000)))
    return 100


async def test_a_waiting_task_of_20_bytes_costs_less_than_300_bytes(private_redis: PrivateRedis):
    server = private_redis()
    tasks = 10_000
    async with opened(server.url) as store:
        with contextlib.closing(plain_client(server.url)) as client:
            before = client.info("memory")["used_memory"]
            for first in range(0, tasks, 1000):
                calls = [call(f"task-{n:011d}", b"x" * 24) for n in range(first, first + 1000)]
                await store.submit(Q, group(*calls))
            await store.close()  # what connections buffer is no task's
            after = client.info("memory")["used_memory"]
    assert (after - before) / tasks < 300


# --- rights


async def test_the_documented_rights_are_enough_and_reach_nothing_else(
    private_redis: PrivateRedis,
):
    server = private_redis()
    with contextlib.closing(plain_client(server.url)) as client:
        client.execute_command("ACL", "SETUSER", "kew", "on", ">s3cret", *rights())
        client.set("other:key", "mine")
    url = server.url.replace("redis://", "redis://kew:s3cret@")
    async with opened(url) as store:
        await use_everything(store, url)
    store = RedisStore(address(url), "other")
    with pytest.raises(StoreError):
        await store.do(Declare(Q, SETTINGS, "one"))
    await store.close()


async def test_a_user_who_may_not_use_the_channels_is_refused_and_one_who_may_no_more_loses_nothing(
    private_redis: PrivateRedis,
):
    server = private_redis()
    url = server.url.replace("redis://", "redis://app:s3cret@")
    with contextlib.closing(plain_client(server.url)) as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">s3cret", "~*", "+@all")
        with pytest.raises(StoreUnsuitableError, match="PUBLISH on its channels"):
            async with opened(url):
                pass
        client.execute_command("ACL", "SETUSER", "app", "allchannels")
        async with opened(url) as store:
            await store.claim(Q, request(1))  # it waits to be told from here on
            client.execute_command("ACL", "SETUSER", "app", "resetchannels")
            await store.submit(Q, group(call("a"), call("b", delay_ms=1)))
            status = await store.do(Status(Q))
            assert status is not None
            assert sum(status.waiting.values()) == 2
            await asyncio.sleep(0.01)
            grant = await store.claim(Q, request(2, want=2))
            settled = await store.settle(Q, succeeded(grant))
    assert [outcome.word for outcome in settled.outcomes] == [Word.DONE, Word.DONE]


async def use_everything(store: RedisStore, url: str) -> None:
    """Each operation once, and the paths of a shelf, a deferral and a wake-up."""
    from kew.app.ports import Command

    wakeup, told = RedisWakeup(address(url)), asyncio.Event()
    await wakeup.listen("w9", lambda notice: told.set())
    strange = call("strange")
    strange = Submission(
        **{
            **{n: getattr(strange, n) for n in ("nonce", "task_type", "payload", "priority")},
            "id": "strange",
            "function": "nobody:knows",
        }
    )
    await store.submit(Q, group(call("a"), call("b", delay_ms=60_000), strange, call("c")))
    grant = await store.claim(Q, request(1, want=2))
    assert [task.id for task in grant.tasks] == ["a", "c"]
    assert await store.do(Watch(Q, ["a"], "w9"))
    assert len(await store.do(Running(Q))) == 2
    await store.settle(Q, succeeded(grant), request(2))
    async with asyncio.timeout(30):
        await told.wait()
    assert await store.do(Cancel(Q, "b", None)) is Word.DONE
    assert await store.do(Cancel(Q, "strange", None)) is Word.DONE
    assert await store.do(Replay(Q, "b", None)) is Word.DONE
    assert await store.do(Control(Q, Command.PAUSE, "w1", 1)) is Word.DONE
    assert await store.do(ListFailed(Q, Bookmark(10**15, 1, "a"), 10)) is not None
    assert await store.do(ListGroups(Q, "", 10)) is not None
    ref = LifeRef("b", Life(2, 1))
    assert list(await store.do(ReadAttempts(Q, [ref]))) == [[]]
    assert await store.do(ReplayAll(Q, [ref])) == [Word.SAME]
    assert await store.do(Forget(Q, [ref])) == [Word.ILLEGAL]
    assert (await store.do(Find(["a"])))[0] is not None
    assert await store.do(Status(Q)) is not None
    assert await store.do(ReadSettings(Q)) == InForce(SETTINGS, 1, "one")
    assert await store.do(Queues()) == [Q]
    await store.do(Peek(Q))
    await store.do(Sweep(Q, 10, 3_600_000, None))
    await store.do(Depart(Q, "w1"))
    await purged(store, Q)
    await wakeup.close()


async def test_a_wake_up_that_cannot_be_read_ends_nothing(clean_redis_url: str, caplog: Any):
    async with (
        TaskQueueManager(clean_redis_url) as worker,
        TaskQueueManager(clean_redis_url) as web,
    ):
        await worker.create_queue(QueueConfig("q"), functions=[jobs.echo])
        await web.create_queue(QueueConfig("q"), work=False)
        with contextlib.closing(plain_client(clean_redis_url)) as client:
            assert worker._process is not None
            channel = f"kew:to:{worker._process.incarnation}"
            for text in (b"c x", b"\xff", b""):
                assert client.publish(channel, text) == 1
            began = asyncio.get_running_loop().time()
            await web.submit_task("t", "q", "t", jobs.echo, None, value=1)
            await record_of(web, "q", "t")
            listening: Any = client.pubsub_numsub(channel)
            assert listening[0][1] == 1
    assert asyncio.get_running_loop().time() - began < 2
    assert sum("can't be read" in message for message in caplog.messages) == 2


# --- other programs


async def test_purging_leaves_no_key_of_kew_and_every_other(clean_redis_url: str):
    with contextlib.closing(plain_client(clean_redis_url)) as client:
        others = {"kewpie:tasks": "1", "kew:other": "2", "orders": "3", "{orders}:state": "4"}
        client.mset(others)
        async with opened(clean_redis_url) as store:
            await store.submit(Q, group(*(call(f"t{n}") for n in range(500))))
            await store.submit(Q, group(call("later", delay_ms=60_000)))
            grant = await store.claim(Q, request(1, want=3))
            await store.settle(Q, succeeded(grant), request(2, want=2))
            await store.do(Declare("second", SETTINGS, "two"))
            await store.submit("second", group(call("kept")))
            await purged(store, Q)
            kept = await store.do(Find(["t0", "t400", "later", "kept"]))
            await purged(store, "second")
        assert [task and task.id for task in kept] == [None, None, None, "kept"]
        keys: Any = client.keys("*")
        assert {key.decode() for key in keys} == set(others)


async def purge_begun(store: RedisStore) -> "asyncio.Task[bool]":
    """A purge of this queue, and not of one that is declared later, after its first steps."""
    purging = asyncio.ensure_future(store.do(Purge(Q, "one")))
    while await store.do(ReadSettings(Q)) is not None:  # noqa: ASYNC110 - it is Redis that changes
        await asyncio.sleep(0)
    return purging


async def test_nothing_begins_in_a_queue_before_its_purge_has_ended(
    clean_redis_url: str, monkeypatch: pytest.MonkeyPatch
):
    """A large purge takes many steps, and other processes declare a lost queue anew by themselves."""
    monkeypatch.setattr(redis_queues, "PURGE_AT_ONCE", 10)
    async with opened(clean_redis_url) as store:
        other = RedisStore(address(clean_redis_url))
        await other.do(Queues())  # so that it has a connection
        await store.submit(Q, group(*(call(f"t{n}") for n in range(3_000))))
        held = (await store.claim(Q, request(1, want=3))).tasks

        purging = await purge_begun(store)
        assert (await other.submit(Q, group(call("t400")))).outcomes[0].word is Word.NO_QUEUE
        assert (await other.settle(Q, succeeded(Grant(word=Word.DONE, tasks=held)))).outcomes[
            0
        ].word is Word.STALE
        announced = await other.do(Announce(Q, "w2", ["shop:send"], 600_000))
        assert announced.word is Word.NO_QUEUE
        assert not purging.done()
        assert (await other.do(Declare(Q, SETTINGS, "anew"))).edition == "anew"
        assert (await other.submit(Q, group(call("t400"), call("new")))).outcomes[
            0
        ].word is Word.DONE
        await purging
        assert not await store.do(Purge(Q, "one"))  # a step that arrives late
        await other.close()

        status = await store.do(Status(Q))
        assert status is not None
        assert sum(status.waiting.values()) == 2
        await store.do(Announce(Q, "w1", ["shop:send"], 600_000))
        assert [task.id for task in (await store.claim(Q, request(1, want=9))).tasks] == [
            "t400",
            "new",
        ]
        assert await store.do(Find([f"t{n}" for n in range(400)])) == [None] * 400


async def test_a_purge_that_was_interrupted_is_finished_by_who_declares_the_queue(
    clean_redis_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(redis_queues, "PURGE_AT_ONCE", 10)
    async with opened(clean_redis_url) as store:
        await store.submit(Q, group(*(call(f"t{n}") for n in range(500))))
        purging = await purge_begun(store)
        purging.cancel()
        assert await store.do(Queues()) == [Q]
        await store.do(Announce(Q, "w1", ["shop:send"], 600_000))
        with contextlib.closing(plain_client(clean_redis_url)) as client:
            assert client.keys(f"kew:{{{Q}}}:workers*") == []
        await store.do(Declare(Q, SETTINGS, "one"))
        assert await store.do(Find([f"t{n}" for n in range(500)])) == [None] * 500


async def test_namespaces_do_not_meet(clean_redis_url: str):
    store, wakeup = connect(clean_redis_url, "other")
    async with opened(clean_redis_url) as first:
        await first.submit(Q, group(call("a")))
        await store.open()
        assert await store.do(Queues()) == []
        assert await store.do(Find(["a"])) == [None]
    await store.close()
    await wakeup.close()


# --- connections


async def test_an_unanswered_call_is_ambiguous_and_its_connection_is_not_used_again(
    private_redis: PrivateRedis,
):
    server = private_redis()
    async with opened(server.url, timeout=0.3) as store:
        await store.submit(Q, group(call("a"), call("b")))
        server.freeze()
        with pytest.raises(Ambiguous, match="no answer"):
            await store.claim(Q, request(1))
        server.thaw()
        assert [task.id for task in (await store.claim(Q, request(1))).tasks] == ["a"]
        assert (await store.do(Find(["a"])))[0] is not None


async def test_a_cancelled_call_leaves_no_reply_for_the_next_one(clean_redis_url: str):
    async with opened(clean_redis_url) as store:
        for n in range(50):
            doomed = asyncio.create_task(store.submit(Q, group(call(f"x{n}"))))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            doomed.cancel()
            (found,) = await store.do(Find([f"absent{n}"]))
            assert found is None
            with contextlib.suppress(asyncio.CancelledError):
                await doomed


async def test_an_unreachable_redis_refuses(private_redis: PrivateRedis):
    server = private_redis()
    async with opened(server.url) as store:
        server.kill()
        await asyncio.sleep(0.1)
        with pytest.raises(Refused):
            await store.submit(Q, group(call("a")))


async def test_heartbeats_have_a_connection_of_their_own(clean_redis_url: str):
    async with opened(clean_redis_url) as store:
        await store.submit(Q, group(call("a")))
        (task,) = (await store.claim(Q, request(1))).tasks
        crowd = [asyncio.create_task(store.do(Find(["a"]))) for _ in range(2_000)]
        await asyncio.sleep(0)
        words = await store.do(Extend(Q, [LeaseRef(task.id, task.lease)], 15_000))
        assert not all(one.done() for one in crowd)
        await asyncio.gather(*crowd)
    assert words == [Word.DONE]


async def test_a_lost_subscription_stands_again_and_says_so(private_redis: PrivateRedis):
    server = private_redis()
    async with opened(server.url) as store:
        wakeup, notices = RedisWakeup(address(server.url)), asyncio.Queue[Notice]()
        await wakeup.listen("w1", notices.put_nowait)
        with contextlib.closing(plain_client(server.url)) as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        async with asyncio.timeout(30):
            assert isinstance(await notices.get(), Interrupted)
            assert await notices.get() == Resumed()
        await store.submit(Q, group(call("a")))
        await store.do(Watch(Q, ["a"], "w1"))
        await store.do(Cancel(Q, "a", None))
        async with asyncio.timeout(30):
            assert await notices.get() == TaskEnded("a")
        await wakeup.close()


async def test_a_cluster_node_is_refused(private_redis: PrivateRedis):
    server = private_redis(cluster_enabled="yes", cluster_port=free_port())
    store = RedisStore(address(server.url))
    with pytest.raises(StoreUnsuitableError, match="Cluster"):
        await store.open()
    await store.close()


# --- what an operation costs


Operation = Callable[[RedisStore], Awaitable[object]]
COSTS: list[tuple[str, Operation, int]] = [
    ("peek", lambda store: store.do(Peek(Q)), 1),
    ("announce", lambda store: store.do(Announce(Q, "w1", ["shop:send"], 600_000)), 6),
    ("renew", lambda store: store.do(Announce(Q, "w1", [], 600_000)), 3),
    (
        "sweep",
        lambda store: store.do(Sweep(Q, 100, 3_600_000, None)),
        22,
    ),  # the first one also looks for dead letters of older versions, and trims the history
    ("submit", lambda store: store.submit(Q, group(call("new"))), 8),
    ("submit 100", lambda store: store.submit(Q, group(*hundred("n"))), 8),
    ("claim 50", lambda store: store.claim(Q, request(2, want=50)), 18),
    ("find", lambda store: store.do(Find(["waiting9"])), 3),
]


def hundred(prefix: str) -> list[Submission]:
    return [call(f"{prefix}{n}") for n in range(100)]


@pytest.mark.parametrize(("name", "operate", "most"), COSTS, ids=[name for name, *_ in COSTS])
async def test_an_operation_costs_few_commands_as_redis_counts_them(
    private_redis: PrivateRedis, name: str, operate: Operation, most: int
):
    server = private_redis()
    async with opened(server.url) as store:
        await operate(store)  # the library is there
        await purged(store, Q)
        await store.do(Declare(Q, SETTINGS, "one"))
        await store.do(Announce(Q, "w1", ["shop:send"], 600_000))
        await store.submit(Q, group(*hundred("waiting")))
        await store.claim(Q, request(1))
        with contextlib.closing(plain_client(server.url)) as client:
            client.config_resetstat()
            await operate(store)
            counted = commands(client)
    assert sum(counted.values()) <= most, counted


def commands(client: Any) -> dict[str, int]:
    """How often each command ran since the counts were reset, in functions and out of them."""
    stats = client.info("commandstats").items()
    return {key: of["calls"] for key, of in stats if key != "cmdstat_config|resetstat"}


async def test_settling_fifty_and_claiming_fifty_costs_as_many_commands_as_one(
    private_redis: PrivateRedis,
):
    server = private_redis()
    async with opened(server.url) as store:
        await store.submit(Q, group(*hundred("a")))
        grant = await store.claim(Q, request(1, want=1))
        counts = []
        with contextlib.closing(plain_client(server.url)) as client:
            for sequence, want in ((2, 45), (3, 45)):
                client.config_resetstat()
                settled = await store.settle(Q, succeeded(grant), request(sequence, want=want))
                counts.append(sum(commands(client).values()))
                assert settled.grant is not None
                grant = settled.grant
    assert len(grant.tasks) == 45
    assert counts[1] <= counts[0] <= 24
    (found,) = [task for task in await _found(server.url, "a0") if task]
    assert found.status is TaskStatus.COMPLETED


async def _found(url: str, task_id: str) -> Any:
    async with opened(url) as store:
        return await store.do(Find([task_id]))


# --- connections


async def test_a_store_that_is_opened_again_keeps_its_connections(clean_redis_url: str):
    store, _ = connect(clean_redis_url)
    await store.open()
    await store.close()
    await store.open()
    with contextlib.closing(plain_client(clean_redis_url)) as client:
        before = client.info("stats")["total_connections_received"]
        for _ in range(20):
            await store.do(Queues())
        assert client.info("stats")["total_connections_received"] - before <= 1
    await store.close()


async def test_a_peer_that_vanished_is_found_out_within_a_minute(clean_redis_url: str):
    line = address(clean_redis_url).connection()
    await line.connect()
    kept: socket.socket = line._writer.get_extra_info("socket")  # type: ignore[attr-defined]
    idle, pause, tries = (
        kept.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    await line.disconnect()
    assert idle + pause * tries <= 60
