"""Code written for kew 0.2.1's documented face runs unchanged, on both stores: every documented call and example.

Only durations and names are this file's own. What a caller of that version could write stands here as such a caller
wrote it: positional and keyword arguments, dictionaries, plain attributes.
"""

import asyncio
import contextlib
import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from kew import QueueConfig, QueuePriority, TaskInfo, TaskQueueManager, TaskStatus
from kew.exceptions import (
    QueueNotFoundError,
    QueueProcessorError,
    TaskAlreadyExistsError,
    TaskNotFoundError,
    TaskQueueError,
)
from tests.conftest import PrivateRedis
from tests.integration.conftest import Managers
from tests.support.asking import once
from tests.support.redis_process import connect


async def settled(manager: TaskQueueManager, task_id: str) -> TaskInfo:
    """The status once it is an end, by the documented call alone."""
    ends = ("completed", "failed", "cancelled")
    info: TaskInfo = await once(
        lambda: manager.get_task_status(task_id), lambda info: info.status.value in ends
    )
    return info


async def parcel(parcel_id: str) -> str:
    await asyncio.sleep(0.05)
    return f"Parcel {parcel_id} sent"


async def break_down(**_: Any) -> None:
    raise ConnectionError("the other side is down")


async def test_the_first_program(store_url: str):
    manager = TaskQueueManager(redis_url=store_url)
    await manager.initialize()
    await manager.create_queue(QueueConfig(name="parcels", max_workers=4, max_size=1000))
    tasks = []
    for i in range(10):
        task = await manager.submit_task(
            task_id=f"parcel-{i}",
            queue_name="parcels",
            task_type="send",
            task_func=parcel,
            priority=QueuePriority.MEDIUM,
            parcel_id=str(i),
        )
        tasks.append(task)
    for task in tasks:
        await settled(manager, task.task_id)
        status = await manager.get_task_status(task.task_id)
        assert status.result == f"Parcel {task.task_id.removeprefix('parcel-')} sent"
    await manager.shutdown()


def test_a_manager_is_made_before_any_loop_runs():
    manager = TaskQueueManager()
    assert manager.queues == {}


async def test_four_workers_are_four_at_most(store_url: str, managers: Managers):
    running, most = 0, 0

    async def call_api() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1

    manager = await managers(store_url)
    await manager.create_queue(QueueConfig(name="api_calls", max_workers=4))
    await asyncio.gather(
        *(
            manager.submit_task(f"call-{i}", "api_calls", "api", call_api, QueuePriority.MEDIUM)
            for i in range(30)
        )
    )
    for i in range(30):
        await settled(manager, f"call-{i}")
    assert most == 4


async def test_queues_with_a_priority_each(store_url: str, managers: Managers):
    manager = await managers(store_url)
    await manager.create_queue(QueueConfig(name="urgent", priority=QueuePriority.HIGH))
    await manager.create_queue(QueueConfig(name="batch", priority=QueuePriority.LOW))
    assert set(manager.queues) == {"urgent", "batch"}
    assert [each.value for each in QueuePriority] == [1, 2, 3]
    assert [each.name for each in QueuePriority] == ["HIGH", "MEDIUM", "LOW"]


async def test_retries_wait_twice_as_long_each_time(store_url: str, managers: Managers):
    times: list[float] = []

    async def flaky() -> None:
        times.append(asyncio.get_running_loop().time())
        raise ConnectionError("try again")

    manager = await managers(store_url)
    await manager.create_queue(
        QueueConfig(
            name="flaky_api",
            max_workers=4,
            max_retries=3,
            retry_delay=0.1,
            max_circuit_breaker_failures=100,
        )
    )
    await manager.submit_task("flaky", "flaky_api", "call", flaky, QueuePriority.MEDIUM)
    info = await settled(manager, "flaky")
    assert (info.status, info.retry_count) == (TaskStatus.FAILED, 3)
    assert "try again" in str(info.error)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert len(gaps) == 3
    for gap, delay in zip(gaps, (0.1, 0.2, 0.4), strict=True):
        assert delay * 0.95 <= gap < delay + 1


