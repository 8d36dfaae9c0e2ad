"""Several processes on one Redis: killed, stopped, told to end. Leases of 1 s unless a test says otherwise.

`KEW_KILLS` scales the tests that kill: the default is what CI runs, `make soak` asks for ten times as many.
"""

import asyncio
import os
import random
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kew import QueueConfig, TaskFailedError, TaskInfo, TaskQueueManager, TaskStatus
from kew.handles import TaskHandle
from tests.integration.conftest import Managers, Measured
from tests.support import jobs
from tests.support.asking import end_of, once, status_once, submit
from tests.support.ledger import Ledger, until
from tests.support.workers import Worker, Workers

KILLS = int(os.environ.get("KEW_KILLS", "20"))
STOPS = max(5, KILLS // 4)
QUICK: dict[str, Any] = {"name": "q", "lease": 1.0}
TICK = {"manager": {"tick": 0.5}}
SLACK = 10.0  # for a busy machine, and far less than the minute of a presence


@pytest.fixture
async def manager(clean_redis_url: str, managers: Managers) -> TaskQueueManager:
    """Submits and looks, and runs nothing."""
    manager = await managers(clean_redis_url)
    await manager.create_queue(QueueConfig(**QUICK), work=False)
    return manager


# --- a process that is killed


async def test_after_a_sigkill_another_process_finishes_the_task_within_lease_and_tick(
    manager: TaskQueueManager,
    clean_redis_url: str,
    workers: Workers,
    ledger: Ledger,
    tmp_path: Path,
    measured: Measured,
):
    end = tmp_path / "end"
    serve = {"name": "q", "lease": 2.0}
    first = await workers.start(clean_redis_url, serve, **TICK, functions=["wait_for"])
    await submit(manager, "task", jobs.wait_for, path=str(end))
    await ledger.until("start")
    await workers.start(clean_redis_url, serve, **TICK, functions=["wait_for"])
    await asyncio.sleep(1.5)  # into the second lease: from now on it is an extended one
    await first.kill()
    killed = time.monotonic()
    _, second = await ledger.until("start", count=2)
    measured("recovery_seconds", second.at - killed)
    assert second.at - killed < 2.0 + 0.5 + SLACK
    assert second.pid != first.pid
    end.touch()
    info = await end_of(manager, "task")
    assert (info.status, info.attempt, info.retry_count) == (TaskStatus.COMPLETED, 2, 0)
    assert info.result == second.token > ledger.entries("start")[0].token


@pytest.mark.slow(20)
async def test_with_default_settings_a_killed_process_is_replaced_within_20_seconds(
    clean_redis_url: str,
    managers: Managers,
    workers: Workers,
    ledger: Ledger,
    tmp_path: Path,
    measured: Measured,
):
    end = tmp_path / "end"
    default: Any = {"name": "q"}
    first = await workers.start(clean_redis_url, default, functions=["wait_for"])
    manager = await managers(clean_redis_url)
    await manager.create_queue(QueueConfig("q"), work=False)
    await submit(manager, "task", jobs.wait_for, path=str(end))
    await ledger.until("start")
    await workers.start(clean_redis_url, default, functions=["wait_for"])
    await first.kill()
    killed = time.monotonic()
    _, second = await ledger.until("start", count=2)
    measured("recovery_seconds", second.at - killed)
    assert second.at - killed < 20 + SLACK
    end.touch()
    assert (await end_of(manager, "task")).status is TaskStatus.COMPLETED


@pytest.mark.slow(30)
async def test_killed_again_and_again_under_load_nothing_is_lost(
    manager: TaskQueueManager,
    clean_redis_url: str,
    workers: Workers,
    ledger: Ledger,
    measured: Measured,
):
    """The effect ledger: every accepted task was really run to its end, and its record says so."""
    chance = random.Random(20)
    serve = {**QUICK, "max_workers": 6, "max_deliveries": 50}
    await manager.cleanup()
    await manager.shutdown()
    await manager.initialize()
    await manager.create_queue(QueueConfig(**serve, max_size=100_000), work=False)

    async def fresh() -> Worker:
        return await workers.start(
            clean_redis_url, {**serve, "max_size": 100_000}, **TICK, functions=["work"]
        )

    running = [await fresh(), await fresh()]
    accepted: list[str] = []
    for kill in range(KILLS):
        started = len(ledger.entries("start"))
        for number in range(10):
            task_id = f"task-{kill}-{number}"
            await submit(manager, task_id, jobs.work, seconds=chance.uniform(0.0, 0.3))
            accepted.append(task_id)
        replacement = asyncio.create_task(fresh())
        await ledger.until("start", count=started + 1)
        await asyncio.sleep(chance.uniform(0.0, 0.2))  # a kill at any moment
        await running.pop(0).kill()
        running.append(await replacement)
    await status_once(manager, lambda s: s["queued_tasks"] + s["current_workers"] == 0, 60)
    statuses = [(await manager.get_task_status(each)).status for each in accepted]
    assert statuses.count(TaskStatus.COMPLETED) == len(accepted)
    ended = {entry.task for entry in ledger.entries("end")}
    assert ended == set(accepted)
    starts = ledger.entries("start")
    measured("runs_lost_to_kills", len(starts) - len(accepted))
    assert len(starts) > len(accepted), "no kill hit a running task"
    assert len({entry.pid for entry in starts}) > 2
    assert len({(entry.task, entry.attempt) for entry in starts}) == len(starts)


async def test_a_sigkilled_probe_does_not_keep_the_breaker_from_closing(
    clean_redis_url: str, managers: Managers, workers: Workers, ledger: Ledger, tmp_path: Path
):
    breaker: Any = {"max_circuit_breaker_failures": 1, "circuit_breaker_reset_timeout": 0.5}
    serve = {**QUICK, **breaker}
    mended, end = tmp_path / "mended", tmp_path / "end"
    manager = await managers(clean_redis_url)
    await manager.create_queue(QueueConfig(**serve), work=False)
    first = await workers.start(clean_redis_url, serve, functions=["fail_until_then_wait"])
    arguments = {"path": str(mended), "end": str(end)}
    await submit(manager, "breaks", jobs.fail_until_then_wait, **arguments)
    await status_once(manager, lambda status: status["circuit_breaker_status"] != "closed")
    mended.touch()
    await submit(manager, "task-0", jobs.fail_until_then_wait, **arguments)
    (probe,) = await ledger.until("held")
    for number in range(1, 4):  # each makes the worker look
        await submit(manager, f"task-{number}", jobs.fail_until_then_wait, **arguments)
    await asyncio.sleep(0.3)  # a second one would start in this time
    assert len(ledger.entries("held")) == 1
    assert (await manager.get_queue_status("q"))["circuit_breaker_status"] == "half_open"
    await first.kill()
    await workers.start(clean_redis_url, serve, **TICK, functions=["fail_until_then_wait"])
    await ledger.until("held", task=probe.task, count=2)
    await asyncio.sleep(0.3)  # a second one would start in this time
    assert len(ledger.entries("held")) == 2
    assert (await manager.get_queue_status("q"))["circuit_breaker_status"] == "half_open"
    end.touch()
    await status_once(manager, lambda status: status["circuit_breaker_status"] == "closed")
    for number in range(4):
        assert (await end_of(manager, f"task-{number}")).status is TaskStatus.COMPLETED


async def test_a_task_that_takes_its_process_down_each_time_ends(
    clean_redis_url: str, managers: Managers, workers: Workers, ledger: Ledger, tmp_path: Path
):
    serve = {**QUICK, "max_deliveries": 1}
    manager = await managers(clean_redis_url)
    await manager.create_queue(QueueConfig(**serve), work=False)
    await submit(manager, "poison", jobs.wait_for, path=str(tmp_path / "never"))
    for attempt in (1, 2):
        worker = await workers.start(clean_redis_url, serve, **TICK, functions=["wait_for"])
        await ledger.until("start", count=attempt)
        await worker.kill()
    await workers.start(clean_redis_url, serve, **TICK, functions=["wait_for"])
    info = await end_of(manager, "poison")
    assert (info.status, info.attempt) == (TaskStatus.FAILED, 2)
    assert "max_deliveries" in str(info.error)


async def test_an_at_most_once_task_of_a_killed_process_fails_and_is_not_run_again(
    manager: TaskQueueManager,
    clean_redis_url: str,
    workers: Workers,
    ledger: Ledger,
    tmp_path: Path,
):
    options: Any = {**TICK, "at_most_once": ["wait_for"]}
    first = await workers.start(clean_redis_url, QUICK, **options)
    path = str(tmp_path / "never")
    await first.ask("submit", queue="q", task_id="once", function="wait_for", path=path)
    await ledger.until("start")
    await workers.start(clean_redis_url, QUICK, **options)
    await first.kill()
    info = await end_of(manager, "once")
    assert (info.status, info.attempt) == (TaskStatus.FAILED, 1)
    assert "at_most_once" in str(info.error)
    assert len(ledger.entries("start")) == 1


# --- a process that is stopped past its lease


async def test_a_worker_stopped_past_its_lease_cannot_settle_and_its_fencing_token_is_old(
    manager: TaskQueueManager,
    clean_redis_url: str,
    workers: Workers,
    ledger: Ledger,
    tmp_path: Path,
):
    """The task runs in a thread, so that it really ends a second time, after the other's outcome."""
    options: Any = {**TICK, "functions": ["wait_in_thread_for"], "hooks": True}
    stalled, other = [await workers.start(clean_redis_url, QUICK, **options) for _ in range(2)]
    for number in range(STOPS):
        task_id, end = f"task-{number}", tmp_path / f"end-{number}"
        await submit(manager, task_id, jobs.wait_in_thread_for, path=str(end))
        (first,) = await ledger.until("start", task=task_id)
        if first.pid == other.pid:
            stalled, other = other, stalled
        stalled.send(signal.SIGSTOP)
        second = (await ledger.until("start", task=task_id, count=2))[1]
        end.touch()
        info = await end_of(manager, task_id)
        assert (info.result, info.attempt) == (second.token, 2)
        stalled.send(signal.SIGCONT)
        late = (await ledger.until("end", task=task_id, count=2))[1]
        assert late.pid == stalled.pid
        assert late.token < second.token
        await until(partial(was_told_of_loss, stalled, task_id), "the stalled one was told")
        after = await manager.get_task_status(task_id)
        assert after == info
        assert stalled.hooks("complete", task_id) == []
        assert len(other.hooks("complete", task_id)) == 1


def was_told_of_loss(worker: Worker, task_id: str) -> bool:
    """It logged that an attempt of the task is discarded."""
    lines = [line for line in worker.log.splitlines() if f"task {task_id} (" in line]
    return any("is discarded" in line for line in lines)


async def test_a_task_that_holds_the_event_loop_past_its_lease_cannot_settle(
    manager: TaskQueueManager,
    clean_redis_url: str,
    workers: Workers,
    ledger: Ledger,
    tmp_path: Path,
):
    end = tmp_path / "end"
    options: Any = {**TICK, "functions": ["hold_the_loop"], "hooks": True}
    pair = [await workers.start(clean_redis_url, QUICK, **options) for _ in range(2)]
    await submit(manager, "task", jobs.hold_the_loop, path=str(end))
    first, second = await ledger.until("start", count=2)
    assert first.pid != second.pid
    assert first.token < second.token
    end.touch()
    info = await end_of(manager, "task")
    assert info.attempt >= 2
    stale = next(worker for worker in pair if worker.pid == first.pid)
    await until(partial(was_told_of_loss, stale, "task"), "the first one was told")
    assert [len(worker.hooks("complete")) for worker in pair].count(1) <= 1
    assert stale.hooks("complete") == [] or info.attempt > 2


# --- a process that is told to end


async def test_sigterm_drains_and_hands_back(
    clean_redis_url: str, managers: Managers, workers: Workers, ledger: Ledger, tmp_path: Path
):
    """With the default lease of 15 s: what is waiting again at once was handed back, and didn't lapse."""
    serve: Any = {"name": "q"}
    manager = await managers(clean_redis_url)
    await manager.create_queue(QueueConfig(**serve), work=False)
    for number in range(STOPS):
        worker = await workers.start(
            clean_redis_url, serve, functions=["work", "wait_for"], shutdown_timeout=1.5
        )
        short, long, end = f"short-{number}", f"long-{number}", tmp_path / f"end-{number}"
        await submit(manager, long, jobs.wait_for, path=str(end))
        await submit(manager, short, jobs.work, seconds=0.7)
        await ledger.until("start", task=short)
        await ledger.until("start", task=long)
        worker.send(signal.SIGTERM)
        assert await worker.ended(15) == 0
        info = await manager.get_task_status(short)
        assert (info.status, info.result) == (TaskStatus.COMPLETED, worker.pid)
        info = await manager.get_task_status(long)
        assert (info.status, info.attempt) == (TaskStatus.QUEUED, 1)
        assert (await manager.get_queue_status("q"))["current_workers"] == 0
        end.touch()
    await workers.start(clean_redis_url, serve, functions=["wait_for"])
    for number in range(STOPS):
        info = await end_of(manager, f"long-{number}")
        assert (info.status, info.retry_count) == (TaskStatus.COMPLETED, 0)


async def test_a_plain_function_that_never_ends_keeps_its_slot_but_not_the_interpreter(
    manager: TaskQueueManager, clean_redis_url: str, workers: Workers, ledger: Ledger
):
    serve = {**QUICK, "max_workers": 1, "task_timeout": 0.2, "max_deliveries": 0}
    options: Any = {**TICK, "functions": ["never_end", "work"]}
    worker = await workers.start(clean_redis_url, serve, **options, shutdown_timeout=0.5)
    await submit(manager, "endless", jobs.never_end)
    await ledger.until("start", task="endless")
    await submit(manager, "next", jobs.work)
    await asyncio.sleep(2.5)  # beyond its timeout and two leases: nothing may happen meanwhile
    assert ledger.entries("start", "next") == []
    assert (await manager.get_task_status("endless")).status is TaskStatus.PROCESSING
    worker.send(signal.SIGTERM)
    assert await worker.ended(10) == 0
    await workers.start(clean_redis_url, serve, **options)
    info = await end_of(manager, "endless")  # its lease lapsed with its process
    assert (info.status, info.attempt) == (TaskStatus.FAILED, 1)
    assert (await end_of(manager, "next")).status is TaskStatus.COMPLETED


# --- limits over all processes


@pytest.mark.parametrize("share", [None, 1])
async def test_two_processes_with_max_workers_2_never_run_3_at_once(
    clean_redis_url: str, managers: Managers, workers: Workers, ledger: Ledger, share: int | None
):
    serve = {"name": "q", "max_workers": 2, "max_workers_per_process": share}
    manager = await managers(clean_redis_url)
    await manager.create_queue(QueueConfig("q", max_workers=2), work=False)
    pair = [await workers.start(clean_redis_url, serve, functions=["work"]) for _ in range(2)]
    for burst in range(20):  # a queue that never empties may stay with one process
        for number in range(6):
            await submit(manager, f"task-{burst}-{number}", jobs.work, seconds=0.05)
        await ledger.until("end", count=6 * (burst + 1))
    assert ledger.most_at_once() == 2
    assert {entry.pid for entry in ledger.entries("start")} == {worker.pid for worker in pair}
    span = ledger.entries("end")[-1].at - ledger.entries("start")[0].at
    assert span > 2, "too short to show anything"


async def test_max_workers_per_process_bounds_the_share_of_one(
    clean_redis_url: str, managers: Managers, workers: Workers, ledger: Ledger, tmp_path: Path
):
    serve = {"name": "q", "max_workers": 5, "max_workers_per_process": 2}
    end = tmp_path / "end"
    manager = await managers(clean_redis_url)
    await manager.create_queue(QueueConfig("q", max_workers=5), work=False)
    pair = [await workers.start(clean_redis_url, serve, functions=["wait_for"]) for _ in range(2)]
    for number in range(6):
        await submit(manager, f"task-{number}", jobs.wait_for, path=str(end))
    await ledger.until("start", count=4)
    await asyncio.sleep(0.5)  # a fifth would start in this time
    pids = [entry.pid for entry in ledger.entries("start")]
    assert sorted(pids) == sorted([worker.pid for worker in pair] * 2)
    end.touch()
    await ledger.until("end", count=6)


# --- functions


async def test_a_closure_of_a_process_that_died_fails_and_says_why(
    manager: TaskQueueManager, clean_redis_url: str, workers: Workers
):
    """Once the presence of its process has ended; here it lasts 3 s, where 60 s are the default."""
    options: Any = {"presence_ms": 3000, "manager": {"tick": 0.2}}
    owner, _ = [await workers.start(clean_redis_url, QUICK, **options) for _ in range(2)]
    await owner.ask("submit_closure", queue="q", task_id="closure", defer_by=2)
    await owner.kill()
    killed = time.monotonic()
    info = await once(
        lambda: manager.get_task_status("closure"), lambda each: each.status is TaskStatus.FAILED
    )
    assert time.monotonic() - killed > 1
    assert "closure or lambda" in str(info.error)
    assert "module-level function" in str(info.error)
    with pytest.raises(TaskFailedError, match="closure or lambda"):
        await TaskHandle(manager, info).result(timeout=30)


async def test_a_closure_is_run_by_the_process_that_submitted_it(
    manager: TaskQueueManager, clean_redis_url: str, workers: Workers
):
    owner, _ = [await workers.start(clean_redis_url, QUICK, hooks=True) for _ in range(2)]
    for number in range(5):
        await owner.ask("submit_closure", queue="q", task_id=f"closure-{number}", defer_by=0)
    for number in range(5):
        assert (await end_of(manager, f"closure-{number}")).result == f"closure-{number}"
    await until(lambda: len(owner.hooks("complete")) == 5, "its hooks fired")


async def test_a_function_that_no_process_knows_waits_visibly_and_blocks_nobody(
    manager: TaskQueueManager, clean_redis_url: str, workers: Workers
):
    serve = {**QUICK, "max_workers": 1}
    await workers.start(clean_redis_url, serve, functions=["echo"])
    await manager.submit_task("unknown", "q", "t", jobs.only_here, 1)
    for number in range(20):
        await submit(manager, f"task-{number}", jobs.echo, value=number)
    for number in range(20):
        assert (await end_of(manager, f"task-{number}")).result == number
    assert (await manager.get_task_status("unknown")).status is TaskStatus.QUEUED
    status = await manager.get_queue_status("q")
    assert status["stuck_functions"] == {"tests.support.jobs:only_here": 1}
    assert (status["queued_tasks"], status["current_workers"]) == (1, 0)
    await workers.start(clean_redis_url, serve, functions=["only_here"])
    assert (await end_of(manager, "unknown")).result == "known after all"
    assert (await manager.get_queue_status("q"))["stuck_functions"] == {}


async def test_a_process_runs_what_it_was_told_to_trust(
    manager: TaskQueueManager, clean_redis_url: str, workers: Workers
):
    options: Any = {"manager": {"tick": 0.2, "trust": ["tests.support"]}}
    await workers.start(clean_redis_url, QUICK, **options)
    await submit(manager, "task", jobs.echo, value="found by import")
    assert (await end_of(manager, "task")).result == "found by import"


async def test_what_is_not_below_a_trusted_package_is_not_run(
    manager: TaskQueueManager, clean_redis_url: str, workers: Workers, tmp_path: Path
):
    options: Any = {"manager": {"tick": 0.2, "trust": ["tests.supp", "os"]}}
    await workers.start(clean_redis_url, QUICK, **options)
    manager.register(jobs.echo)
    await submit(manager, "task", jobs.echo)
    await status_once(manager, lambda status: status["stuck_functions"])
    await asyncio.sleep(1.5)  # it would have been learnt by now
    assert (await manager.get_task_status("task")).status is TaskStatus.QUEUED


# --- asking across processes


async def test_a_running_task_is_cancelled_in_another_process(
    manager: TaskQueueManager,
    clean_redis_url: str,
    workers: Workers,
    ledger: Ledger,
    tmp_path: Path,
):
    """With a long lease, so that it isn't the next extension that tells the worker."""
    serve: Any = {"name": "q", "lease": 600.0}
    worker = await workers.start(clean_redis_url, serve, functions=["wait_for"])
    await submit(manager, "task", jobs.wait_for, path=str(tmp_path / "never"))
    await ledger.until("start")
    (ongoing,) = await manager.get_ongoing_tasks()
    assert (ongoing.task_id, ongoing.status) == ("task", TaskStatus.PROCESSING)
    assert await manager.cancel_task("task")
    (end,) = await ledger.until("end")  # the next extension comes 200 s after the start
    assert end.pid == worker.pid
    cancelled = await once(lambda: manager.get_task_status("task"), is_ended)
    assert (cancelled.status, cancelled.attempt) == (TaskStatus.CANCELLED, 1)
    assert await manager.get_ongoing_tasks() == []


def is_ended(info: TaskInfo) -> bool:
    return info.status in (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED)


async def test_a_result_crosses_processes_by_a_signal(
    manager: TaskQueueManager,
    clean_redis_url: str,
    workers: Workers,
    ledger: Ledger,
    tmp_path: Path,
    measured: Measured,
):
    """The poll behind the signal comes every 5 s: each of three results is there far sooner."""
    await workers.start(clean_redis_url, QUICK, functions=["wait_for"])
    delays = []
    for number in range(3):
        end = tmp_path / f"end-{number}"
        info = await submit(manager, f"task-{number}", jobs.wait_for, path=str(end))
        waiting = asyncio.create_task(TaskHandle[int](manager, info).result(timeout=30))
        (start,) = await ledger.until("start", task=info.task_id)
        await asyncio.sleep(0.2)  # by now the store has been asked to tell
        end.touch()
        assert await waiting == start.token
        delays.append(time.monotonic() - ledger.entries("end", info.task_id)[0].at)
    measured("result_delay_seconds", max(delays))
    assert sorted(delays)[1] < 2.5


async def test_a_fork_is_refused(clean_redis_url: str, workers: Workers):
    worker = await workers.start(clean_redis_url, QUICK)
    answer = await worker.ask("fork")
    assert answer["error"] == "TaskQueueError"
    assert "fork" in answer["message"]
    assert "in each process" in answer["message"]
    assert await worker.ask("submit", queue="q", task_id="after", function="echo") == "queued"
