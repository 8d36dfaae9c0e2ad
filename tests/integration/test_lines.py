"""The length of a line in Redis that no process claims from."""

import contextlib

import pytest

from tests.support.redis_process import connect
from tests.support.scene import group
from tests.support.stores import redis_scene


@pytest.mark.parametrize(("waiting", "most"), [(1, 1), (1_200, 5_000)])
async def test_a_line_does_not_grow_with_what_is_cancelled(
    clean_redis_url: str, waiting: int, most: int
):
    async with redis_scene(clean_redis_url) as scene:
        await scene.store.open()
        await scene.declare(max_size=10_000)
        await scene.try_submit(group(*(f"kept{n}" for n in range(waiting))))
        for turn in range(8):
            ids = [f"{turn}-{n}" for n in range(800)]
            await scene.try_submit(group(*ids, f"kept-{turn}"))
            for task_id in ids:
                await scene.cancel(task_id)
        with contextlib.closing(connect(clean_redis_url)) as client:
            assert client.llen("kew:{orders}:line2") <= most + 8
        await scene.store.close()
