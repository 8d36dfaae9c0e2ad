"""A Redis that Sentinels watch, found by its service's name, and followed when another server becomes the primary."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from kew import (
    QueueConfig,
    StoreUnavailableError,
    StoreUnsuitableError,
    TaskNotFoundError,
    TaskQueueManager,
)
from tests.integration.conftest import Managers, Measured
from tests.support import jobs
from tests.support.asking import end_of, submit
from tests.support.redis_process import LOOPBACK, free_port
from tests.support.redis_source import any_binary
from tests.support.sentinels import SERVICE, Watched

QUEUE = QueueConfig("q", lease=4.0)
PATIENCE = 15.0  # seconds in which a failover is over
WINDOW = 1.0  # seconds before a failover whose writes may not have reached the replica


@pytest.fixture
def watched() -> Iterator[Watched]:
    started = Watched.start(any_binary())
    yield started
    started.stop()


class Load:
    """Submits a task every few milliseconds, and remembers when each was acknowledged."""

    def __init__(self, manager: TaskQueueManager) -> None:
        self.manager = manager
        self.acknowledged: dict[str, float] = {}
        self._is_over = False

    async def run(self) -> None:
        number = 0
        while not self._is_over:
            number += 1
            try:
                await submit(self.manager, f"t-{number}", jobs.echo, value=number)
            except StoreUnavailableError:
                continue
            self.acknowledged[f"t-{number}"] = time.monotonic()
            await asyncio.sleep(0.01)

    async def until_answered_after(self, moment: float) -> None:
        while (  # noqa: ASYNC110 - it is a time that is waited for
            max(self.acknowledged.values(), default=0.0) <= moment
        ):
            await asyncio.sleep(0.01)

    def end(self) -> None:
        self._is_over = True


@pytest.fixture
async def load(watched: Watched, managers: Managers) -> AsyncIterator[Load]:
    manager = await managers(watched.url)
    await manager.create_queue(QUEUE)
    load = Load(manager)
    running = asyncio.create_task(load.run())
    yield load
    load.end()
    await running


async def test_failovers_by_kill_and_by_command_cost_seconds_and_at_most_the_last_writes(
    watched: Watched, load: Load, managers: Managers, measured: Measured
):
    began: list[float] = []
    standstills: list[float] = []
    replicas = len(watched.servers) - 1
    for is_killed in (False, True, True):
        await load.until_answered_after(time.monotonic() + 0.3)
        old = await asyncio.to_thread(lambda: watched.primary)
        began.append(time.monotonic())
        if is_killed:
            old.kill()
        else:
            await asyncio.to_thread(watched.sentinels[0].fail_over)
        await asyncio.to_thread(watched.wait_until_moved, old)
        moved_at = time.monotonic()
        await load.until_answered_after(moved_at)
        standstills.append(time.monotonic() - moved_at)
        replicas -= is_killed
        await asyncio.to_thread(watched.wait_until_replicated, replicas)
    load.end()
    lost = [task for task in load.acknowledged if not await has_ended(load.manager, task)]
    measured("longest_standstill_seconds", round(max(standstills), 3))
    measured("lost_of_acknowledged", len(lost))
    for task in lost:
        at = load.acknowledged[task]
        assert any(moment - WINDOW <= at <= moment + PATIENCE for moment in began)


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
        while "replacing the connections to Redis: main " not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    old.thaw()
    await submit(manager, "after", jobs.echo, value=2)
    assert (await end_of(manager, "after")).result == 2
    other = await managers(watched.url)
    assert (await other.get_task_status("after")).status == "completed"


async def test_a_sentinel_that_is_gone_is_passed_over(watched: Watched, managers: Managers):
    watched.sentinels[0].stop()
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


async def has_ended(manager: TaskQueueManager, task: str) -> bool:
    try:
        return (await end_of(manager, task)).result is not None
    except TaskNotFoundError:
        return False
