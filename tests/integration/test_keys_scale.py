"""Keys that wait at their limit or for their rate cost a claim nothing: the same few commands for many as for one."""

from typing import Any

import pytest

from kew.app.ports import Empty, LimitKey
from kew.domain.key_limits import OwnLimits
from tests.support.raw_redis import read_namespace
from tests.support.scene import QUEUE, Scene, call, group
from tests.support.stores import raw_client, redis_scene

MANY, MANY_RATED = 100_000, 20_000
AT_ONCE = 1_000
FULL = {"key_workers": 1}
RATED = {"key_rate": ((1, 3_600_000, 0),)}


async def commands(client: Any) -> int:
    """How many Redis has carried out so far, those of functions included."""
    stats = await client.info("commandstats")
    return sum(each["calls"] for name, each in stats.items() if name != "cmdstat_info")


async def fill(scene: Scene, keys: int, limits: dict[str, Any]) -> None:
    """Each key has started one task, which is all that it may, and one waits."""
    await scene.declare(max_workers=1_000_000, max_size=1_000_000, **limits)
    worker = await scene.worker("w0")
    for first in range(0, keys, AT_ONCE // 2):
        some = range(first, min(first + AT_ONCE // 2, keys))
        calls = [call(f"{n}-{m}", key=f"k{n}") for n in some for m in range(2)]
        await scene.try_submit(group(*calls))
    held = 0
    while held < keys:
        tasks = await worker.claim(AT_ONCE, lease_ms=3_600_000)
        assert tasks
        held += len(tasks)


async def cost_of_a_claim(url: str, keys: int, limits: dict[str, Any]) -> tuple[int, int]:
    """The commands of a claim that finds nothing, and of one that finds a task of another key."""
    client = raw_client(url)
    await client.flushall()
    async with redis_scene(url) as scene:
        await scene.store.open()
        await fill(scene, keys, limits)
        worker = await scene.worker("w1")
        assert await worker.claim_ids(1) == []
        before = await commands(client)
        assert await worker.claim_ids(1) == []
        between = await commands(client)
        await scene.submit("free", key="free")
        after = await commands(client)
        assert await worker.claim_ids(1) == ["free"]
        end = await commands(client)
        if keys == 1:
            assert (await read_namespace(client)).queues["orders"].faults == []
        await scene.close()
    await client.aclose()
    return between - before, end - after


@pytest.mark.no_cover
@pytest.mark.slow(20)
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("limits", "keys"), [(FULL, MANY), (RATED, MANY_RATED)], ids=["limit", "rate"]
)
async def test_many_keys_that_wait_cost_a_claim_no_more_than_twice_one(
    clean_redis_url: str, limits: dict[str, Any], keys: int, measured: Any
):
    one, many = [await cost_of_a_claim(clean_redis_url, count, limits) for count in (1, keys)]
    for what, few, lots in zip(("nothing", "a task"), one, many, strict=True):
        measured(f"Redis commands of a claim that finds {what}, with {keys} keys that wait", lots)
        assert few > 0
        assert lots <= 2 * few


@pytest.mark.no_cover
@pytest.mark.slow
async def test_a_key_with_a_limit_of_its_own_costs_a_claim_nothing(clean_redis_url: str):
    """Whose limits they are makes no difference to those of others."""
    costs = []
    for keys in (1, AT_ONCE):
        client = raw_client(clean_redis_url)
        await client.flushall()
        async with redis_scene(clean_redis_url) as scene:
            await scene.declare(max_workers=100)
            for n in range(keys):
                await scene.store.do(LimitKey(QUEUE, f"k{n}", OwnLimits(workers=1), 60_000))
            worker = await scene.worker("w1")
            await scene.submit("first", key="free")
            assert await worker.claim_ids(1) == ["first"]
            await scene.submit("free", key="free")
            before = await commands(client)
            assert await worker.claim_ids(1) == ["free"]
            costs.append(await commands(client) - before)
            await scene.close()
        await client.aclose()
    assert costs[0] == costs[1]


async def step_of_emptying(url: str, keys: int) -> tuple[int, set[str]]:
    """The commands of one step, and their names."""
    client = raw_client(url)
    await client.flushall()
    async with redis_scene(url) as scene:
        await scene.declare(max_size=1_000_000)
        for first in range(0, keys, AT_ONCE):
            calls = [call(f"t{n}", key=f"k{n}") for n in range(first, first + AT_ONCE)]
            await scene.try_submit(group(*calls))
        await client.config_resetstat()
        emptied = await scene.store.do(Empty(QUEUE, keys, 0, 200))
        stats = await client.info("commandstats")
        assert emptied is not None
        assert (len(emptied.cancelled) >= 100, emptied.more) == (True, True)
        await scene.close()
    await client.aclose()
    return sum(each["calls"] for each in stats.values()), set(stats)


@pytest.mark.no_cover
async def test_a_step_of_emptying_a_queue_reads_a_bounded_number_of_keys(
    clean_redis_url: str, measured: Any
):
    (few, _), (many, names) = [
        await step_of_emptying(clean_redis_url, keys) for keys in (AT_ONCE, 20 * AT_ONCE)
    ]
    measured(f"Redis commands of a step of emptying {20 * AT_ONCE} keys", many)
    assert many <= 1.5 * few
    whole = {"hkeys", "hgetall", "hvals"}
    assert not {f"cmdstat_{name}" for name in whole} & names


async def cost_of_a_declaration(url: str, keys: int, before: Any, after: Any) -> dict[str, int]:
    """The commands of a declaration that changes the limits of keys, by name."""
    client = raw_client(url)
    await client.flushall()
    async with redis_scene(url) as scene:
        await scene.store.open()
        await fill(scene, keys, before)
        await client.config_resetstat()
        await scene.declare(max_workers=1_000_000, max_size=1_000_000, **after)
        stats = await client.info("commandstats")
        await scene.close()
    await client.aclose()
    return {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("before", "after"),
    [(FULL, {"key_workers": 2}), (RATED, {"key_rate": ((2, 3_600_000, 0),)})],
    ids=["limit", "rate"],
)
async def test_a_declaration_looks_at_a_bounded_number_of_keys(
    clean_redis_url: str, before: Any, after: Any, measured: Any
):
    few, many = [
        await cost_of_a_declaration(clean_redis_url, keys, before, after)
        for keys in (AT_ONCE, 3 * AT_ONCE)
    ]
    measured(f"Redis commands of a declaration with {3 * AT_ONCE} keys", sum(many.values()))
    assert sum(many.values()) <= 1.5 * sum(few.values())
    assert "zunionstore" not in many
