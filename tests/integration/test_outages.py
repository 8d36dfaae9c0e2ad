"""A Redis that is killed and comes back, forgets its library, or answers late, twice or never.

`KEW_FAULTS` and `KEW_KILLS` scale what is done to it.
"""

import asyncio
import contextlib
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from kew import (
    QueueConfig,
    StoreUnavailableError,
    SubmitUncertainError,
    TaskNotFoundError,
    TaskStatus,
)
from kew.handles import TaskHandle
from tests.conftest import PrivateRedis
from tests.integration.conftest import Managers, Measured
from tests.support import jobs
from tests.support.asking import end_of, status_once, submit
from tests.support.ledger import Ledger
from tests.support.proxy import Fault, Proxy
from tests.support.redis_process import connect
from tests.support.workers import Workers

T = TypeVar("T")
HELD_BACK = 2.5  # seconds
KILLS = max(3, int(os.environ.get("KEW_KILLS", "20")) // 4)
FAULTS = int(os.environ.get("KEW_FAULTS", "600"))
CHANCE = 0.25
UNDER_FIRE = ("submit", "claim", "settle", "extend", "cancel", "watch", "announce", "find")


# --- Redis is killed


@pytest.mark.parametrize("appendfsync", ["always", "everysec"])
async def test_what_was_acknowledged_survives_a_sigkill_of_redis(
    private_redis: PrivateRedis,
    managers: Managers,
    workers: Workers,
    ledger: Ledger,
    appendfsync: str,
    measured: Measured,
):
    """And running workers go on by themselves. With "always" it is all that was acknowledged.

    With "everysec" Redis holds writes back while an fsync is under way (up to 2 s), so what was acknowledged in the
    last moments may be gone, and nothing older.
    """
    server = private_redis(appendonly="yes", appendfsync=appendfsync)
    serve: Any = {"name": "q", "lease": 1.0, "max_size": 1_000_000, "max_deliveries": 100}
    await workers.start(server.url, serve, manager={"tick": 0.5}, functions=["work"])
    manager = await managers(server.url, tick=0.5)
    await manager.create_queue(QueueConfig(**serve), work=False)
    acknowledged: dict[str, float] = {}
    kills: list[float] = []
    over = asyncio.Event()

    async def keep_submitting(lane: int) -> None:
        number = 0
        while not over.is_set():
            number += 1
            task_id = f"task-{lane}-{number}"
            await submit(manager, task_id, jobs.work, seconds=0.01)
            acknowledged[task_id] = time.monotonic()
            await asyncio.sleep(0.01)  # a load that two cores can bear

    submitting = [asyncio.create_task(keep_submitting(lane)) for lane in range(4)]
    for _ in range(KILLS):
        await ledger.until("end", count=len(ledger.entries("end")) + 50)
        kills.append(time.monotonic())
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
    await ledger.until("end", count=len(ledger.entries("end")) + 20)
    over.set()
    await asyncio.gather(*submitting)
    await status_once(manager, lambda s: s["queued_tasks"] + s["current_workers"] == 0, 60)
    lost = []
    for task_id, told_at in acknowledged.items():
        try:
            assert (await manager.get_task_status(task_id)).status is TaskStatus.COMPLETED
        except TaskNotFoundError:
            lost.append(task_id)
            assert any(0 <= kill - told_at < HELD_BACK for kill in kills), task_id
    measured("acknowledged", len(acknowledged))
    measured("lost", len(lost))
    assert not lost or appendfsync == "everysec"
    assert set(acknowledged) - set(lost) <= {entry.task for entry in ledger.entries("end")}


async def test_a_result_is_waited_for_across_a_restart_of_redis(
    private_redis: PrivateRedis,
    managers: Managers,
    workers: Workers,
    ledger: Ledger,
    tmp_path: Path,
):
    server = private_redis(appendonly="yes", appendfsync="always")
    end = tmp_path / "end"
    await workers.start(server.url, {"name": "q"}, functions=["wait_for"])
    manager = await managers(server.url)
    await manager.create_queue(QueueConfig("q"), work=False)
    info = await submit(manager, "task", jobs.wait_for, path=str(end))
    waiting = asyncio.create_task(TaskHandle[int](manager, info).result(timeout=30))
    (start,) = await ledger.until("start")
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(0.5)  # an outage that is seen
    end.touch()
    await ledger.until("end")
    await asyncio.to_thread(server.start)
    assert await waiting == start.token
    assert (await manager.get_task_status("task")).attempt == 1


async def test_a_submit_while_redis_is_away_is_told_as_surely_not_stored(
    private_redis: PrivateRedis, managers: Managers
):
    server = private_redis()
    manager = await managers(server.url, patience=0.5)
    await manager.create_queue(QueueConfig("q"), work=False)
    await submit(manager, "before", jobs.echo)
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(0.1)  # the closed connections are noticed
    with pytest.raises(StoreUnavailableError, match="was not stored"):
        await submit(manager, "during", jobs.echo)


async def test_an_uncertain_submit_is_resumed_by_its_token_and_makes_no_duplicate(
    private_redis: PrivateRedis, managers: Managers
):
    server = private_redis()
    silent = {"submit": True}

    def plan(operation: str) -> Fault | None:
        return Fault.LOSE_REPLY if operation == "submit" and silent["submit"] else None

    async with Proxy(server.url, plan) as proxy:
        manager = await managers(proxy.url, patience=0.5)
        await manager.create_queue(QueueConfig("q"), work=False)
        with pytest.raises(SubmitUncertainError) as uncertain:
            await submit(manager, "task", jobs.echo)
        silent["submit"] = False
        info = await submit(manager, "task", jobs.echo, _token=uncertain.value.token)
        assert info.task_id == "task"
        assert (await manager.get_queue_status("q"))["queued_tasks"] == 1
        await manager.shutdown()


async def test_a_redis_that_loses_everything_gets_its_queues_back(
    private_redis: PrivateRedis, managers: Managers
):
    """Without persistence the tasks are gone, but the workers go on, with the queue as it was declared."""
    server = private_redis()
    manager = await managers(server.url, tick=0.3)
    await manager.create_queue(QueueConfig("q", max_workers=3))
    await submit(manager, "before", jobs.echo)
    await end_of(manager, "before")
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    await submit(manager, "after", jobs.echo, value="again")
    assert (await end_of(manager, "after")).result == "again"
    assert (await manager.get_queue_status("q"))["max_workers"] == 3


async def test_a_redis_that_freezes_for_a_while_costs_no_attempt(
    private_redis: PrivateRedis, managers: Managers, ledger: Ledger, tmp_path: Path
):
    server = private_redis()
    end = tmp_path / "end"
    manager = await managers(server.url)
    await manager.create_queue(QueueConfig("q", lease=8.0))
    await submit(manager, "task", jobs.wait_for, path=str(end))
    await ledger.until("start")
    server.freeze()
    await asyncio.sleep(3)  # past an extension; shorter than the lease
    end.touch()
    server.thaw()
    assert (await end_of(manager, "task")).attempt == 1


async def test_a_library_that_is_flushed_again_and_again_stops_nothing(
    private_redis: PrivateRedis, managers: Managers
):
    server = private_redis()
    manager = await managers(server.url)
    await manager.create_queue(QueueConfig("q"))
    with contextlib.closing(connect(server.url)) as client:
        for number in range(100):
            client.function_flush()
            await submit(manager, f"task-{number}", jobs.echo, value=number)
            client.function_flush()
            info = await manager.get_task_status(f"task-{number}")
            assert await TaskHandle[int](manager, info).result(timeout=30) == number
        stats = client.info("stats")
    assert stats["total_error_replies"] >= 100, "the library was never missing"


# --- replies that are late, lost and repeated


async def test_lost_late_and_repeated_messages_duplicate_and_lose_nothing(
    private_redis: PrivateRedis, managers: Managers, measured: Measured
):
    """A lease that no outage outlasts: so every accepted task is run once, settled once and told of once."""
    server, chance = private_redis(), random.Random(7)
    completed: Counter[str] = Counter()
    started: Counter[str] = Counter()
    faults = list(Fault)
    budget = Counter({fault: FAULTS // len(faults) + 1 for fault in faults})

    def plan(operation: str) -> Fault | None:
        if operation not in UNDER_FIRE or chance.random() > CHANCE:
            return None
        fault = chance.choice(faults)
        if not budget[fault]:
            return None
        budget[fault] -= 1
        return fault

    def told(counter: Counter[str]) -> Any:
        return lambda info: counter.update([info.task_id])

    accepted: list[str] = []
    async with Proxy(server.url, plan) as proxy:
        hooks = {"on_task_start": told(started), "on_task_complete": told(completed)}
        pair = [await managers(proxy.url, tick=0.3, **hooks) for _ in range(2)]
        for manager in pair:
            await manager.create_queue(QueueConfig("q", max_workers=8, lease=30.0))

        async def use(lane: int) -> None:
            number = 0
            while sum(proxy.fired.values()) < FAULTS:
                number += 1
                task_id = f"task-{lane}-{number}"
                info = await submit(pair[lane % 2], task_id, jobs.echo, value=number)
                accepted.append(task_id)
                result = await TaskHandle[int](pair[number % 2], info).result(timeout=60)
                assert result == number
                await asked_often(partial(pair[0].get_task_status, task_id))

        async with asyncio.timeout(90 * max(1, FAULTS / 600)), asyncio.TaskGroup() as group:
            for lane in range(12):
                group.create_task(use(lane))
        budget.clear()
        infos = [await end_of(pair[0], task_id) for task_id in accepted]
        status = await pair[0].get_queue_status("q")
        for manager in pair:
            await manager.shutdown()
    measured("faults", sum(proxy.fired.values()))
    assert len(set(accepted)) == len(accepted)
    assert Counter(info.status for info in infos) == {TaskStatus.COMPLETED: len(accepted)}
    assert Counter(info.attempt for info in infos) == {1: len(accepted)}
    assert (status["queued_tasks"], status["current_workers"]) == (0, 0)
    assert started == completed == dict.fromkeys(accepted, 1)
    with contextlib.closing(connect(server.url)) as client:
        assert client.hlen("kew:tasks") == len(accepted), "a submit was stored that nobody made"
    assert_all_fired(proxy)


def assert_all_fired(proxy: Proxy) -> None:
    """Each fault really happened, to each of the operations that matter."""
    assert sum(proxy.fired.values()) >= FAULTS
    for fault in Fault:
        assert proxy.counted(fault) >= FAULTS // 20, fault
        for operation in ("submit", "settle"):
            assert proxy.fired[fault, operation], (fault, operation)
    for operation in ("submit", "claim", "settle", "watch", "find"):
        assert sum(n for (_, name), n in proxy.fired.items() if name == operation), operation


async def test_extensions_and_cancellations_survive_lost_messages(
    private_redis: PrivateRedis, managers: Managers, ledger: Ledger, tmp_path: Path
):
    """Long tasks on a short lease, which every second heartbeat is lost of: none is taken away from its worker."""
    server, chance = private_redis(), random.Random(11)
    under_fire = ("extend", "cancel", "find")

    def plan(operation: str) -> Fault | None:
        hit = operation in under_fire and chance.random() < 0.5
        return chance.choice(list(Fault)) if hit else None

    async with Proxy(server.url, plan) as proxy:
        manager = await managers(proxy.url, tick=0.3)
        await manager.create_queue(QueueConfig("q", max_workers=6, lease=3.0))
        for number in range(6):
            await submit(manager, f"task-{number}", jobs.wait_for, path=str(tmp_path / "end"))
        await ledger.until("start", count=6)
        until = time.monotonic() + 9
        while time.monotonic() < until:  # noqa: ASYNC110 - three leases pass; nothing is to happen meanwhile
            await asyncio.sleep(0.1)
        for number in range(3):
            await asked_often(partial(manager.cancel_task, f"task-{number}"))
        (tmp_path / "end").touch()
        ended = [await asked_often(partial(end_of, manager, f"task-{n}")) for n in range(6)]
        await manager.shutdown()
    assert {info.attempt for info in ended} == {1}
    assert Counter(info.status for info in ended[3:]) == {TaskStatus.COMPLETED: 3}
    assert all(info.status in (TaskStatus.CANCELLED, TaskStatus.COMPLETED) for info in ended[:3])
    assert sum(n for (_, name), n in proxy.fired.items() if name == "extend") >= 5


async def asked_often(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer, though the store may not give one at every third try."""
    for _ in range(20):
        with contextlib.suppress(StoreUnavailableError):
            return await ask()
    raise AssertionError("no answer in 20 tries")
