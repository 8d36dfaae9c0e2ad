"""Eight troubles at three in the morning, with real processes: each is seen with one command, and mended with one."""

import asyncio
import signal
from contextlib import suppress
from datetime import datetime, timedelta

import pytest

from kew import QueueConfig, QueueFullError, TaskQueueManager
from kew.cli.words import when
from tests.support import jobs
from tests.support.commands import Printed, kew

SECONDS = 90.0
QUICK = {"tick": 0.2}
NOTHING_ELSE = (
    "rates",
    "breaker",
    "circuit_breaker_status",
    "consecutive_failures",
    "attention",
    "now",
)


@pytest.fixture
async def manager(managers, clean_redis_url):
    """Its ticks are long, so that it doesn't recover what a worker is to recover and log."""
    return await managers(clean_redis_url)


async def until(look, *words: str) -> Printed:
    """What a command prints once it prints all these words."""
    printed: Printed | None = None
    try:
        async with asyncio.timeout(SECONDS):
            while printed is None or not all(word in printed.words for word in words):
                printed = await look()
    except TimeoutError:
        raise AssertionError(f"never printed: {words}\n{printed}") from None
    return printed


async def has_started(ledger, number: int) -> None:
    """So many tasks have begun."""
    async with asyncio.timeout(SECONDS):
        while len(ledger.entries("start")) < number:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.02)


async def test_an_open_breaker_is_seen_and_closed(manager, workers, clean_redis_url):
    queue = {"name": "crm", "max_circuit_breaker_failures": 5, "max_retries": 0}
    await workers.start(clean_redis_url, queue, functions=["fail"])
    for number in range(5):
        await manager.submit_task(f"t-{number}", "crm", "t", jobs.fail, None, f"no route {number}")

    seen = await until(lambda: kew("breaker", "show", "crm", url=clean_redis_url), "breaker open")
    assert "open since" in seen.words
    assert "next probe" in seen.words
    for number in range(5):
        assert f"RuntimeError: no route {number} (task t-{number})" in seen.words

    before = await manager.get_queue_status("crm")
    mended = await kew("breaker", "close", "crm", url=clean_redis_url)
    assert mended.code == 0
    after = await manager.get_queue_status("crm")
    assert after["circuit_breaker_status"] == "closed"
    assert {**after, **{name: before[name] for name in NOTHING_ELSE}} == before


async def test_a_paused_queue_says_who_when_and_why_and_is_resumed(manager, clean_redis_url):
    await manager.create_queue(QueueConfig("mails"), work=False)
    async with TaskQueueManager(clean_redis_url) as gone:
        await gone.pause_queue("mails", "ada: the mail server is down")
    since = (await manager.get_queue_status("mails"))["pause_since"]

    seen = await kew("queue", "show", "mails", url=clean_redis_url)
    assert "ada: the mail server is down" in seen.words
    assert since[:10] in seen.words
    assert (await manager.get_queue_status("mails"))["pause_by"] in seen.words
    await manager.submit_task("t-1", "mails", "t", jobs.echo, None)
    why = await kew("why", "t-1", url=clean_redis_url)
    assert "to fix it: kew queue resume mails" in why.words

    assert (await kew("queue", "resume", "mails", url=clean_redis_url)).code == 0
    assert not (await manager.get_queue_status("mails"))["paused"]


async def test_tasks_of_a_function_that_no_process_knows_are_seen_and_run_or_cancelled(
    manager, workers, clean_redis_url
):
    await workers.start(clean_redis_url, {"name": "jobs"}, functions=["echo"], manager=QUICK)
    for number in range(3):
        await manager.submit_task(f"t-{number}", "jobs", "t", jobs.only_here, None)

    show = ("queue", "show", "jobs")
    seen = await until(lambda: kew(*show, url=clean_redis_url), "tests.support.jobs:echo")
    assert "3 tasks wait for function tests.support.jobs:only_here" in seen.words
    assert "UNKNOWN FUNCTION" in seen.out
    assert " ago" in seen.out
    assert "knows tests.support.jobs:echo" in seen.words
    assert "only_here" in (await kew("why", "t-0", url=clean_redis_url)).words

    mend = ["queue", "purge", "jobs", "--function", "tests.support.jobs:only_here", "--yes"]
    assert (await kew(*mend, url=clean_redis_url)).out == "3 tasks of jobs cancelled.\n"
    await manager.submit_task("t-3", "jobs", "t", jobs.only_here, None)
    await workers.start(clean_redis_url, {"name": "jobs"}, functions=["only_here"])
    assert await manager.handle("t-3").result(timeout=SECONDS) == "known after all"


async def test_a_full_queue_is_seen_and_has_room_again(manager, workers, ledger, clean_redis_url):
    queue = {"name": "slow", "max_size": 10, "max_workers": 1}
    await workers.start(clean_redis_url, queue, functions=["work"])
    await manager.submit_task("t-0", "slow", "t", jobs.work, None, 3600)
    await has_started(ledger, 1)
    for number in range(1, 11):
        await manager.submit_task(f"t-{number}", "slow", "t", jobs.work, None, 3600)
    with pytest.raises(QueueFullError):
        await manager.submit_task("t-11", "slow", "t", jobs.work, None, 3600)

    seen = await kew("queue", "show", "slow", url=clean_redis_url)
    assert "the queue is full: 10 of 10 tasks wait" in seen.words
    assert "oldest t-" in seen.words
    assert "left the queue in the last 5 min" in seen.words or "in the last 300 s" in seen.words
    assert "there is room in about" in seen.words

    mended = await kew("queue", "set", "slow", "max_size=20", url=clean_redis_url)
    assert mended.code == 0
    await manager.submit_task("one-more", "slow", "t", jobs.echo, None)
    purged = await kew("queue", "purge", "slow", "--yes", url=clean_redis_url)
    assert "tasks of slow cancelled" in purged.out


