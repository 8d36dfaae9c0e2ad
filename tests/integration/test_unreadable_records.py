"""A record that can't be read spoils no other: it is set aside, counted, listed, and can be removed."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import pytest

from kew import QueueConfig, TaskInfo, TaskQueueManager
from kew.exceptions import TaskAlreadyExistsError, TaskUnreadableError
from tests.support import jobs
from tests.support.asking import once, status_once
from tests.support.redis_process import connect

Spoil = Callable[[bytes], bytes]


def label_of_no_messagepack(raw: bytes) -> bytes:
    head, _, body = raw.partition(b"\n")
    return head + b"\n" + b"\xc1" * len(body)


def field(number: int, value: bytes) -> Spoil:
    def spoil(raw: bytes) -> bytes:
        head, end, body = raw.partition(b"\n")
        fields = head.split(b" ")
        fields[number] = value
        return b" ".join(fields) + end + body

    return spoil


SPOILT: dict[str, Spoil] = {
    "empty": lambda raw: b"",
    "garbage": lambda raw: b"garbage",
    "bytes that are no UTF-8": lambda raw: b"\xff" * 60,
    "truncated in the head": lambda raw: raw[:20],
    "truncated in the body": lambda raw: raw.partition(b"\n")[0] + b"\n\x91",
    "a label that is no MessagePack": label_of_no_messagepack,
    "a status that there is not": field(0, b"z"),
    "a ticket that is no number": field(2, b"x"),
    "an absurd ticket": field(2, b"9" * 40),
    "an absurd time": field(3, b"9" * 400),
    "an absurd length": field(10, b"9" * 30),
    "a history of no numbers": field(5, b"x,0,0,0,0,0,0,0,-,-,0,0,-"),
    "an absurd attempt": field(5, b"9" * 30 + b",0,0,0,0,0,0,0,-,-,0,0,-"),
    "ended without an end": field(0, b"c"),
    "a nonce of no UTF-8": field(7, b"\xff\xfe"),
    "no priority": field(6, b"7"),
}


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="kew")


def spoil(url: str, task_id: str, how: Spoil) -> None:
    with contextlib.closing(connect(url)) as client:
        raw: Any = client.hget("kew:tasks", task_id)
        client.hset("kew:tasks", task_id, how(raw))


async def submitted(manager: TaskQueueManager, **options: Any) -> list[TaskInfo]:
    await manager.create_queue(QueueConfig("q"), work=False)
    await manager.pause_queue("q")
    return [
        await manager.submit_task(f"t{n}", "q", "test", jobs.echo, None, n, **options)
        for n in range(5)
    ]


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("delay", [0, 0.05])
async def test_the_other_tasks_of_a_claim_run_and_the_unreadable_one_is_listed_and_removed(
    clean_redis_url: str, how: str, delay: float
):
    async with TaskQueueManager(clean_redis_url) as manager:
        infos = await submitted(manager, **({"_defer_by": delay} if delay else {}))
        spoil(clean_redis_url, "t2", SPOILT[how])
        async with TaskQueueManager(clean_redis_url) as worker:
            await worker.create_queue(QueueConfig("q"), functions=[jobs.echo])
            await manager.resume_queue("q")
            for n in (0, 1, 3, 4):
                assert await manager.handle(infos[n]).result(timeout=30) == n
            status = await status_once(manager, lambda now: now["unreadable_tasks"] == 1)
            assert status["current_workers"] == 0
            assert await manager.unreadable_tasks("q") == ["t2"]
            with pytest.raises(TaskUnreadableError, match="unreadable_tasks"):
                await manager.get_task_status("t2")
            with pytest.raises(TaskAlreadyExistsError):
                await manager.submit_task("t2", "q", "test", jobs.echo, None, 7)
            assert await manager.remove_unreadable_task("q", "t2") is True
            assert await manager.remove_unreadable_task("q", "t2") is False
            assert await manager.unreadable_tasks("q") == []
            again = await manager.submit_task("t2", "q", "test", jobs.echo, None, 7)
            assert await manager.handle(again).result(timeout=30) == 7


@pytest.mark.parametrize("delay", [0, 0.05])
async def test_many_unreadable_records_hide_no_task_behind_them(clean_redis_url: str, delay: float):
    async with TaskQueueManager(clean_redis_url) as manager:
        await manager.create_queue(QueueConfig("q", max_workers=1), functions=[jobs.echo])
        await manager.pause_queue("q")
        options: dict[str, Any] = {"_defer_by": delay} if delay else {}
        for n in range(130):
            await manager.submit_task(f"bad{n}", "q", "test", jobs.echo, None, n, **options)
        good = await manager.submit_task("good", "q", "test", jobs.echo, None, 7, **options)
        for n in range(130):
            spoil(clean_redis_url, f"bad{n}", SPOILT["garbage"])
        await manager.resume_queue("q")
        assert await manager.handle(good).result(timeout=3) == 7  # without a poll
        assert len(await manager.unreadable_tasks("q")) == 130


async def test_an_unreadable_entry_of_a_starved_process_stops_no_claim(clean_redis_url: str):
    async with TaskQueueManager(clean_redis_url) as manager:
        await manager.create_queue(QueueConfig("q"), functions=[jobs.echo])
        with contextlib.closing(connect(clean_redis_url)) as client:
            client.hset("kew:{q}:hungry", "somebody", "garbage")
        info = await manager.submit_task("t", "q", "test", jobs.echo, None, 7)
        assert await manager.handle(info).result(timeout=30) == 7


async def test_entries_of_no_task_and_of_no_text_can_be_removed(clean_redis_url: str):
    async with TaskQueueManager(clean_redis_url) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        with contextlib.closing(connect(clean_redis_url)) as client:
            client.zadd(
                "kew:{q}:unreadable", {b"no record": 1, b"\xff\\x\xfe": 2, b"\xfe" * 200: 3}
            )
            client.hset("kew:tasks", b"\xff\\x\xfe", b"garbage")
            for task_id in await manager.unreadable_tasks("q"):
                assert await manager.remove_unreadable_task("q", task_id) is True
                assert await manager.remove_unreadable_task("q", task_id) is False
            assert client.exists("kew:{q}:unreadable", "kew:tasks") == 0
        assert await manager.remove_unreadable_task("q", "\ud800") is False


async def test_who_waits_for_results_is_told_of_the_unreadable_one_alone(clean_redis_url: str):
    async with TaskQueueManager(clean_redis_url) as manager:
        infos = await submitted(manager)
        spoil(clean_redis_url, "t2", label_of_no_messagepack)
        waiting = [asyncio.ensure_future(manager.handle(info).result(timeout=30)) for info in infos]
        with pytest.raises(TaskUnreadableError):
            await waiting[2]
        async with TaskQueueManager(clean_redis_url) as worker:
            await worker.create_queue(QueueConfig("q"), functions=[jobs.echo])
            await manager.resume_queue("q")
            assert [await waiting[n] for n in (0, 1, 3, 4)] == [0, 1, 3, 4]


async def test_a_running_task_that_becomes_unreadable_hides_no_other_and_gives_its_place_back(
    clean_redis_url: str,
):
    async with TaskQueueManager(clean_redis_url) as manager:
        config = QueueConfig("q", lease=0.5)
        await manager.create_queue(config, functions=[asyncio.sleep])
        for name in ("a", "b"):
            await manager.submit_task(name, "q", "test", asyncio.sleep, None, 60)
        await once(manager.get_ongoing_tasks, lambda running: len(running) == 2)
        spoil(clean_redis_url, "a", field(0, b"z"))
        assert [info.task_id for info in await manager.get_ongoing_tasks()] == ["b"]
        await status_once(manager, lambda now: now["unreadable_tasks"] == 1)
        await status_once(manager, lambda now: now["current_workers"] == 1)


async def test_an_ended_task_that_is_unreadable_is_set_aside_when_its_time_is_over_and_purged(
    clean_redis_url: str,
):
    async with TaskQueueManager(clean_redis_url, tick=0.05) as manager:
        await submitted(manager)
        await manager.cancel_task("t1")
        with contextlib.closing(connect(clean_redis_url)) as client:
            client.zadd("kew:{q}:ended", {"t1": 1})
            client.hset("kew:tasks", "t1", "garbage")
            await status_once(manager, lambda now: now["unreadable_tasks"] == 1)
            await manager.cleanup()
            assert client.exists("kew:tasks", "kew:{q}:unreadable") == 0


async def fail(n: int) -> None:
    raise ValueError(n)


@pytest.mark.parametrize("removal", ["one", "the queue"])
async def test_what_is_kept_of_its_failed_attempts_goes_with_it(clean_redis_url: str, removal: str):
    async with (
        TaskQueueManager(clean_redis_url) as manager,
        TaskQueueManager(clean_redis_url) as admin,
    ):
        config = QueueConfig(
            "q", max_retries=1, retry_delay=3600, max_circuit_breaker_failures=None
        )
        await manager.create_queue(config)
        manager.register(fail)
        await manager.submit_task("a", "q", "t", fail, None, 1)
        await once(lambda: manager.get_task_status("a"), lambda info: bool(info.attempts))
        spoil(clean_redis_url, "a", field(3, b"9" * 400))
        with contextlib.closing(connect(clean_redis_url)) as client:
            client.zadd("kew:{q}:unreadable", {"a": 1})
            client.delete("kew:{q}:waiting2")
            assert client.keys("kew:{q}:attempts:*")
            if removal == "one":
                assert await manager.remove_unreadable_task("q", "a") is True
            else:
                await manager.shutdown()
                await admin.delete_queue("q")
            assert client.keys("kew:{q}:attempts:*") == []
