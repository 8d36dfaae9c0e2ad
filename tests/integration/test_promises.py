"""What kew promises, one test per promise, most of them on both stores. Those with several processes are in
`test_processes.py`, those with a store that fails in `test_outages.py`.
"""

import asyncio
import contextlib
import os
import time
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import time_machine

from kew import (
    InvalidTaskError,
    QueueConfig,
    QueueFullError,
    QueuePriority,
    TaskAlreadyExistsError,
    TaskInfo,
    TaskNotFoundError,
    TaskQueueManager,
    TaskStatus,
)
from kew.app.ports import Sweep
from tests.conftest import PrivateRedis
from tests.integration.conftest import Managers, Measured
from tests.support import jobs
from tests.support.asking import end_of, status_once, submit
from tests.support.ledger import Ledger, until
from tests.support.redis_process import connect

HIGH, MEDIUM, LOW = QueuePriority.HIGH, QueuePriority.MEDIUM, QueuePriority.LOW


# --- nothing of others is touched


async def test_a_second_manager_starting_up_deletes_nothing(store_url: str, managers: Managers):
    first = await managers(store_url)
    await first.create_queue(QueueConfig("q"))
    await submit(first, "ended", jobs.echo, value=1)
    await end_of(first, "ended")
    await submit(first, "later", jobs.echo, _defer_by=3600)
    second = await managers(store_url)
    await second.create_queue(QueueConfig("q"))
    assert (await second.get_task_status("ended")).result == 1
    assert (await second.get_task_status("later")).status is TaskStatus.QUEUED


async def test_cleanup_removes_this_namespace_alone(store_url: str, managers: Managers):
    ours = await managers(store_url, namespace="ours")
    theirs = await managers(store_url, namespace="theirs")
    for manager in (ours, theirs):
        await manager.create_queue(QueueConfig("q"))
        await submit(manager, "task", jobs.echo, _defer_by=3600)
    await ours.cleanup()
    with pytest.raises(TaskNotFoundError):
        await ours.get_task_status("task")
    assert (await theirs.get_task_status("task")).status is TaskStatus.QUEUED


async def test_cleanup_on_start_leaves_the_keys_of_other_programs(
    clean_redis_url: str, managers: Managers
):
    strangers = {
        "celery": b"1",
        "kewpie": b"2",
        "kew2:tasks": b"3",
        "task:1": b"4",
        "queue:q": b"5",
    }
    first = await managers(clean_redis_url)
    await first.create_queue(QueueConfig("q"))
    await submit(first, "task", jobs.echo, _defer_by=3600)
    await first.shutdown()
    with contextlib.closing(connect(clean_redis_url)) as client:
        for key, value in strangers.items():
            client.set(key, value)
        await managers(clean_redis_url, cleanup_on_start=True)
        assert {key: client.get(key) for key in strangers} == strangers
        assert client.dbsize() == len(strangers)


# --- order and limits


async def test_a_high_task_deferred_for_3_seconds_does_not_hold_up_a_low_one(
    store_url: str, managers: Managers, ledger: Ledger
):
    manager = await managers(store_url)
    await manager.create_queue(QueueConfig("q", max_workers=1))
    begun = time.monotonic()
    await manager.submit_task("high", "q", "t", jobs.work, HIGH, _defer_by=3)
    await manager.submit_task("low", "q", "t", jobs.work, LOW)
    await end_of(manager, "low")
    await end_of(manager, "high")
    low, high = (ledger.entries("start", name)[0].at - begun for name in ("low", "high"))
    assert low < 3 <= high


async def test_ready_tasks_run_by_priority_and_then_in_order(
    store_url: str, managers: Managers, ledger: Ledger
):
    manager = await managers(store_url)
    await manager.create_queue(QueueConfig("q", max_workers=1))
    await manager.pause_queue("q")
    for priority in (LOW, HIGH, MEDIUM):
        for number in range(3):
            task_id = f"{priority.name}-{number}"
            await manager.submit_task(task_id, "q", "t", jobs.work, priority)
    await manager.resume_queue("q")
    ran = await ledger.until("start", count=9)
    expected = [f"{priority.name}-{n}" for priority in (HIGH, MEDIUM, LOW) for n in range(3)]
    assert [entry.task for entry in ran] == expected