async def test_a_task_is_deferred_by_a_duration_or_until_a_time(store_url: str, managers: Managers):
    manager = await managers(store_url)
    await manager.create_queue(QueueConfig(name="emails"))
    loop = asyncio.get_running_loop()
    begun, ran = loop.time(), {}

    async def remind(user_id: str) -> None:
        ran[user_id] = loop.time() - begun

    common: Any = {"queue_name": "emails", "task_type": "reminder", "task_func": remind}
    low = {**common, "priority": QueuePriority.LOW}
    await manager.submit_task(task_id="by", **low, _defer_by=0.5, user_id="by")
    await manager.submit_task(
        task_id="delta", **low, _defer_by=timedelta(seconds=0.5), user_id="delta"
    )
    soon = datetime.now() + timedelta(seconds=0.5)  # naive: local time
    await manager.submit_task(task_id="naive", **low, _defer_until=soon, user_id="naive")
    aware = datetime.now(UTC) + timedelta(seconds=0.5)
    await manager.submit_task(task_id="aware", **low, _defer_until=aware, user_id="aware")
    long_ago = datetime(2025, 1, 15, 9, 0, 0)
    await manager.submit_task(task_id="past", **low, _defer_until=long_ago, user_id="past")
    for task_id in ("by", "delta", "naive", "aware", "past"):
        await settled(manager, task_id)
    assert ran.pop("past") < 0.45
    assert all(0.45 <= after < 2 for after in ran.values()), ran
    with pytest.raises(ValueError, match="not both"):
        await manager.submit_task(task_id="both", **low, _defer_by=1, _defer_until=soon)


async def test_hooks_are_given_the_task_and_the_error(store_url: str, managers: Managers):
    told: list[Any] = []

    async def on_start(task_info: TaskInfo) -> None:
        told.append(("start", task_info.task_id))

    async def on_complete(task_info: TaskInfo) -> None:
        told.append(("complete", task_info.task_id, task_info.result))

    async def on_fail(task_info: TaskInfo, error: BaseException) -> None:
        told.append(("fail", task_info.task_id, str(error)))

    manager = await managers(
        store_url, on_task_start=on_start, on_task_complete=on_complete, on_task_fail=on_fail
    )
    await manager.create_queue(QueueConfig(name="q", max_workers=1))
    await manager.submit_task("good", "q", "t", parcel, QueuePriority.HIGH, "1")
    await manager.submit_task("bad", "q", "t", break_down, QueuePriority.LOW)
    await settled(manager, "bad")
    await manager.shutdown()
    assert told == [
        ("start", "good"),
        ("complete", "good", "Parcel 1 sent"),
        ("start", "bad"),
        ("fail", "bad", "the other side is down"),
    ]


async def test_the_breaker_opens_and_closes_again_after_its_time(
    store_url: str, managers: Managers
):
    manager = await managers(store_url)
    await manager.create_queue(
        QueueConfig(
            name="external_api",
            max_workers=1,
            max_circuit_breaker_failures=2,
            circuit_breaker_reset_timeout=0.5,
        )
    )
    breaker = manager.queues["external_api"].circuit_breaker
    assert await breaker.check_state() is True
    for i in range(2):
        await manager.submit_task(f"bad-{i}", "external_api", "t", break_down, QueuePriority.HIGH)
        await settled(manager, f"bad-{i}")
    assert await breaker.check_state() is False
    status = await manager.get_queue_status("external_api")
    assert status["circuit_breaker_status"] == "open"
    await manager.submit_task("good", "external_api", "t", parcel, QueuePriority.LOW, "1")
    assert (await manager.get_task_status("good")).status is TaskStatus.QUEUED
    assert (await settled(manager, "good")).status is TaskStatus.COMPLETED
    assert await breaker.check_state() is True


async def test_the_breaker_is_told_of_failures_and_reset_by_hand(
    store_url: str, managers: Managers
):
    manager = await managers(store_url)
    await manager.create_queue(QueueConfig(name="q", max_circuit_breaker_failures=3))
    breaker = manager.queues["q"].circuit_breaker
    for expected in (True, True, False):
        await breaker.record_failure()
        assert await breaker.check_state() is expected
    await breaker.reset()
    assert await breaker.check_state() is True
    assert (await manager.get_queue_status("q"))["circuit_breaker_status"] == "closed"


async def test_a_full_queue_pushes_back(store_url: str, managers: Managers):
    manager = await managers(store_url)
    await manager.create_queue(QueueConfig(name="bounded_queue", max_workers=2, max_size=5))
    answers = []
    for i in range(8):
        try:
            await manager.submit_task(
                f"task-{i}", "bounded_queue", "t", parcel, QueuePriority.LOW, "1", _defer_by=300.0
            )
        except QueueProcessorError:
            answers.append("busy")
        else:
            answers.append("taken")
    assert answers == ["taken"] * 5 + ["busy"] * 3


