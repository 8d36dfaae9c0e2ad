"""What becomes of the slots that a queue left to another, when the answer to a claim is no grant."""

from itertools import count
from typing import Any, cast

import pytest

from kew import QueueConfig, TaskQueueManager
from kew.app.working.capacity import Capacity
from kew.app.working.claims import Claims
from kew.app.working.lanes import Lanes
from kew.app.working.losses import Losses
from kew.app.working.slots import Slots
from kew.domain.requests import Grant, Word


async def nothing() -> None:
    pass


def claims_of(name: str, priority: int, capacity: Capacity) -> Claims:
    """A worker's claims; no store answers them, the tests do."""
    config = QueueConfig(name, max_workers=4, priority=priority)
    claims = Claims(
        config,
        Slots(name, 4),
        lanes=Lanes(name, count(1)),
        store=cast("Any", None),
        capacity=capacity,
        losses=cast("Losses", None),
        uptime=lambda: 0.0,
        admit=lambda tasks, uptime: None,
        restore=nothing,
        compare=lambda grant: None,
    )
    claims.begin()
    return claims


async def test_a_claim_of_an_unknown_lane_wakes_the_queues_that_it_kept_from_claiming():
    capacity = Capacity(2)
    low, high = claims_of("low", 3, capacity), claims_of("high", 1, capacity)
    of_low = low.reserve()
    assert of_low is not None
    assert high.reserve() is None  # low has reserved both slots
    assert high.missing == 4
    high._wake.clear()
    low.take(of_low, Grant(word=Word.NO_LANE))
    assert high._wake.is_set()


@pytest.mark.parametrize("word", [Word.NO_LANE, Word.NO_WORKER, Word.NO_QUEUE])
async def test_a_queue_that_the_store_has_forgotten_leaves_the_slots_to_others(word: Word):
    capacity = Capacity(2)
    low, high = claims_of("low", 3, capacity), claims_of("high", 1, capacity)
    of_high = high.reserve()
    assert of_high is not None
    assert high.missing == 2  # of the four that it would use
    high.take(of_high, Grant(word=word))
    assert low.reserve() is not None


async def test_a_queue_whose_claim_has_an_unreadable_answer_leaves_the_slots_to_others():
    capacity = Capacity(2)
    low, high = claims_of("low", 3, capacity), claims_of("high", 1, capacity)
    of_high = high.reserve()
    assert of_high is not None
    high.forsake(of_high)
    assert low.reserve() is not None


async def twice(number: int) -> int:
    return 2 * number


async def test_a_queue_without_tasks_soon_stops_keeping_slots_from_others():
    """However it came to be that its process believes it would use them."""
    manager = TaskQueueManager("memory://stale", max_concurrency=2, tick=0.05)
    async with manager:
        for name, priority in (("high", 1), ("low", 3)):  # neither claims any more, then
            await manager.create_queue(QueueConfig(name, priority=priority), functions=[twice])
            await manager.submit_task(name, name, "t", twice, None, 0)
            await manager.handle(name).result(timeout=30)
        high = manager._served["high"].worker
        assert high is not None
        high.claims.missing = 2
        await manager.submit_task("t", "low", "t", twice, None, 21)
        assert await manager.handle("t").result(timeout=30) == 42
