"""Sharing a few things, one at a time."""

import asyncio

import pytest

from kew.adapters.redis.pool import Pool


async def test_what_was_given_back_last_is_taken_first():
    pool = Pool("ab")
    first, second = pool.take(), pool.take()
    assert not pool.free
    pool.give(second)
    pool.give(first)
    assert pool.take() == first


async def test_what_was_given_to_be_taken_last_is():
    pool = Pool("ab")
    pool.give_last("c")
    assert [pool.take() for _ in range(3)] == ["b", "a", "c"]
    with pytest.raises(IndexError):
        pool.take()


async def test_also_what_is_to_be_taken_last_is_handed_to_who_waits():
    pool = Pool("a")
    thing = pool.take()
    waiting = asyncio.create_task(pool.taken())
    await asyncio.sleep(0)
    pool.give_last(thing)
    assert await waiting == "a"


async def test_who_waits_is_served_in_turn_and_before_anybody_else():
    pool = Pool("a")
    thing = pool.take()
    first, second = (asyncio.create_task(pool.taken()) for _ in range(2))
    await asyncio.sleep(0)
    pool.give(thing)
    assert not pool.free
    assert await first == "a"
    assert not second.done()
    pool.give(thing)
    assert await second == "a"
    pool.give(thing)
    assert pool.free == ["a"]


async def test_who_waits_no_more_is_passed_over():
    pool = Pool("a")
    thing = pool.take()
    impatient, patient = (asyncio.create_task(pool.taken()) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    pool.give(thing)
    assert await patient == "a"
    with pytest.raises(asyncio.CancelledError):
        await impatient
    pool.give(thing)
    assert pool.free == ["a"]


@pytest.mark.parametrize("is_next", [False, True])
async def test_what_is_handed_to_somebody_cancelled_in_the_same_moment_is_not_lost(is_next: bool):
    pool = Pool("a")
    thing = pool.take()
    cancelled = asyncio.create_task(pool.taken())
    await asyncio.sleep(0)
    later = asyncio.create_task(pool.taken()) if is_next else None
    await asyncio.sleep(0)
    pool.give(thing)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    if later is not None:
        assert await later == "a"
    else:
        assert pool.free == ["a"]