async def test_thousands_of_tasks_are_submitted_in_one_call(store_url: str, managers: Managers):
    manager = await managers(store_url)
    await manager.create_queue(QueueConfig(name="parcels", max_workers=50, max_size=5000))
    tasks = [
        {
            "task_id": f"parcel-{i}",
            "task_type": "process",
            "task_func": parcel,
            "priority": QueuePriority.MEDIUM,
            "kwargs": {"parcel_id": str(i)},
        }
        for i in range(1000)
    ]
    results = await manager.submit_tasks("parcels", tasks)
    assert [each.task_id for each in results] == [each["task_id"] for each in tasks]
    assert all(each.status is TaskStatus.QUEUED for each in results)
    more: list[dict[str, Any]] = [
        {"task_id": "a", "task_type": "t", "task_func": parcel, "priority": 1, "args": ("a",)},
        {
            "task_id": "b",
            "task_type": "t",
            "task_func": parcel,
            "priority": 1,
            "args": ["b"],
            "_defer_by": 0.1,
        },
        {
            "task_id": "c",
            "task_type": "t",
            "task_func": parcel,
            "priority": 1,
            "args": ["c"],
            "_defer_until": datetime.now(),
        },
    ]
    await manager.submit_tasks("parcels", more)
    for task_id in ("a", "b", "c", "parcel-0", "parcel-999"):
        assert (await settled(manager, task_id)).result.endswith("sent")


async def test_a_status_tells_everything_that_it_told(store_url: str, managers: Managers):
    manager = await managers(store_url)
    await manager.create_queue(QueueConfig(name="q"))
    info = await manager.submit_task(
        "task-123", "q", "send", parcel, QueuePriority.HIGH, parcel_id="9"
    )
    assert (info.task_id, info.status, info.priority) == ("task-123", TaskStatus.QUEUED, 1)
    await settled(manager, "task-123")
    status = await manager.get_task_status("task-123")
    assert (status.task_type, status.queue_name, status.priority) == ("send", "q", 1)
    assert (status.status, status.result, status.error) == ("completed", "Parcel 9 sent", None)
    assert status.retry_count == 0
    assert status.queued_time is not None
    assert status.started_time is not None
    assert status.completed_time is not None
    assert status.queued_time <= status.started_time <= status.completed_time
    plain = status.to_dict()
    assert plain["status"] == "completed"
    assert datetime.fromisoformat(plain["queued_time"]) == status.queued_time
    assert json.loads(status.to_json()) == plain
    assert TaskInfo.from_json(status.to_json()) == status
    assert [each.value for each in TaskStatus] == [
        "queued", "processing", "completed", "failed", "retry", "cancelled",
    ]  # fmt: skip


async def test_ongoing_tasks_and_the_queues_health(store_url: str, managers: Managers):
    end = asyncio.Event()

    async def hold() -> None:
        await end.wait()

    manager = await managers(store_url)
    await manager.create_queue(QueueConfig(name="api_calls", max_workers=2))
    for i in range(3):
        await manager.submit_task(f"task-{i}", "api_calls", "t", hold, QueuePriority.MEDIUM)
    ongoing = await once(manager.get_ongoing_tasks, lambda found: len(found) == 2)
    assert {each.task_id for each in ongoing} == {"task-0", "task-1"}
    assert all(each.status is TaskStatus.PROCESSING for each in ongoing)
    queue_status = await manager.get_queue_status("api_calls")
    assert queue_status["name"] == "api_calls"
    assert queue_status["max_workers"] == 2
    assert queue_status["current_workers"] == 2
    assert queue_status["queued_tasks"] == 1
    assert queue_status["circuit_breaker_status"] == "closed"
    end.set()
    await settled(manager, "task-2")
    assert await manager.get_ongoing_tasks() == []


async def test_errors_are_the_documented_ones(store_url: str, managers: Managers):
    manager = await managers(store_url)
    await manager.create_queue(QueueConfig(name="q"))
    await manager.submit_task("used", "q", "t", parcel, QueuePriority.LOW, "1", _defer_by=60)
    with pytest.raises(TaskAlreadyExistsError):
        await manager.submit_task("used", "q", "t", parcel, QueuePriority.LOW, "1")
    with pytest.raises(TaskNotFoundError):
        await manager.get_task_status("unknown")
    with pytest.raises(QueueNotFoundError):
        await manager.submit_task("task", "unknown", "t", parcel, QueuePriority.LOW, "1")
    with pytest.raises(QueueNotFoundError):
        await manager.submit_tasks(
            "unknown", [{"task_id": "a", "task_type": "t", "task_func": parcel}]
        )
    with pytest.raises(QueueNotFoundError):
        await manager.get_queue_status("unknown")
    with pytest.raises(ValueError, match="already exists"):
        await manager.create_queue(QueueConfig(name="q"))
    for kind in (
        TaskAlreadyExistsError,
        TaskNotFoundError,
        QueueNotFoundError,
        QueueProcessorError,
    ):
        assert issubclass(kind, TaskQueueError)


