"""Limits of one key, as operators set them."""

import math
from typing import Any

import pytest

from kew import (
    InvalidConfigError,
    KeyLimit,
    PerKey,
    QueueConfig,
    QueueNotFoundError,
    Rate,
    TaskQueueManager,
)


async def test_limits_of_a_key_are_set_listed_and_removed():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q", per_key=PerKey(max_workers=1)))
        await manager.set_key_limit("q", ("eu", 7), max_workers=3, rate=Rate(5, per=2))
        await manager.queue("q").set_key_limit("acme", rate=(), expires_in=60)
        acme, eu = await manager.key_limits("q")
        assert (acme.key, acme.max_workers, acme.rate) == ("acme", None, ())
        assert acme.expires is not None
        assert eu == KeyLimit(key="eu/7", max_workers=3, rate=(Rate(5, per=2),))
        await manager.remove_key_limit("q", ("eu", 7))
        assert await manager.queue("q").key_limits() == [acme]
        await manager.queue("q").remove_key_limit("acme")
        assert await manager.key_limits("q") == []


@pytest.mark.parametrize(
    ("key", "limits"),
    [
        (None, {"max_workers": 1}),
        (1.5, {"max_workers": 1}),
        ("a", {}),
        ("a", {"max_workers": 0}),
        ("a", {"rate": 3}),
        ("a", {"max_size": 1, "expires_in": math.nan}),
    ],
)
async def test_a_limit_that_cannot_be_is_refused_and_nothing_is_stored(
    key: object, limits: dict[str, Any]
):
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        with pytest.raises(InvalidConfigError):
            await manager.set_key_limit("q", key, **limits)
        assert await manager.key_limits("q") == []


async def test_limits_of_keys_need_their_queue():
    async with TaskQueueManager("memory://") as manager:
        for call in (
            manager.set_key_limit("nowhere", "a", max_workers=1),
            manager.remove_key_limit("nowhere", "a"),
            manager.key_limits("nowhere"),
        ):
            with pytest.raises(QueueNotFoundError):
                await call