async def test_a_killed_worker_is_logged_and_its_tasks_run_elsewhere(
    manager, workers, ledger, clean_redis_url, tmp_path
):
    queue = {"name": "jobs", "lease": 1.0}
    first = await workers.start(clean_redis_url, queue, functions=["wait_for"], manager=QUICK)
    end = tmp_path / "end"
    for number in range(2):
        await manager.submit_task(f"t-{number}", "jobs", "t", jobs.wait_for, None, str(end))
    await has_started(ledger, 2)
    second = await workers.start(clean_redis_url, queue, functions=["wait_for"], manager=QUICK)
    await first.kill()
    await has_started(ledger, 4)
    end.touch()
    for number in range(2):
        await manager.handle(f"t-{number}").result(timeout=SECONDS)
    assert f":{first.pid}" in second.log
    assert "lost, 2 tasks recovered" in second.log


async def test_a_blocked_event_loop_is_logged_with_its_stack_and_its_task_is_not_passed_on(
    manager, workers, ledger, clean_redis_url, tmp_path
):
    queue = {"name": "jobs", "lease": 3.0}
    options = {"functions": ["hold_the_loop", "echo"], "manager": QUICK}
    pair = [await workers.start(clean_redis_url, queue, **options) for _ in range(2)]
    end = tmp_path / "end"
    await manager.submit_task("t-1", "jobs", "t", jobs.hold_the_loop, None, str(end))
    await has_started(ledger, 1)
    async with asyncio.timeout(SECONDS):
        while not (logs := [each.log for each in pair if "has been blocked" in each.log]):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    [log] = logs
    assert "t-1" in log
    assert "in hold_the_loop" in log

    # Its lease is kept, however long the loop is blocked: three times as long as the lease lasts.
    started = (await manager.get_task_status("t-1")).started_time
    assert started is not None
    async with asyncio.timeout(SECONDS):
        while await store_time(manager) < started + timedelta(seconds=9):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    shown = await kew("task", "show", "t-1", url=clean_redis_url)
    assert "attempts 1 begun" in shown.words
    end.touch()
    await manager.handle("t-1").result(timeout=SECONDS)
    info = await manager.get_task_status("t-1")
    assert (info.attempt, info.attempts) == (1, ())


async def store_time(manager) -> datetime:
    """The store's time."""
    at = when((await manager.get_queue_status("jobs"))["now"])
    assert at is not None
    return at


async def test_a_poison_task_is_a_dead_letter_that_says_which_processes_it_killed(
    manager, workers, clean_redis_url
):
    queue = {"name": "jobs", "lease": 1.0, "max_deliveries": 1}
    await manager.create_queue(QueueConfig("jobs", lease=1.0, max_deliveries=1), work=False)
    await manager.submit_task("poison", "jobs", "t", jobs.die, None)
    killed = []
    for _ in range(2):
        worker = await workers.begin(clean_redis_url, queue, functions=["die"], manager=QUICK)
        killed.append(worker.pid)
        assert await worker.ended(SECONDS) == -signal.SIGKILL
    last = await workers.start(
        clean_redis_url, queue, functions=["echo"], manager=QUICK, hooks=True
    )
    await last.until(lambda words: words.get("hook") == "fail", SECONDS)

    seen = await kew("dead", "show", "poison", url=clean_redis_url)
    assert "its worker was lost 2 times" in seen.words
    for number, pid in enumerate(killed, 1):
        assert f"attempt {number}: lost" in seen.words
        assert f":{pid}" in seen.words
    assert "poison" in last.log
    assert (await kew("dead", "purge", "jobs", "--yes", url=clean_redis_url)).code == 0
    assert (await kew("task", "show", "poison", url=clean_redis_url)).code == 3


async def test_a_hung_task_says_where_it_waits_and_is_cancelled_from_anywhere(
    manager, workers, ledger, clean_redis_url, tmp_path
):
    path = str(tmp_path / "socket")
    calls: list[asyncio.StreamWriter] = []
    server = await asyncio.start_unix_server(lambda reader, writer: calls.append(writer), path)
    queue = {"name": "calls", "max_workers": 1}
    worker = await workers.start(clean_redis_url, queue, functions=["hang"], manager=QUICK)
    await manager.submit_task("hung", "calls", "t", jobs.hang, None, path)
    await manager.submit_task("behind", "calls", "t", jobs.hang, None, path)
    await has_started(ledger, 1)

    why = await kew("why", "behind", url=clean_redis_url)
    assert "held by task hung" in why.words
    assert "or kew task cancel hung" in why.words
    show = ("task", "show", "hung")
    seen = await until(lambda: kew(*show, url=clean_redis_url), "jobs.py:")
    assert "(hang)" in seen.words
    assert f":{worker.pid}" in seen.words
    assert "started" in seen.words

    assert (await kew("task", "cancel", "hung", "--yes", url=clean_redis_url)).code == 0
    watched = await kew("task", "watch", "hung", "--timeout", "20s", url=clean_redis_url)
    assert "cancelled" in watched.words
    server.close()
    for call in calls:
        call.close()
        with suppress(OSError):
            await call.wait_closed()
