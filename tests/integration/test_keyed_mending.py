"""A doctor names, and a sweep corrects, what a call that Redis aborted, or an older process, left wrong about keys."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import attrs
import pytest

from kew.app.diagnosis import examine, words
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


LATE = 10**14
A1 = "000000000001a1"
B1 = "000000000004b1"


def key(part: str) -> str:
    return f"{BASE}{part}"


# What a damaged part is made to say, and what the doctor says of it.
DAMAGES: dict[str, tuple[Callable[[Any], Awaitable[Any]], str]] = {
    "too many wait": (
        lambda client: client.hset(key("turns"), "2 a", "7 9"),
        "9 waiting tasks of key a are counted, and 2 are in its line",
    ),
    "none waits": (
        lambda client: client.hset(key("turns"), "2 b", "2 0"),
        "0 waiting tasks of key b are counted, and 2 are in its line",
    ),
    "no such key": (
        lambda client: client.hset(key("turns"), "1 z", "9 4"),
        "4 waiting tasks of key z are counted, and 0 are in its line",
    ),
    "no turns": (lambda client: client.delete(key("turns")), "key b has tasks, and no turn"),
    "an unreadable turn": (
        lambda client: client.hset(key("turns"), "2 b", "x"),
        "key b has no readable turn",
    ),
    "a turn that was never given": (
        lambda client: client.hset(key("turns"), "2 b", "900 2"),
        "key b has a turn that was never given",
    ),
    "out of its ring": (
        lambda client: client.zrem(key("ring2"), "b"),
        "key b has tasks, and is not among the keys that may start",
    ),
    "another turn": (
        lambda client: client.zadd(key("ring2"), {"b": 99}),
        "key b has its turn out of order",
    ),
    "in two places": (
        lambda client: client.zadd(key("later2"), {"b": LATE}),
        "key b may start twice",
    ),
    "a key that has nothing, in the ring": (
        lambda client: client.zadd(key("ring2"), {"z": 1}),
        "key z may start, and none of its tasks waits",
    ),
    "a key that has nothing, later": (
        lambda client: client.zadd(key("later1"), {"z": 1}),
        "key z may start, and none of its tasks waits",
    ),
    "a key that has nothing, paced": (
        lambda client: client.zadd(key("paced3"), {"z": 1}),
        "key z may start, and none of its tasks waits",
    ),
    "a key that has nothing, first": (
        lambda client: client.zadd(key("first"), {"2 z": 1}),
        "key z may start, and none of its tasks waits",
    ),
    "paced without a rate": (
        lambda client: _moved(client, "paced2"),
        "key b waits for a rate that there is not",
    ),
    "looked at too late": (
        lambda client: _moved(client, "later2"),
        "key b is looked at again at a wrong time",
    ),
    "first tasks": (
        lambda client: client.delete(key("first")),
        "key b is noted as due at a wrong time",
    ),
    "an entry of no task": (
        lambda client: client.zadd(key("line2:b"), {"000000000099gone": 5}),
        "task gone is among the waiting tasks, and there is no record",
    ),
    "an entry at another time": (
        lambda client: client.zadd(key("line2:b"), {B1: LATE}),
        "task b1 is indexed for another time than it is due",
    ),
    "held": (
        lambda client: client.zadd(key("held"), {"a": 2, "c": 3}),
        "3 leases of key c are counted, and 0 are held",
    ),
    "not held": (
        lambda client: client.zrem(key("held"), "a"),
        "0 leases of key a are counted, and 1 are held",
    ),
    "a lease that is over": (
        lambda client: client.hset(key("holders"), "000000000099gone", "b"),
        "key b is held by task gone, which does not run",
    ),
    "what a claim adds for a moment": (
        lambda client: client.hset(key("holders"), "=" * 65, ""),
        f"is held by task {'=' * 53}, which does not run",
    ),
    "what a claim adds for a moment, to the counts": (
        lambda client: client.zadd(key("held"), {"=" * 65: 1}),
        f"1 leases of key {'=' * 65} are counted, and 0 are held",
    ),
    "a lease of another key": (
        lambda client: client.hset(key("holders"), A1, "b"),
        "key b is held by task a1, which does not run",
    ),
    "a lease that is not noted": (
        lambda client: client.delete(key("holders"), key("held")),
        "key a is not held by task a1, which runs",
    ),
    "counts": (
        lambda client: counts_with(client, b"9,0,0,0,3,8,0"),
        "8 tasks with keys of medium priority are counted, and 4 are in lines",
    ),
    "limits that are not counted": (
        lambda client: client.hset(key("limits"), "b", "2 - - 0"),
        "0 limits of keys are counted, and there are 1",
    ),
    "limits whose end is not noted": (
        lambda client: client.hset(key("limits"), "b", f"2 - - {LATE}"),
        "key b has limits that end at another time than is noted",
    ),
    "the end of limits that there are not": (
        lambda client: client.zadd(key("ends"), {"z": LATE}),
        "key z has no limits of its own that could end",
    ),
    "a log that is never forgotten": (
        lambda client: client.hset(key("logs"), "z", "1 1 0 1 1 1"),
        "key z has a log of starts that is never forgotten",
    ),
    "no log to be forgotten": (
        lambda client: client.zadd(key("logged"), {"z": LATE}),
        "key z has no log of starts that could be forgotten",
    ),
}


async def _moved(client: Any, part: str) -> None:
    await client.zrem(key("ring2"), "b")
    await client.zadd(key(part), {"b": LATE})


@pytest.mark.parametrize("name", DAMAGES)
async def test_a_doctor_names_what_is_wrong_about_keys_and_a_sweep_corrects_it(
    damaged: Damaged, name: str
):
    damage, said = DAMAGES[name]
    assert await examine(damaged.scene.store, QUEUE) == []
    await damage(damaged.client)
    assert said in words(await examine(damaged.scene.store, QUEUE))
    await damaged.scene.sweep()
    assert await damaged.faults() == []
    assert await examine(damaged.scene.store, QUEUE) == []
    assert sorted(await damaged.worker.claim_ids()) == ["a2", "b1", "b2"]


async def test_a_claim_is_not_stopped_by_a_key_of_which_nothing_waits(damaged: Damaged):
    await damaged.client.zadd(key("ring2"), {f"z{n}": 0 for n in range(150)})
    assert sorted(await damaged.worker.claim_ids()) == ["a2", "b1", "b2"]


async def test_a_doctor_looks_at_long_lines_to_their_end(damaged: Damaged):
    for n in range(3):
        await damaged.scene.submit(*(f"b{n}-{each}" for each in range(100)), key="b")
    assert await examine(damaged.scene.store, QUEUE) == []
    await damaged.client.zadd(key("line2:b"), {"000000000999gone": LATE})
    said = words(await examine(damaged.scene.store, QUEUE))
    assert "task gone is among the waiting tasks, and there is no record" in said


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
