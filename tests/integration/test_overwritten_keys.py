"""Another program writes to a key of kew's: calls say which one, and what a call had not finished is finished later."""

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from kew import QueueConfig, TaskQueueManager
from kew.adapters.redis import RedisStore, address
from kew.app.ports import Announce, Damaged, Declare
from kew.domain.config import Settings
from kew.domain.events import Failed, Succeeded
from kew.domain.requests import ClaimRequest, Grant, Group, Settlement
from kew.domain.task import Submission, Task
from kew.exceptions import StoreUnsuitableError, SubmitUncertainError
from tests.support import jobs
from tests.support.redis_process import connect

Q = "orders"
KEYS = ("state", "line2", "waiting2", "leases", "ended", "parked", "idle", "hungry", "workers")


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, logger="kew")


def key_of(part: str) -> str:
    return f"kew:{{{Q}}}:{part}"


@contextlib.contextmanager
def overwritten(url: str, key: str) -> Iterator[None]:
    """Another program's string stands in place of the key."""
    with contextlib.closing(connect(url)) as client:
        is_moved = bool(client.exists(key)) and client.rename(key, f"aside:{key}")
        client.set(key, "a string")
        try:
            yield
        finally:
            client.delete(key)
            if is_moved:
                client.rename(f"aside:{key}", key)


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[RedisStore]:
    store = RedisStore(address(url))
    try:
        await store.open()
        await store.do(Declare(Q, Settings(max_workers=100), "one"))
        await store.do(Announce(Q, "w1", ["shop:send"], 600_000))
        yield store
    finally:
        await store.close()


async def submit(
    store: RedisStore, task_id: str, priority: int = 2, payload: bytes = b"", key: str = ""
) -> None:
    submission = Submission(
        id=task_id,
        nonce=f"n{task_id}",
        task_type="mail",
        function="shop:send",
        payload=payload,
        priority=priority,
        key=key,
    )
    await store.submit(Q, [Group(submissions=(submission,))])


def request(sequence: int, want: int = 1, lease_ms: int = 60_000) -> ClaimRequest:
    return ClaimRequest(incarnation="w1", lane=0, sequence=sequence, want=want, lease_ms=lease_ms)


def retried(tasks: list[Task]) -> list[Settlement]:
    event = Failed(error="no", retry_after_ms=0)
    return [Settlement(task_id=task.id, lease=task.lease, event=event) for task in tasks]


# --- what a caller gets


@pytest.mark.parametrize("part", ["state", "leases"])
async def test_a_question_names_the_overwritten_key_at_once(clean_redis_url: str, part: str):
    async with TaskQueueManager(clean_redis_url) as manager:
        await manager.create_queue(QueueConfig(Q), functions=[jobs.echo])
        with (
            overwritten(clean_redis_url, key_of(part)),
            pytest.raises(StoreUnsuitableError, match=rf"'kew:\{{{Q}\}}:{part}' is not a.*DEL"),
        ):
            await manager.get_queue_status(Q)
        assert (await manager.get_queue_status(Q))["name"] == Q


async def test_a_look_up_names_the_overwritten_records(clean_redis_url: str):
    async with TaskQueueManager(clean_redis_url) as manager:
        with (
            overwritten(clean_redis_url, "kew:tasks"),
            pytest.raises(StoreUnsuitableError, match=r"'kew:tasks' is not a"),
        ):
            await manager.get_task_status("a")


async def test_the_names_of_queues_name_the_overwritten_key(clean_redis_url: str):
    async with TaskQueueManager(clean_redis_url) as manager:
        with (
            overwritten(clean_redis_url, "kew:queues"),
            pytest.raises(StoreUnsuitableError, match=r"'kew:queues' is not a set"),
        ):
            await manager.get_queue_names()


async def test_a_queue_that_cannot_be_created_names_the_overwritten_key(clean_redis_url: str):
    async with TaskQueueManager(clean_redis_url) as manager:
        with (
            overwritten(clean_redis_url, key_of("state")),
            pytest.raises(StoreUnsuitableError, match=rf"'kew:\{{{Q}\}}:state' is not a"),
        ):
            await manager.create_queue(QueueConfig(Q))