async def test_max_concurrency_serves_queues_by_their_priority(
    store_url: str, managers: Managers, ledger: Ledger
):
    manager = await managers(store_url, max_concurrency=2)
    for priority in (LOW, MEDIUM, HIGH):
        await manager.create_queue(QueueConfig(priority.name, priority=priority, max_workers=4))
    await asyncio.gather(*(manager.pause_queue(each.name) for each in (LOW, MEDIUM, HIGH)))
    for priority in (LOW, MEDIUM, HIGH):
        for number in range(6):
            task_id = f"{priority.name}-{number}"
            await submit(manager, task_id, jobs.work, priority.name, seconds=0.1)
    await manager.resume_queue("HIGH")
    await ledger.until("start", count=1)
    await asyncio.gather(*(manager.resume_queue(each.name) for each in (LOW, MEDIUM)))
    ran = [entry.task.partition("-")[0] for entry in await ledger.until("start", count=18)]
    await ledger.until("end", count=18)
    assert ledger.most_at_once() == 2
    # A slot that is free before the higher queue's next task is known may go to a lower one.
    late = ran.index("LOW")
    assert ran[:late].count("HIGH") >= 5
    assert ran[: ran.index("MEDIUM")].count("HIGH") >= 4
    assert ran[-1] == "LOW"


async def test_a_batch_with_the_same_id_twice_is_refused_with_the_id_named(
    store_url: str, managers: Managers
):
    manager = await managers(store_url)
    await manager.create_queue(QueueConfig("q"), work=False)
    ids = ["one", "twin", "two", "twin"]
    batch = [{"task_id": each, "task_type": "t", "task_func": jobs.echo} for each in ids]
    with pytest.raises(TaskAlreadyExistsError, match="'twin'") as refused:
        await manager.submit_tasks("q", batch)
    assert (refused.value.task_id, refused.value.accepted) == ("twin", ())
    await assert_nothing_stored(manager, ids)


async def test_a_batch_with_an_id_that_is_used_already_stores_nothing(
    store_url: str, managers: Managers
):
    manager = await managers(store_url)
    await manager.create_queue(QueueConfig("q"), work=False)
    await manager.create_queue(QueueConfig("other"), work=False)
    await submit(manager, "used", jobs.echo, "other")
    batch = [
        {"task_id": each, "task_type": "t", "task_func": jobs.echo} for each in ("new", "used")
    ]
    with pytest.raises(TaskAlreadyExistsError, match="'used'"):
        await manager.submit_tasks("q", batch)
    await assert_nothing_stored(manager, ["new"])


async def test_a_batch_beyond_max_size_stores_nothing(store_url: str, managers: Managers):
    manager = await managers(store_url)
    await manager.create_queue(QueueConfig("q", max_size=9), work=False)
    ids = [f"task-{number}" for number in range(10)]
    batch = [{"task_id": each, "task_type": "t", "task_func": jobs.echo} for each in ids]
    with pytest.raises(QueueFullError, match="max_size=9") as refused:
        await manager.submit_tasks("q", batch)
    assert refused.value.accepted == ()
    await assert_nothing_stored(manager, ids)
    assert len(await manager.submit_tasks("q", batch[:9])) == 9
    with pytest.raises(QueueFullError):
        await submit(manager, ids[9], jobs.echo)


async def assert_nothing_stored(manager: TaskQueueManager, ids: list[str]) -> None:
    """No record of these, and nothing waits in the queue "q"."""
    for task_id in ids:
        with pytest.raises(TaskNotFoundError):
            await manager.get_task_status(task_id)
    assert (await manager.get_queue_status("q"))["queued_tasks"] == 0


