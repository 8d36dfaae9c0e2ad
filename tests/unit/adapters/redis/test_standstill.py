"""Looking for the successor of a primary that confirms no writes: at once, and then less and less often."""

import asyncio

import pytest

from kew.adapters.redis.standstill import LONGEST_PAUSE, Standstill


async def test_the_pauses_between_two_looks_grow_and_begin_again_after_the_end(
    monkeypatch: pytest.MonkeyPatch,
):
    now, looks = 0.0, list[float]()

    async def look() -> None:
        looks.append(now)
        raise ConnectionError("nothing is there")

    loop = asyncio.get_running_loop()
    with monkeypatch.context() as patched:
        patched.setattr(loop, "time", lambda: now)
        standstill = Standstill("Redis at host", look)
        for _ in range(40):
            standstill.goes_on("0 of 1 replicas have it")
            await asyncio.sleep(0)
            now += 0.5
        standstill.end()
        standstill.goes_on("0 of 1 replicas have it")
        await asyncio.sleep(0)
    assert looks == [0.0, 1.0, 3.0, 7.0, 7.0 + LONGEST_PAUSE, 7.0 + 2 * LONGEST_PAUSE, 20.0]
    await standstill.close()
