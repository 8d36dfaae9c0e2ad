"""A queue's history in a real Redis: its bytes, and what earlier versions and other programs leave in its place."""

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from kew.app.ports import History
from kew.domain.history import HOURS_KEPT, MINUTE_MS, MINUTES_KEPT, Past, Rates
from tests.integration.conftest import Measured
from tests.support.scene import QUEUE, START_MS, Scene
from tests.support.stores import raw_client, redis_scene

KEY, STATE = f"kew:{{{QUEUE}}}:history", f"kew:{{{QUEUE}}}:state"
MOST_BYTES = 1_800_000
BUCKETS_IN_USE = 14


@pytest_asyncio.fixture
async def scene(clean_redis_url: str) -> AsyncIterator[Scene]:
    async with redis_scene(clean_redis_url) as scene:
        await scene.declare()
        yield scene
        await scene.close()


@pytest_asyncio.fixture
async def client(clean_redis_url: str) -> AsyncIterator[Any]:
    client = raw_client(clean_redis_url)
    yield client
    await client.aclose()


async def past(scene: Scene) -> Past:
    found = await scene.store.do(History(QUEUE, MINUTE_MS, MINUTES_KEPT))
    assert found is not None
    return found


async def test_a_queue_of_an_earlier_version_begins_its_history_with_the_next_minute(
    scene: Scene, client: Any
):
    await scene.submit("a", "b")
    await client.hdel(STATE, "history")
    await scene.advance(MINUTE_MS)
    await scene.submit("c")
    [tally] = (await past(scene)).tallies.values()
    assert (tally.submitted, tally.waiting) == (1, 3)


async def test_work_goes_on_whatever_stands_in_place_of_the_history(scene: Scene, client: Any):
    await client.set(KEY, "a string of another program")
    worker = await scene.worker()
    for n in range(3):
        await scene.submit(f"t{n}")
        await worker.succeed(await worker.claim_one())
        await scene.advance(MINUTE_MS)
    await scene.sweep()
    assert (await scene.status()).rates == Rates()
    assert (await past(scene)).tallies == {}
    assert await client.get(KEY) == b"a string of another program"


async def test_a_history_that_another_program_changed_does_not_stop_work(scene: Scene, client: Any):
    await scene.submit("a")
    await scene.advance(MINUTE_MS)
    await scene.submit("b")
    minute = START_MS // MINUTE_MS
    await client.hset(KEY, mapping={f"m{minute}": "broken", f"m{minute + 1}": "", "x": "y"})
    await client.hset(STATE, "history", "broken")
    await scene.advance(MINUTE_MS)
    await scene.submit("c")
    await scene.advance(MINUTE_MS)
    await scene.submit("d")
    await scene.sweep()
    assert (await scene.status()).rates.submitted > 0
    assert minute not in (await past(scene)).tallies


async def test_a_full_history_keeps_within_its_bytes(scene: Scene, client: Any, measured: Measured):
    """Of a queue that is busy in every minute, and of one whose every number is as large as it gets."""
    minute, hour = START_MS // MINUTE_MS, START_MS // (60 * MINUTE_MS)
    for name, number, limit in (("busy", 120, 500_000), ("extreme", 999_999_999, MOST_BYTES)):
        buckets = 28 if name == "extreme" else BUCKETS_IN_USE
        histogram = ",".join([str(number)] * buckets)
        text = " ".join([str(number)] * 10 + [histogram] * 2)
        fields = {f"m{minute - n}": text for n in range(MINUTES_KEPT)}
        fields |= {f"h{hour - n}": text for n in range(HOURS_KEPT)}
        await client.delete(KEY)
        await client.hset(KEY, mapping=fields)
        size = await client.memory_usage(KEY, samples=0)
        measured(f"bytes of a full history, {name}", size)
        assert size <= limit
    found = await past(scene)
    assert len(found.tallies) == MINUTES_KEPT