async def test_a_batch_beyond_1000_says_exactly_what_is_in(store_url: str, managers: Managers):
    manager = await managers(store_url)
    await manager.create_queue(QueueConfig("q", max_size=2500), work=False)
    batch = [
        {"task_id": f"task-{n}", "task_type": "t", "task_func": jobs.echo} for n in range(2600)
    ]
    with pytest.raises(QueueFullError) as refused:
        await manager.submit_tasks("q", batch)
    assert refused.value.accepted == tuple(f"task-{n}" for n in range(2000))
    assert (await manager.get_queue_status("q"))["queued_tasks"] == 2000


async def test_gathering_5000_concurrent_submits_works(store_url: str, managers: Managers):
    manager = await managers(store_url)
    await manager.create_queue(QueueConfig("q", max_size=5000), work=False)
    infos = await asyncio.gather(
        *(submit(manager, f"task-{n}", jobs.echo, value=n) for n in range(5000))
    )
    assert [info.task_id for info in infos] == [f"task-{n}" for n in range(5000)]
    assert (await manager.get_queue_status("q"))["queued_tasks"] == 5000
    if store_url.startswith("redis"):
        with contextlib.closing(connect(store_url)) as client:
            assert client.info("clients")["connected_clients"] < 50


async def test_of_concurrent_submits_of_one_id_exactly_one_is_accepted(
    store_url: str, managers: Managers
):
    one, two = await managers(store_url), await managers(store_url)
    for manager in (one, two):
        await manager.create_queue(QueueConfig("q"), work=False)
    calls = [submit(manager, "only", jobs.echo) for manager in (one, two) for _ in range(20)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(each, TaskInfo) for each in answers) == 1
    assert sum(isinstance(each, TaskAlreadyExistsError) for each in answers) == 39


async def test_cancelling_the_caller_of_a_submit_cancels_no_submit(
    store_url: str, managers: Managers
):
    manager = await managers(store_url)
    await manager.create_queue(QueueConfig("q"))
    await submit(manager, "before", jobs.echo)  # the store knows the function now
    for turns in range(6):  # the submit has come a little further each time
        caller = asyncio.create_task(submit(manager, f"task-{turns}", jobs.echo, value=turns))
        for _ in range(turns + 1):
            await asyncio.sleep(0)
        caller.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await caller
    begun = [n for n in range(6) if await is_known(manager, f"task-{n}")]
    assert len(begun) >= 4, "hardly any submit was under way"
    for number in begun:
        assert (await end_of(manager, f"task-{number}")).result == number


async def is_known(manager: TaskQueueManager, task_id: str) -> bool:
    """It is there after a round trip that began later than its submit."""
    with contextlib.suppress(TaskNotFoundError):
        await manager.get_queue_status("q")
        await asyncio.sleep(0.05)  # a submit on another connection may still be on its way
        await manager.get_task_status(task_id)
        return True
    return False


# --- errors end somewhere


async def test_a_task_that_returns_an_open_file_ends_failed_with_the_reason_and_is_not_retried(
    store_url: str, managers: Managers, ledger: Ledger
):
    manager = await managers(store_url)
    await manager.create_queue(QueueConfig("q", max_retries=3, retry_delay=0))
    await submit(manager, "task", jobs.open_file)
    info = await end_of(manager, "task")
    jobs.opened.pop().close()
    assert info.status is TaskStatus.FAILED
    assert "the result can't be stored" in str(info.error)
    assert "TextIOWrapper" in str(info.error)
    assert (info.attempt, info.retry_count, info.result) == (1, 0, None)
    assert len(ledger.entries("start")) == 1
    assert (await manager.get_queue_status("q"))["current_workers"] == 0


async def test_sizes_are_bounded_with_typed_errors(store_url: str, managers: Managers):
    manager = await managers(store_url)
    await manager.create_queue(QueueConfig("q", max_retries=3))
    with pytest.raises(InvalidTaskError, match=r"bytes|KiB"):
        await submit(manager, "large", jobs.echo, value=b"x" * (256 * 1024 + 1))
    with pytest.raises(TaskNotFoundError):
        await manager.get_task_status("large")
    await submit(manager, "large result", jobs.echo, value=b"x" * (128 * 1024))
    info = await end_of(manager, "large result")
    assert (info.status, info.attempt) == (TaskStatus.FAILED, 1)
    assert "the result can't be stored" in str(info.error)