async def test_a_submit_names_the_overwritten_key_long_before_its_patience_ends(
    clean_redis_url: str,
):
    async with TaskQueueManager(clean_redis_url, patience=60.0) as manager:
        await manager.create_queue(QueueConfig(Q), work=False, functions=[jobs.echo])
        with (
            overwritten(clean_redis_url, key_of("line2")),
            pytest.raises(SubmitUncertainError, match=rf"'kew:\{{{Q}\}}:line2' is not a"),
        ):
            await manager.submit_task("a", Q, "sum", jobs.echo, None, 3)
        info = await manager.submit_task("b", Q, "sum", jobs.echo, None, 3)
        async with TaskQueueManager(clean_redis_url) as worker:
            await worker.create_queue(QueueConfig(Q), functions=[jobs.echo])
            assert await manager.handle(info).result(timeout=30) == 3


async def test_the_keys_of_processes_and_shelves_are_found_too(clean_redis_url: str):
    async with opened(clean_redis_url) as store:
        await submit(store, "a")
        for key in (f"{key_of('lanes')}:w1", f"{key_of('functions')}:w1"):
            with (
                overwritten(clean_redis_url, key),
                pytest.raises(
                    Damaged, match=rf"the key '{key.replace('{', '.').replace('}', '.')}'"
                ),
            ):
                await store.claim(Q, request(1))


async def test_an_overwritten_key_of_one_queue_stops_no_other(clean_redis_url: str):
    async with TaskQueueManager(clean_redis_url) as manager:
        await manager.create_queue(QueueConfig(Q), functions=[jobs.echo])
        await manager.create_queue(QueueConfig("others"))
        with contextlib.ExitStack() as stack:
            for part in KEYS:
                stack.enter_context(overwritten(clean_redis_url, key_of(part)))
            info = await manager.submit_task("a", "others", "sum", jobs.echo, None, 3)
            assert await manager.handle(info).result(timeout=30) == 3


# --- what an operation that Redis broke off leaves


async def test_tasks_whose_payloads_are_overwritten_wait_until_they_can_be_read(
    clean_redis_url: str,
):
    async with opened(clean_redis_url) as store:
        await submit(store, "small", priority=1)
        await submit(store, "large", payload=b"x" * 2_000)
        await submit(store, "last")
        with overwritten(clean_redis_url, "kew:contents"):
            first = await store.claim(Q, request(1, want=3))
            assert [task.id for task in first.tasks] == ["small"]
            with pytest.raises(Damaged, match=r"'kew:contents' is not a hash"):
                await store.claim(Q, request(2, want=3))
        grant = await store.claim(Q, request(2, want=3))
        assert [(task.id, len(task.call.payload)) for task in grant.tasks] == [
            ("large", 2_000),
            ("last", 0),
        ]


async def test_retried_tasks_are_not_lost_if_the_index_of_one_is_overwritten(clean_redis_url: str):
    async with opened(clean_redis_url) as store:
        await submit(store, "low", priority=3)
        await submit(store, "medium")
        held = await store.claim(Q, request(1, want=2))
        with overwritten(clean_redis_url, key_of("waiting3")), pytest.raises(Damaged):
            await store.settle(Q, retried(list(held.tasks)))
        await store.settle(Q, retried(list(held.tasks)))
        again = await store.claim(Q, request(2, want=2))
        assert sorted(task.id for task in again.tasks) == ["low", "medium"]


async def test_recovered_tasks_are_not_lost_if_the_index_of_one_is_overwritten(
    clean_redis_url: str,
):
    async with opened(clean_redis_url) as store:
        await submit(store, "low", priority=3)
        await submit(store, "medium")
        await store.claim(Q, request(1, want=2, lease_ms=1))
        with overwritten(clean_redis_url, key_of("waiting3")), pytest.raises(Damaged):
            await store.claim(Q, request(2, want=2))
        again = await store.claim(Q, request(2, want=2))
        assert sorted(task.id for task in again.tasks) == ["low", "medium"]


