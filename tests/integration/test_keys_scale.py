"""Keys that wait at their limit cost a claim nothing: Redis carries out no more commands for many than for one."""

from typing import Any

from tests.support.raw_redis import read_namespace
from tests.support.scene import Scene, call, group
from tests.support.stores import raw_client, redis_scene

MANY = 2_000


async def commands(client: Any) -> int:
    """How many Redis has carried out so far, those of functions included."""
    stats = await client.info("commandstats")
    return sum(each["calls"] for name, each in stats.items() if name != "cmdstat_info")


async def fill(scene: Scene, keys: int) -> None:
    """Each key runs one task, which is its limit, and one waits."""
    await scene.declare(key_workers=1, max_workers=10_000, max_size=100_000)
    worker = await scene.worker("w0")
    for first in range(0, keys, 500):
        some = range(first, min(first + 500, keys))
        calls = [call(f"{n}-{m}", key=f"k{n}") for n in some for m in range(2)]
        await scene.try_submit(group(*calls))
    held = 0
    while held < keys:
        held += len(await worker.claim(200))


async def cost_of_a_claim(url: str, keys: int) -> tuple[int, int]:
    """The commands of a claim that finds nothing, and of one that finds a task of another key."""
    client = raw_client(url)
    await client.flushall()
    async with redis_scene(url) as scene:
        await scene.store.open()
        await fill(scene, keys)
        worker = await scene.worker("w1")
        assert await worker.claim_ids(1) == []
        before = await commands(client)
        assert await worker.claim_ids(1) == []
        between = await commands(client)
        await scene.submit("free", key="free")
        after = await commands(client)
        assert await worker.claim_ids(1) == ["free"]
        end = await commands(client)
        assert (await read_namespace(client)).queues["orders"].faults == []
        await scene.close()
    await client.aclose()
    return between - before, end - after


async def test_many_keys_at_their_limit_cost_a_claim_no_more_than_one(clean_redis_url: str):
    one, many = [await cost_of_a_claim(clean_redis_url, keys) for keys in (1, MANY)]
    assert many[0] <= 2 * one[0]
    assert many[1] <= 2 * one[1]
    assert one[1] > one[0] > 0