async def test_hooks_fire_once_per_attempt(store_url: str, managers: Managers, tmp_path: Path):
    fired: list[tuple[str, int]] = []

    async def started(info: TaskInfo) -> None:
        fired.append(("start", info.attempt))

    def failed(info: TaskInfo, error: BaseException) -> None:
        assert str(error) == "once more"
        fired.append((f"fail {info.status}", info.attempt))

    def completed(info: TaskInfo) -> None:
        fired.append(("complete", info.attempt))
        raise ValueError("a failing hook harms nothing")

    async def third_time_lucky() -> str:
        if len(fired) < 5:
            raise RuntimeError("once more")
        return "well"

    manager = await managers(
        store_url, on_task_start=started, on_task_fail=failed, on_task_complete=completed
    )
    await manager.create_queue(QueueConfig("q", max_retries=2, retry_delay=0.1))
    await submit(manager, "task", third_time_lucky)
    info = await end_of(manager, "task")
    await manager.shutdown()
    assert (info.status, info.result, info.retry_count) == (TaskStatus.COMPLETED, "well", 2)
    expected = [("start", 1), ("fail retry", 1), ("start", 2), ("fail retry", 2), ("start", 3)]
    assert fired == [*expected, ("complete", 3)]


async def test_submit_sync_from_a_thread(store_url: str, managers: Managers):
    manager = await managers(store_url)
    await manager.create_queue(QueueConfig("q"))

    def elsewhere() -> TaskInfo:
        return manager.submit_sync(
            "task", "q", "t", jobs.echo, HIGH, value="from a thread", _wait_seconds=10
        )

    info = await asyncio.to_thread(elsewhere)
    assert info.task_id == "task"
    assert (await end_of(manager, "task")).result == "from a thread"


# --- the breaker


async def test_500_tasks_fail_fast_and_one_probe_passes_after_each_reset_time(
    store_url: str, managers: Managers, ledger: Ledger, tmp_path: Path
):
    reset, gate = 1.5, tmp_path / "mended"
    breaker: Any = {"max_circuit_breaker_failures": 3, "circuit_breaker_reset_timeout": reset}
    ours = [await managers(store_url) for _ in range(2)]
    for manager in ours:
        await manager.create_queue(QueueConfig("q", max_workers=4, **breaker))
    batch = [
        {
            "task_id": f"task-{n}",
            "task_type": "t",
            "task_func": jobs.fail_until,
            "kwargs": {"path": str(gate)},
        }
        for n in range(500)
    ]
    await ours[0].submit_tasks("q", batch)
    # What was claimed before it opened may start after it did: they are counted once nobody holds a lease.
    await status_once(
        ours[1], lambda s: s["circuit_breaker_status"] == "open" and s["current_workers"] == 0
    )
    opened = len(ledger.entries("start"))
    times = [entry.at for entry in await ledger.until("start", count=opened + 2)]
    assert 3 <= opened <= 3 + 4
    assert times[opened - 1] < times[0] + reset * 0.8
    for before, after in pairwise(times[opened - 1 :]):
        assert reset * 0.95 <= after - before < reset + 2
    gate.touch()
    await status_once(ours[1], lambda status: status["circuit_breaker_status"] == "closed")
    await status_once(ours[1], lambda s: s["queued_tasks"] + s["current_workers"] == 0)
    assert len({entry.task for entry in ledger.entries("start")}) == 500


# --- time


async def test_a_task_deferred_for_a_year_is_still_there_after_a_simulated_year(
    managers: Managers, ledger: Ledger
):
    with time_machine.travel(time.time(), tick=True) as travel:
        manager = await managers("memory://", tick=0.05)
        await manager.create_queue(QueueConfig("q"))
        await submit(manager, "in a year", jobs.work, _defer_by=timedelta(days=365))
        await submit(manager, "now", jobs.echo)
        await end_of(manager, "now")
        travel.shift(timedelta(days=364, hours=23))
        await until_swept(manager, "now")
        assert (await manager.get_task_status("in a year")).status is TaskStatus.QUEUED
        assert ledger.entries("start") == []
        travel.shift(timedelta(hours=1, seconds=1))
        assert (await end_of(manager, "in a year")).status is TaskStatus.COMPLETED


