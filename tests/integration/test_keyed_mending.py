"""A sweep corrects what a call that Redis aborted, or an older process that purged a queue, left wrong about keys."""

from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest

from kew.app.ports import LimitKey
from kew.domain.events import Snoozed
from kew.domain.key_limits import OwnLimits
from kew.domain.requests import Settlement, Word
from tests.support.raw_redis import read_namespace
from tests.support.scene import QUEUE, Scene, Worker, call, group
from tests.support.stores import raw_client, redis_scene

BASE = f"kew:{{{QUEUE}}}:keyed:"
STATE = f"kew:{{{QUEUE}}}:state"


@attrs.frozen
class Damaged:
    """A queue with tasks of two keys, of which one has a lease, and its raw keys."""

    scene: Scene
    worker: Worker
    client: Any

    async def faults(self) -> list[str]:
        namespace = await read_namespace(self.client)
        return [
            *namespace.faults,
            *(fault for each in namespace.queues.values() for fault in each.faults),
        ]


@pytest.fixture
async def damaged(any_redis_url: str) -> AsyncIterator[Damaged]:
    async with redis_scene(any_redis_url) as scene:
        await scene.store.open()
        await scene.declare(key_workers=2, max_workers=20)
        worker = await scene.worker()
        for task_id in ("a1", "a2", "a3", "b1", "b2"):
            await scene.submit(task_id, key=task_id[0])
        assert await worker.claim_ids(1) == ["a1"]
        client = raw_client(any_redis_url)
        made = Damaged(scene, worker, client)
        assert await made.faults() == []
        try:
            yield made
        finally:
            await client.aclose()
            await scene.close()


async def counts_with(client: Any, keys: bytes) -> None:
    counts = await client.hget(STATE, "counts")
    before, _, _ = counts.partition(b" keys=")
    await client.hset(STATE, "counts", before + b" keys=" + keys)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda client: client.hset(f"{BASE}turns", "2 a", "7 9"), id="too many wait"),
        pytest.param(lambda client: client.hset(f"{BASE}turns", "2 b", "2 0"), id="none waits"),
        pytest.param(lambda client: client.hset(f"{BASE}turns", "1 z", "9 4"), id="no such key"),
        pytest.param(lambda client: client.zrem(f"{BASE}ring2", "b"), id="out of its ring"),
        pytest.param(lambda client: client.delete(f"{BASE}first"), id="first tasks"),
        pytest.param(lambda client: client.zadd(f"{BASE}held", {"a": 2, "c": 3}), id="held"),
        pytest.param(lambda client: client.zrem(f"{BASE}held", "a"), id="not held"),
        pytest.param(
            lambda client: client.hset(f"{BASE}holders", "000000000099gone", "b"), id="a lease"
        ),
        pytest.param(lambda client: counts_with(client, b"9,0,0,0,3,8,0"), id="counts"),
    ],
)
async def test_a_sweep_corrects_what_is_known_of_keys(damaged: Damaged, damage: Any):
    await damage(damaged.client)
    assert await damaged.faults() != []
    await damaged.scene.sweep()
    assert await damaged.faults() == []
    assert sorted(await damaged.worker.claim_ids()) == ["a2", "b1", "b2"]


async def test_many_keys_are_corrected_in_pieces(damaged: Damaged):
    await damaged.scene.declare(key_workers=2, max_workers=20, max_size=10_000)
    for n in range(0, 1_500, 100):
        calls = [call(f"t{n + each}", key=f"k{n + each}") for each in range(100)]
        (outcome,) = await damaged.scene.try_submit(group(*calls))
        assert outcome.word is Word.DONE
    await damaged.client.zrem(f"{BASE}ring2", *(f"k{n}" for n in range(1_500)))
    assert await damaged.faults() != []
    for _ in range(60):
        await damaged.scene.sweep()
    assert await damaged.faults() == []


async def test_a_sweep_finds_the_keys_that_a_declaration_with_another_limit_left_out(
    damaged: Damaged,
):
    """A declaration looks at a thousand keys that hold leases."""
    await damaged.scene.declare(key_workers=1, max_workers=5_000, max_size=10_000)
    for n in range(0, 1_200, 100):
        calls = [call(f"t{n + each}", key=f"k{(n + each) // 2}") for each in range(100)]
        await damaged.scene.try_submit(group(*calls))
    for n in range(1_100):
        calls = [call(f"u{n}", key=f"m{n}"), call(f"v{n}", key=f"m{n}")]
        await damaged.scene.try_submit(group(*calls))
    while await damaged.worker.claim(400):
        pass
    assert await damaged.faults() == []
    await damaged.scene.declare(key_workers=2, max_workers=5_000, max_size=10_000)
    assert await damaged.faults() != []
    for _ in range(40):
        await damaged.scene.sweep()
    assert await damaged.faults() == []


async def test_what_an_older_process_left_when_it_purged_the_queue_is_removed(damaged: Damaged):
    """It knows nothing of keys, so it leaves theirs."""
    kept = {key: await damaged.client.dump(key) for key in await damaged.client.keys(f"{BASE}*")}
    records = await damaged.client.hgetall("kew:tasks")
    await damaged.scene.purge()
    for key, dump in kept.items():
        await damaged.client.restore(key, 0, dump)
    for task_id in ("a2", "a3", "b1", "b2"):
        await damaged.client.hset("kew:tasks", task_id, records[task_id.encode()])
    await damaged.scene.declare(key_workers=2)
    await damaged.scene.sweep()
    assert await damaged.client.keys(f"{BASE}*") == []
    assert await damaged.client.hlen("kew:tasks") == 0
    worker = await damaged.scene.worker("w2")
    await damaged.scene.submit("a1", "a2", key="a")
    assert await worker.claim_ids() == ["a1", "a2"]
    assert await damaged.faults() == []


async def test_a_key_leaves_those_that_wait_for_their_rates_with_the_last_rate(damaged: Damaged):
    own = OwnLimits(rates=((1, 60_000, 0),))
    await damaged.scene.store.do(LimitKey(QUEUE, "b", own, 5_000))
    assert sorted(await damaged.worker.claim_ids()) == ["a2", "b1"]
    assert await damaged.client.zrange(f"{BASE}paced2", 0, -1) == [b"b"]
    await damaged.scene.advance(5_000)
    assert await damaged.worker.claim_ids(0) == []
    assert await damaged.faults() == []
    assert await damaged.client.exists(f"{BASE}paced2") == 0
    assert await damaged.worker.claim_ids() == ["b2"]


async def test_a_sweep_forgets_the_snoozes_that_have_ended(damaged: Damaged):
    """From then on, claims don't look for keys that one holds back."""
    task = await damaged.worker.claim_one()
    event = Snoozed(error="S: later", after_ms=5_000, scope="key")
    await damaged.worker.settle(Settlement(task_id=task.id, lease=task.lease, event=event))
    await damaged.scene.advance(5_000)
    await damaged.scene.sweep()
    assert await damaged.client.exists(f"{BASE}logs", f"{BASE}logged") == 0
    assert b"key_snoozes" not in await damaged.client.hget(STATE, "counts")
    assert await damaged.faults() == []
    assert task.id in await damaged.worker.claim_ids()
