"""Metrics of a real Redis: how much a scrape of many queues asks of it, and `kew metrics` as a process."""

import asyncio
import os
import re
import signal
import sys
import urllib.request
from collections import Counter

from prometheus_client import CollectorRegistry

from kew import QueueConfig
from kew.metrics import MetricsObserver, exposition
from tests.integration.conftest import Managers, Measured
from tests.support.stores import raw_client

QUEUES = 100
OF_A_STATUS = 20  # commands inside of the functions, for each queue
REQUESTS = 12


async def echo(n: int) -> int:
    return n


async def calls_of(url: str) -> Counter[str]:
    client = raw_client(url)
    try:
        stats = await client.info("commandstats")
    finally:
        await client.aclose()
    return Counter({name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()})


async def test_a_scrape_of_a_hundred_queues_takes_a_few_requests_whatever_waits(
    clean_redis_url: str, managers: Managers, measured: Measured
):
    manager = await managers(clean_redis_url)
    for n in range(QUEUES):
        await manager.create_queue(
            QueueConfig(f"q{n}", max_size=5_000), work=False, functions=[echo]
        )
    counts = []
    for tasks in (0, 2_000):
        calls = [
            {"task_id": f"t{tasks}-{n}", "task_type": "echo", "task_func": echo, "args": (n,)}
            for n in range(tasks)
        ]
        if calls:
            await manager.submit_tasks("q0", calls)
        before = await calls_of(clean_redis_url)
        text = await exposition(manager)
        after = await calls_of(clean_redis_url)
        assert text.count(b"kew_queue_slots{") == QUEUES
        assert after["fcall"] - before["fcall"] <= REQUESTS
        counts.append(sum(after.values()) - sum(before.values()))
    measured("Redis commands of a scrape of 100 queues", counts[0])
    assert counts[0] <= QUEUES * OF_A_STATUS
    assert abs(counts[1] - counts[0]) <= 20


async def test_an_observer_counts_what_a_process_does_with_a_real_redis(
    clean_redis_url: str, managers: Managers
):
    registry = CollectorRegistry()
    manager = await managers(clean_redis_url, observer=MetricsObserver(registry))
    await manager.create_queue(QueueConfig("q"), functions=[echo])
    handles = [await manager.submit_task(f"t{n}", "q", "echo", echo, None, n) for n in range(10)]
    del handles
    await asyncio.gather(*(manager.handle(f"t{n}").result() for n in range(10)))
    found = {"queue": "q", "task": next(iter(_tasks(registry)))}
    assert registry.get_sample_value("kew_tasks_submitted_total", found) == 10
    settled = {**found, "outcome": "succeeded"}
    assert registry.get_sample_value("kew_tasks_settled_total", settled) == 10
    assert registry.get_sample_value("kew_task_wait_seconds_count", found) == 10
    at = registry.get_sample_value("kew_claim_last_progress_timestamp_seconds", {"queue": "q"})
    assert at is not None


def _tasks(registry: CollectorRegistry) -> set[str]:
    return {
        sample.labels["task"]
        for family in registry.collect()
        for sample in family.samples
        if "task" in sample.labels
    }


async def test_kew_metrics_serves_until_it_is_terminated(clean_redis_url: str, managers: Managers):
    manager = await managers(clean_redis_url)
    await manager.create_queue(QueueConfig("mails"), work=False)
    command = [sys.executable, "-m", "kew", "metrics", "--url", clean_redis_url, "--port", "0"]
    process = await asyncio.create_subprocess_exec(
        *command, stderr=asyncio.subprocess.PIPE, env={**os.environ}
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(30):
            line = (await process.stderr.readline()).decode()
        [address] = re.findall(r"http://127\.0\.0\.1:\d+/metrics", line)

        def scrape() -> str:
            with urllib.request.urlopen(address, timeout=10) as reply:
                return str(reply.read().decode())

        text = await asyncio.to_thread(scrape)
        assert 'kew_queue_slots{queue="mails"}' in text
        assert "kew_store_up 1\n" in text
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
