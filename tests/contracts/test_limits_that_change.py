"""Limits of keys that change while many keys wait for them: claims find each key that may start now."""

from typing import Any

import pytest

from kew.app.notices import Woken
from kew.domain.requests import Word
from tests.support.scene import Scene, Worker, call, group

KEYS, AT_ONCE = 600, 200
HOUR_MS = 3_600_000
ONE_WORKER: dict[str, Any] = {"key_workers": 1}
ONE_START: dict[str, Any] = {"key_rate": ((1, HOUR_MS, 0),)}
TWO_STARTS: dict[str, Any] = {"key_rate": ((2, HOUR_MS, 0),)}


async def declare(scene: Scene, **limits: Any) -> None:
    await scene.declare(max_workers=10_000, max_size=10_000, **limits)


async def start_all(worker: Worker) -> int:
    """Claim until nothing more may start now; how many tasks that were."""
    started = 0
    while True:
        grant = await worker.ask(AT_ONCE, lease_ms=HOUR_MS)
        assert grant.word is Word.DONE
        started += len(grant.tasks)
        if grant.wait_ms != 0 and len(grant.tasks) < AT_ONCE:
            return started


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (ONE_WORKER, {"key_workers": 2}),
        (ONE_WORKER, {}),
        (ONE_START, TWO_STARTS),
        (ONE_START, {}),
        (ONE_WORKER | ONE_START, {"key_workers": 2} | TWO_STARTS),
    ],
    ids=["more workers", "any workers", "a higher rate", "no rate", "both"],
)
async def test_a_limit_that_is_raised_lets_each_key_start_more(
    scene: Scene, before: dict[str, Any], after: dict[str, Any]
):
    await declare(scene, **before)
    worker, idle = await scene.worker(), await scene.worker("idle")
    calls = [call(f"{n}-{m}", key=f"k{n}") for n in range(KEYS) for m in range(2)]
    await scene.try_submit(group(*calls))
    assert await start_all(worker) == KEYS
    assert await start_all(idle) == 0
    listener = await scene.listen("idle")
    await declare(scene, **after)
    assert await listener.next() == Woken("orders")
    assert await start_all(idle) == KEYS
    assert await scene.waiting() == 0


async def test_rates_are_looked_at_again_after_a_step_back_of_the_clock(scene: Scene):
    await declare(scene, **ONE_START)
    worker = await scene.worker()
    calls = [call(f"{n}-{m}", key=f"k{n}") for n in range(KEYS) for m in range(2)]
    await scene.try_submit(group(*calls))
    await scene.advance(10 * HOUR_MS)
    worker = await scene.worker()
    assert await start_all(worker) == KEYS
    await scene.advance(-9 * HOUR_MS)
    worker = await scene.worker("later")
    started = await start_all(worker)
    await scene.advance(HOUR_MS)
    worker = await scene.worker("last")
    assert started + await start_all(worker) == KEYS