async def test_what_still_runs_is_not_granted_twice_after_a_settle_that_broke_off(
    clean_redis_url: str,
):
    async with opened(clean_redis_url) as store:
        await submit(store, "low", priority=3)
        await submit(store, "medium")
        held = await store.claim(Q, request(1, want=2))
        with contextlib.closing(connect(clean_redis_url)) as client:
            client.zadd(key_of("waiting2"), {f"{held.tasks[0].ticket:012d}{held.tasks[0].id}": 1})
        await submit(store, "next")
        grant = await store.claim(Q, request(2, want=5))
        assert [task.id for task in grant.tasks] == ["next"]


async def test_a_completed_task_expires_though_the_index_of_ends_was_overwritten(
    clean_redis_url: str,
):
    async with opened(clean_redis_url) as store:
        await submit(store, "a")
        held = await store.claim(Q, request(1))
        done = [Settlement(task_id="a", lease=held.tasks[0].lease, event=Succeeded(b"ok"))]
        with overwritten(clean_redis_url, key_of("ended")), pytest.raises(Damaged):
            await store.settle(Q, done)
        await store.settle(Q, done)
        with contextlib.closing(connect(clean_redis_url)) as client:
            assert client.zscore(key_of("ended"), "a") is not None


async def test_tasks_on_their_way_to_a_shelf_are_not_lost_if_it_is_overwritten(
    clean_redis_url: str,
):
    async with opened(clean_redis_url) as store:
        await store.do(Announce(Q, "w2", ["other:f"], 600_000))
        await submit(store, "a")
        ask = ClaimRequest(incarnation="w2", lane=0, sequence=1, want=1, lease_ms=60_000)
        with (
            overwritten(clean_redis_url, f"{key_of('parked')}:2:shop:send"),
            pytest.raises(Damaged, match="parked:2:shop:send"),
        ):
            await store.claim(Q, ask)
        grant = await store.claim(Q, request(1))
        assert [task.id for task in grant.tasks] == ["a"]


async def test_no_fencing_token_is_used_twice_after_a_claim_that_broke_off(clean_redis_url: str):
    async with opened(clean_redis_url) as store:
        await submit(store, "a")
        with overwritten(clean_redis_url, key_of("idle")), pytest.raises(Damaged):
            await store.claim(Q, request(1, want=2))
        first: Grant = await store.claim(Q, request(1, want=2))
        await submit(store, "b")
        second = await store.claim(Q, request(2, want=2))
        tokens = [task.token for task in (*first.tasks, *second.tasks)]
        assert tokens == [1, 2]


# --- keys of tasks


@pytest.mark.parametrize("part", ["groups", "ended"])
async def test_a_key_is_free_again_after_a_settle_that_broke_off(clean_redis_url: str, part: str):
    async with opened(clean_redis_url) as store:
        await store.do(Declare(Q, Settings(max_workers=100, key_workers=1), "two"))
        await submit(store, "a1", key="a")
        await submit(store, "a2", key="a")
        granted = await store.claim(Q, request(1, want=5))
        event = Failed(error="no", retry_after_ms=None)
        failed = [Settlement(task_id="a1", lease=granted.tasks[0].lease, event=event)]
        with overwritten(clean_redis_url, key_of(part)), contextlib.suppress(Damaged):
            await store.settle(Q, failed, None)
        await store.settle(Q, failed, None)
        assert [task.id for task in (await store.claim(Q, request(2, want=5))).tasks] == ["a2"]


async def test_no_task_of_a_key_is_lost_by_a_claim_that_broke_off(clean_redis_url: str):
    async with opened(clean_redis_url) as store:
        await submit(store, "a1", key="a")
        with overwritten(clean_redis_url, key_of("keyed:holders")), pytest.raises(Damaged):
            await store.claim(Q, request(1))
        assert [task.id for task in (await store.claim(Q, request(1))).tasks] == ["a1"]
