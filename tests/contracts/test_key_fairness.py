"""Keys take turns, however long the line of one of them is."""

from collections.abc import Sequence

import pytest

from tests.support.scene import Scene, Worker, call, group

BACKLOG = 100_000
AT_ONCE = 1_000
OTHERS = [f"other{n}" for n in range(99)]


async def backlog(scene: Scene, size: int) -> Worker:
    """One key has a backlog, and then 99 keys get one task each."""
    await scene.declare(max_workers=100_000, max_size=1_000_000)
    for first in range(0, size, AT_ONCE):
        calls = [call(f"a{n}", key="a") for n in range(first, first + AT_ONCE)]
        await scene.try_submit(group(*calls))
    worker = await scene.worker()
    assert len(await worker.claim(5)) == 5
    for other in OTHERS:
        await scene.submit(other, key=other)
    return worker


async def first_starts(worker: Worker, count: int) -> Sequence[str]:
    started: list[str] = []
    while len(started) < count:
        started += await worker.claim_ids(min(7, count - len(started)))
    return started


@pytest.mark.no_cover
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_backlog_of_100000_delays_each_of_99_keys_by_less_than_100_starts(scene: Scene):
    """One account's burst stopped everyone behind it."""
    worker = await backlog(scene, BACKLOG)
    assert set(OTHERS) <= set(await first_starts(worker, 100))
