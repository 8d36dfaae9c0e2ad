"""A Redis that Sentinels watch, found by its service's name, and followed when another server becomes the primary."""

import asyncio
from collections.abc import Iterator

import pytest

from kew import (
    QueueConfig,
    StoreUnavailableError,
    StoreUnsuitableError,
)
from tests.integration.conftest import Managers
from tests.support import jobs
from tests.support.asking import end_of, submit
from tests.support.commands import kew
from tests.support.redis_process import LOOPBACK, free_port
from tests.support.redis_source import any_binary
from tests.support.sentinels import SERVICE, Watched

QUEUE = QueueConfig("q", lease=4.0)


@pytest.fixture
def watched() -> Iterator[Watched]:
    started = Watched.start(any_binary())
    yield started
    started.stop()


# Sentinels announced the new primary, or were asked before they did.
ANNOUNCED = (
    "replacing the connections to Redis: main ",
    "replacing the connections to Redis: the address leads to another server now",
)


async def test_an_announced_primary_replaces_connections_that_still_work(
    watched: Watched, managers: Managers, caplog: pytest.LogCaptureFixture
):
    """A primary that is cut off from its Sentinels keeps its clients: none of them may go on writing to it."""
    caplog.set_level("DEBUG", "kew")
    manager = await managers(watched.url)
    await manager.create_queue(QUEUE)
    await submit(manager, "before", jobs.echo, value=1)
    assert (await end_of(manager, "before")).result == 1
    caplog.clear()
    old = watched.primary
    old.freeze()
    async with asyncio.timeout(30):
        while not any(why in caplog.text for why in ANNOUNCED):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    old.thaw()
    await submit(manager, "after", jobs.echo, value=2)
    assert (await end_of(manager, "after")).result == 2
    other = await managers(watched.url)
    assert (await other.get_task_status("after")).status == "completed"


async def test_a_sentinel_that_is_gone_is_passed_over_and_named_by_the_doctor(
    watched: Watched, managers: Managers
):
    assert "all 3 Sentinels name this primary" in (await kew("doctor", url=watched.url)).words
    gone = watched.sentinels[0]
    gone.stop()
    said = (await kew("doctor", url=watched.url)).words
    assert f"of 3 Sentinels, not all name this primary ({LOOPBACK}:{gone.port}: " in said
    manager = await managers(watched.url)
    await manager.create_queue(QUEUE)
    await submit(manager, "a", jobs.echo, value=1)
    assert (await end_of(manager, "a")).result == 1


async def test_what_the_sentinels_do_not_know_is_said(watched: Watched, managers: Managers):
    with pytest.raises(StoreUnavailableError, match="no service of this name"):
        await managers(watched.url.replace(f"/{SERVICE}", "/other"))
    with pytest.raises(StoreUnavailableError, match="no Sentinel names the primary"):
        await managers(f"redis+sentinel://{LOOPBACK}:{free_port()}/{SERVICE}")
    with pytest.raises(StoreUnsuitableError, match=r"redis\+sentinel://"):
        await managers(watched.sentinels[0].url)