async def until_swept(manager: TaskQueueManager, task_id: str) -> None:
    """Return once the record of an ended task has expired and maintenance has looked at the queue again."""
    with pytest.raises(TaskNotFoundError):
        await manager.get_task_status(task_id)
    store = manager._parts.store
    await store.do(Sweep("q", 100, 60_000, None))


async def test_no_key_of_a_task_that_waits_has_a_ttl(clean_redis_url: str, managers: Managers):
    manager = await managers(clean_redis_url)
    await manager.create_queue(QueueConfig("q"), work=False)
    await submit(manager, "in a year", jobs.echo, _defer_by=timedelta(days=365))
    await submit(manager, "ready", jobs.echo)
    with contextlib.closing(connect(clean_redis_url)) as client:
        keys = client.keys()
        assert len(keys) >= 3
        assert {key: client.ttl(key) for key in keys} == dict.fromkeys(keys, -1)


# --- idle


@pytest.mark.slow(25)
async def test_an_idle_queue_costs_redis_less_than_half_a_command_a_second(
    private_redis: PrivateRedis, managers: Managers, measured: Measured
):
    """The promise is 2 a second. One window holds five ticks and a renewal of the presence."""
    server = private_redis()
    manager = await managers(server.url)
    await manager.create_queue(QueueConfig("q"))
    await asyncio.sleep(1)  # what beginning brought about is done
    with contextlib.closing(connect(server.url)) as client:
        before = client.info("all")
        await asyncio.sleep(21)  # the measurement itself
        after = client.info("all")
    own = 1
    commands = after["total_commands_processed"] - before["total_commands_processed"] - own
    measured("idle_commands_per_second", round(commands / 21, 2))
    assert commands / 21 < 0.5, str(difference(before, after))


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, int]:
    """How often each command was called between two answers of INFO."""
    calls = {key: value["calls"] for key, value in after.items() if key.startswith("cmdstat_")}
    grown = {key: n - before.get(key, {"calls": 0})["calls"] for key, n in calls.items()}
    return {key: count for key, count in grown.items() if count}


# --- threads


async def test_a_plain_function_runs_in_a_thread_and_keeps_its_slot_past_its_timeout(
    store_url: str, managers: Managers, ledger: Ledger, tmp_path: Path
):
    end = tmp_path / "end"
    manager = await managers(store_url)
    await manager.create_queue(QueueConfig("q", max_workers=1, task_timeout=0.2, lease=1.0))
    await submit(manager, "long", jobs.wait_in_thread_for, path=str(end))
    await submit(manager, "next", jobs.work)
    await ledger.until("start", task="long")
    await asyncio.sleep(1.5)  # beyond its timeout and its first lease: nothing may happen meanwhile
    assert ledger.entries("start", "next") == []
    assert (await manager.get_task_status("long")).status is TaskStatus.PROCESSING
    assert (await manager.get_queue_status("q"))["current_workers"] == 1
    end.touch()
    info = await end_of(manager, "long")
    assert (info.status, info.attempt) == (TaskStatus.FAILED, 1)
    assert "timed out after 0.2 s" in str(info.error)
    await end_of(manager, "next")


async def test_a_task_in_this_process_is_cancelled(
    store_url: str, managers: Managers, ledger: Ledger, tmp_path: Path
):
    manager = await managers(store_url)
    await manager.create_queue(QueueConfig("q", max_workers=1))
    await submit(manager, "running", jobs.wait_for, path=str(tmp_path / "never"))
    await submit(manager, "waiting", jobs.work)
    await ledger.until("start", task="running")
    assert await manager.cancel_task("waiting")
    assert await manager.cancel_task("running")
    for task_id in ("running", "waiting"):
        assert (await end_of(manager, task_id)).status is TaskStatus.CANCELLED
    assert ledger.entries("start", "waiting") == []
    assert os.getpid() == ledger.entries("end", "running")[0].pid
    await until(lambda: len(ledger.entries("end")) == 1, "the run ended once")