async def test_a_failed_task_tells_its_error_and_a_slow_one_times_out(
    store_url: str, managers: Managers
):
    manager = await managers(store_url)
    await manager.create_queue(QueueConfig(name="q", task_timeout=0.2))
    await manager.submit_task("bad", "q", "t", break_down, QueuePriority.LOW, anything=1)
    await manager.submit_task("slow", "q", "t", asyncio.sleep, QueuePriority.LOW, 60)
    bad, slow = await settled(manager, "bad"), await settled(manager, "slow")
    assert (bad.status, slow.status) == (TaskStatus.FAILED, TaskStatus.FAILED)
    assert "the other side is down" in str(bad.error)
    assert "timed out" in str(slow.error)


async def test_the_configuration_has_the_documented_defaults_and_order():
    config = QueueConfig("q")
    assert (config.max_workers, config.priority, config.max_size) == (
        10,
        QueuePriority.MEDIUM,
        1000,
    )
    assert (config.task_timeout, config.max_retries, config.retry_delay) == (3600, 0, 1.0)
    assert config.max_circuit_breaker_failures == 3
    assert config.circuit_breaker_reset_timeout == 60
    assert QueueConfig("q", 4, QueuePriority.HIGH, 50, 30, 5, 30, 2, 0.5) == QueueConfig(
        name="q",
        max_workers=4,
        priority=QueuePriority.HIGH,
        max_size=50,
        task_timeout=30,
        max_circuit_breaker_failures=5,
        circuit_breaker_reset_timeout=30,
        max_retries=2,
        retry_delay=0.5,
    )


async def test_shutdown_waits_or_does_not_and_cleanup_cleans(store_url: str, managers: Managers):
    ended: list[str] = []

    async def short() -> None:
        await asyncio.sleep(0.2)
        ended.append("short")

    manager = await managers(store_url)
    await manager.create_queue(QueueConfig(name="q"))
    await manager.submit_task("short", "q", "t", short, QueuePriority.LOW)
    await once(manager.get_ongoing_tasks, lambda found: found)
    await manager.shutdown(wait=True, timeout=5.0)
    assert ended == ["short"]
    await manager.initialize()
    await manager.create_queue(QueueConfig(name="q"))
    await manager.submit_task("never", "q", "t", asyncio.sleep, QueuePriority.LOW, 60)
    await once(manager.get_ongoing_tasks, lambda found: found)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await manager.shutdown(wait=False)
    assert loop.time() - begun < 3
    await manager.initialize()
    assert (await manager.get_task_status("never")).status is TaskStatus.QUEUED
    await manager.cleanup()
    with pytest.raises(TaskNotFoundError):
        await manager.get_task_status("never")


async def test_a_url_with_a_user_a_password_and_a_database_and_a_cleaning_start(
    private_redis: PrivateRedis,
):
    server = private_redis()
    with contextlib.closing(connect(server.url)) as client:
        client.acl_setuser(
            "username",
            enabled=True,
            passwords=["+p@ss"],
            keys=["*"],
            channels=["*"],
            commands=["+@all"],
        )
    url = f"redis://username:p%40ss@127.0.0.1:{urlsplit(server.url).port}/0"
    first = TaskQueueManager(redis_url=url)
    await first.initialize()
    await first.create_queue(QueueConfig(name="q"))
    await first.submit_task("stale", "q", "t", parcel, QueuePriority.LOW, "1", _defer_by=60)
    await first.shutdown()
    second = TaskQueueManager(redis_url=url, cleanup_on_start=True)
    await second.initialize()
    with pytest.raises(TaskNotFoundError):
        await second.get_task_status("stale")
    await second.shutdown()


async def test_a_manager_is_also_a_context_manager(store_url: str):
    async with TaskQueueManager(store_url) as manager:
        await manager.create_queue(QueueConfig("q"))
        await manager.submit_task("task", "q", "t", parcel, QueuePriority.LOW, "1")
        assert (await settled(manager, "task")).result == "Parcel 1 sent"
    with pytest.raises(TaskQueueError):
        await manager.get_task_status("task")


async def test_the_sign_up_example(store_url: str, managers: Managers):
    sent: list[str] = []

    async def send_welcome_email(user_id: int) -> None:
        sent.append(f"welcome, user {user_id}")

    manager = await managers(store_url)
    await manager.create_queue(
        QueueConfig(name="emails", max_workers=2, max_retries=3, retry_delay=5.0)
    )

    async def signup(user_id: int) -> dict[str, str]:
        await manager.submit_task(
            task_id=f"welcome-{user_id}",
            queue_name="emails",
            task_type="send_welcome_email",
            task_func=send_welcome_email,
            priority=QueuePriority.MEDIUM,
            user_id=user_id,
        )
        return {"status": "success"}

    assert await signup(7) == {"status": "success"}
    await settled(manager, "welcome-7")
    assert sent == ["welcome, user 7"]
