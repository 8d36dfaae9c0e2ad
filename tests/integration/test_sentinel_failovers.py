"""Failovers under load, with a ledger of what tasks did outside Redis.

`KEW_FAILOVERS` is how many are by command, and how many by SIGKILL; `make soak` asks for "5,10", and CI has fewer. A
failover by command leaves the old primary a primary, with one of the replicas, until the Sentinels reconfigure it some
seconds later. So only what *all* replicas have confirmed survives each of them. CI makes it a replica at once, and so
does `KEW_DEMOTES=1`.
"""

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator

import attrs
import pytest

from kew import (
    QueueConfig,
    StoreUnavailableError,
    SubmitUncertainError,
    TaskNotFoundError,
    TaskQueueManager,
)
from tests.integration.conftest import Managers, Measured
from tests.support import jobs
from tests.support.asking import end_of, submit
from tests.support.ledger import Ledger
from tests.support.redis_source import any_binary
from tests.support.sentinels import Watched

GIVEN = os.environ.get("KEW_FAILOVERS", "")
BY_COMMAND, BY_KILL = map(int, GIVEN.split(",")) if GIVEN else (3, 3)
DEMOTES = not GIVEN or "KEW_DEMOTES" in os.environ  # instead of waiting for the Sentinels
LOAD_SECONDS = 1.0 if GIVEN else 0.3  # before each failover
REPLICATED = "?durability=replicated&replicas="
SETUPS = [
    pytest.param("", BY_COMMAND, BY_KILL, id="default"),
    pytest.param(f"{REPLICATED}1", 0, BY_KILL if GIVEN else 1, id="one replica has it"),
    *(
        [pytest.param(f"{REPLICATED}2", BY_COMMAND, BY_KILL, id="all replicas have it")]
        if GIVEN
        else []
    ),
]
QUEUE = QueueConfig("q", lease=4.0, max_workers=4, max_size=1_000_000)
RUN_SECONDS = 0.02
REPLICAS = 2
DOWN_AFTER_MS = 1500  # so that no busy machine makes the Sentinels depose a primary that is alive
WINDOW = 1.0  # seconds before a failover whose writes may not have reached the replica
PATIENCE = 15.0  # seconds in which a failover is over


@pytest.fixture
def watched() -> Iterator[Watched]:
    started = Watched.start(any_binary(), replicas=REPLICAS, down_after_ms=DOWN_AFTER_MS)
    yield started
    started.stop()


@attrs.define
class Load:
    """Submits a task every few milliseconds, and looks how many run, until it is told to end."""

    manager: TaskQueueManager
    acknowledged: dict[str, float] = attrs.field(factory=dict)
    uncertain: int = 0
    most_leases: int = 0
    is_over: bool = False

    async def submit(self) -> None:
        number = 0
        while not self.is_over:
            number += 1
            task = f"t-{number}"
            try:
                await submit(self.manager, task, jobs.work, seconds=RUN_SECONDS)
            except SubmitUncertainError:
                self.uncertain += 1
            except StoreUnavailableError:
                continue
            else:
                self.acknowledged[task] = time.monotonic()
            await asyncio.sleep(0.01)

    async def look(self) -> None:
        while not self.is_over:
            with contextlib.suppress(StoreUnavailableError):
                running = (await self.manager.get_queue_status("q"))["current_workers"]
                self.most_leases = max(self.most_leases, running)
            await asyncio.sleep(0.05)

    async def until_answered_after(self, moment: float) -> None:
        while (  # noqa: ASYNC110 - it is a time that is waited for
            max(self.acknowledged.values(), default=0.0) <= moment
        ):
            await asyncio.sleep(0.01)


@pytest.mark.slow(20)
@pytest.mark.parametrize(("options", "by_command", "by_kill"), SETUPS)
async def test_failovers_by_command_and_by_kill_under_load(
    options: str,
    by_command: int,
    by_kill: int,
    watched: Watched,
    managers: Managers,
    ledger: Ledger,
    measured: Measured,
):
    manager = await managers(watched.url + options)
    worker = await managers(watched.url + options)
    for each in (manager, worker):
        await each.create_queue(QUEUE, functions=[jobs.work])
    load, began, standstills = Load(manager), list[float](), list[float]()
    async with asyncio.TaskGroup() as group:
        group.create_task(load.submit())
        group.create_task(load.look())
        for number in range(by_kill + by_command):
            if number:
                await asyncio.to_thread(watched.wait_until_complete)
            await load.until_answered_after(time.monotonic() + LOAD_SECONDS)
            old = await asyncio.to_thread(lambda: watched.primary)
            began.append(time.monotonic())
            if number < by_kill:
                old.kill()
            else:
                await asyncio.to_thread(watched.sentinels[0].fail_over)
            await asyncio.to_thread(watched.wait_until_moved, old)
            moved_at = time.monotonic()
            if number < by_kill:
                await asyncio.to_thread(watched.bring_back, old)
            elif DEMOTES:
                await asyncio.to_thread(watched.demote, old)
            await load.until_answered_after(moved_at)
            standstills.append(time.monotonic() - moved_at)
        load.is_over = True
    lost = [task for task in load.acknowledged if not await has_ended(manager, task)]
    runs = Counter(entry.task for entry in ledger.entries("end"))
    measured("failovers", watched.failovers)
    measured("acknowledged", len(load.acknowledged))
    measured("uncertain", load.uncertain)
    measured("lost_of_acknowledged", len(lost))
    measured("run_more_than_once", sum(count > 1 for count in runs.values()))
    measured("longest_standstill_seconds", max(standstills))
    measured("most_leases_at_once", load.most_leases)
    measured("most_runs_at_once", ledger.most_at_once())
    assert 0 < load.most_leases <= QUEUE.max_workers
    assert all(runs[task] for task in load.acknowledged if task not in lost)
    was_deposed_alive = (
        watched.failovers > by_kill + by_command
    )  # which one replica can't make up for
    if options and (by_command or not was_deposed_alive):
        assert not lost
    for task in lost:
        at = load.acknowledged[task]
        assert any(moment - WINDOW <= at <= moment + PATIENCE for moment in began)


async def has_ended(manager: TaskQueueManager, task: str) -> bool:
    try:
        return (await end_of(manager, task)).result is not None
    except TaskNotFoundError:
        return False
