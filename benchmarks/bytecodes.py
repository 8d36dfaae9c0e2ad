"""`python -m benchmarks.bytecodes`: how many bytecodes a worker executes for a task, with metrics and traces.

Python reports each of them, so a busy machine changes nothing. Only the event loop's thread is counted. Each kind
drains two sizes from a Redis, and the difference belongs to the tasks alone. `--overview` counts those of the admin
page's overview of 100 queues, and of a scrape. `--by-function` says where they are executed.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from types import CodeType, FrameType
from typing import Any, Final

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from prometheus_client import CollectorRegistry

from benchmarks.figures.observed import KINDS as MEASURED
from benchmarks.server import fresh_server
from kew import Observer, QueueConfig, TaskQueueManager
from kew.metrics import MetricsObserver
from kew.metrics.exporting import exposition
from kew.tracing import instrument
from kew.web.overview import Overview
from tests.integration.test_overview_commands import fill
from tests.support.redis_process import connect

KINDS: Final = {**MEASURED, "unsampled": {"sampled": 1e-12}}  # traces, of which none is sampled
SIZES: Final = (500, 2_500)
SHOWN: Final = 40
QUEUE: Final = QueueConfig("bytecodes", max_workers=50, max_size=100_000)

Executed = Counter[CodeType]


async def _echo(n: int) -> int:
    return n


@contextmanager
def counted() -> Iterator[Executed]:
    """The bytecodes that this thread executes meanwhile, by the code that has them."""
    found: Executed = Counter()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        if event == "opcode":
            found[frame.f_code] += 1
        return trace

    sys.settrace(trace)
    try:
        yield found
    finally:
        sys.settrace(None)


async def drained(url: str, tasks: int, *, has_metrics: bool, sampled: float) -> Executed:
    """What a worker executes that drains so many tasks, which a traced process has submitted."""

    def manager(observer: Observer | None = None) -> TaskQueueManager:
        made = TaskQueueManager(url, observer=observer)
        if sampled:
            instrument(made, tracer_provider=_provider(sampled))
        return made

    async with manager() as submitting:
        await submitting.create_queue(QUEUE, work=False, functions=[_echo])
        calls = [_call(n) for n in range(tasks)]
        await submitting.submit_tasks(QUEUE.name, calls)
    with counted() as found:
        async with manager(
            MetricsObserver(CollectorRegistry()) if has_metrics else None
        ) as working:
            await working.create_queue(QUEUE, functions=[_echo])
            while True:
                status = await working.get_queue_status(QUEUE.name)
                if not status["queued_tasks"] and not status["current_workers"]:
                    break
                await asyncio.sleep(1)
            await working.cleanup()
    return found


def _provider(sampled: float) -> TracerProvider:
    """Batches of spans go out in a thread, which isn't counted."""
    provider = TracerProvider(sampler=ParentBasedTraceIdRatio(sampled))
    provider.add_span_processor(BatchSpanProcessor(InMemorySpanExporter()))
    return provider


def _call(n: int) -> dict[str, Any]:
    return {"task_id": f"t{n}", "task_type": "echo", "task_func": _echo, "args": (n,)}


async def _per_task(url: str, kind: dict[str, Any]) -> dict[CodeType, float]:
    random.seed(1)  # which spans are sampled
    options: dict[str, Any] = {"has_metrics": False, "sampled": 0.0, **kind}
    await drained(url, SIZES[0], **options)  # what is executed once, and then is cached
    few, many = [await drained(url, size, **options) for size in SIZES]
    return {code: (many[code] - few[code]) / (SIZES[1] - SIZES[0]) for code in many}


async def _overview(url: str) -> dict[str, Executed]:
    """What the overview of 100 queues executes, with an hour of history, and what a scrape does."""
    found = {}
    async with TaskQueueManager(url) as manager:
        with closing(connect(url)) as client:
            await fill(manager, client)
        await exposition(manager)  # what is executed once, and then is cached
        for name, call in (("overview", Overview().read), ("scrape", exposition)):
            with counted() as found[name]:
                await call(manager)
    return found


def _print(name: str, found: Mapping[CodeType, float], what: str, *, by_function: bool) -> None:
    sys.stdout.write(f"{name:10} {sum(found.values()):10,.0f} bytecodes {what}\n")
    for code, count in sorted(found.items(), key=lambda each: -each[1])[: SHOWN * by_function]:
        place = code.co_filename.rpartition("site-packages/")[2]
        sys.stdout.write(f"{count:16,.1f}  {code.co_qualname}  {place}\n")


def main() -> None:
    """Print a line for each kind of drain."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bytecodes", description=__doc__)
    parser.add_argument("--by-function", action="store_true", help="say where, too")
    parser.add_argument("--overview", action="store_true", help="instead: of many queues")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"some of {', '.join(KINDS)}")
    options = parser.parse_args()
    logging.getLogger("kew").setLevel(logging.ERROR)
    with fresh_server() as server:
        if options.overview:
            for name, each in asyncio.run(_overview(server.url)).items():
                _print(name, each, "in all", by_function=options.by_function)
            return
        for name in options.kinds or KINDS:
            found = asyncio.run(_per_task(server.url, dict(KINDS[name])))
            _print(name, found, "per task", by_function=options.by_function)


if __name__ == "__main__":
    main()
