"""A breaker that outcomes open: an idle process sets a timer, and starts the probe at the reset time without a poll."""

from typing import Any

import pytest

from kew.app.notices import Woken
from kew.domain.requests import Along
from tests.support.scene import Scene, Worker, failure, group

SETTINGS: dict[str, Any] = {"breaker_failures": 1, "breaker_reset_ms": 1_000, "max_workers": 2}


async def woken(scene: Scene, waiting: int, more: int = 0, **options: Any) -> Worker:
    """A process that runs as much as the queue may reports a failure alone; the idle one that hears of it."""
    await scene.declare(**SETTINGS)
    await scene.submit("bad", "long")
    busy = await scene.worker("busy")
    bad, _long = await busy.claim(2)
    for n in range(waiting):
        await scene.submit(f"t{n}", **options)
    for n in range(more):
        await scene.submit(f"later{n}", delay_ms=9_000)
    idle = await scene.worker("idle")
    assert await idle.claim_ids() == []
    listener = await scene.listen("idle")
    await busy.fail(bad)
    assert await listener.next() == Woken("orders")
    return idle


@pytest.mark.parametrize("waiting", [1, 30])
@pytest.mark.parametrize("options", [{}, {"key": "k"}, {"delay_ms": 500}], ids=str)
async def test_an_outcome_that_opens_the_breaker_sets_a_timer_in_another_process(
    scene: Scene, waiting: int, options: dict[str, Any]
):
    idle = await woken(scene, waiting, **options)
    grant = await idle.ask()
    assert (grant.tasks, grant.wait_ms) == ((), 1_000)
    await scene.advance(1_000)
    assert await idle.claim_ids() == ["t0"]


async def test_an_outcome_that_a_submit_takes_along_does_so_too(scene: Scene):
    await scene.declare(**SETTINGS)
    await scene.submit("bad", "long", *(f"t{n}" for n in range(5)))
    busy, idle = await scene.worker("busy"), await scene.worker("idle")
    bad, _long = await busy.claim(2)
    assert await idle.claim_ids() == []
    listener = await scene.listen("idle")
    await scene.store.submit("orders", [group("new")], Along(settlements=[failure(bad)]))
    assert await listener.next() == Woken("orders")
    assert (await idle.ask()).wait_ms == 1_000


async def test_it_does_so_if_more_waits_that_is_due_later(scene: Scene):
    idle = await woken(scene, 3, more=2)
    assert (await idle.ask()).wait_ms == 1_000


@pytest.mark.parametrize("waiting", [1, 30])
async def test_what_is_due_after_the_reset_is_waited_for_as_well(scene: Scene, waiting: int):
    idle = await woken(scene, waiting, delay_ms=1_500)
    assert (await idle.ask()).wait_ms == 1_000
    await scene.advance(1_000)
    assert (await idle.ask()).wait_ms == 500
    await scene.advance(500)
    assert await idle.claim_ids() == ["t0"]
