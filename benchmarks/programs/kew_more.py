"""What is measured of kew alone: long queues, shared queues, memory over time, and a web endpoint beside it."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Sequence
from typing import Any

import attrs
import tasks
from peer import main, percentiles, rss_bytes
from tasks import tally
from with_kew import QUEUE, Kew

from kew import PerKey, Rate, TaskQueueManager, Unique

WAVE = 1000
MARKS = ("asks", "written", "read")
STAGES = ("until it is written", "being written", "away", "until its first line")


class KewAlone(Kew):
    """More verbs."""

    keys = 0
    has_metrics = False
    sampled = 0.0
    is_unique = False

    async def do_open_queue(
        self, url: str, has_rate: bool = False, **options: Any
    ) -> dict[str, Any]:
        """Connect, and nothing else. The limits are in force, and hold back no task.

        The options are attributes of this class: how many keys the tasks have, whether each has a unique key, whether
        the process has metrics, and which share of its spans is sampled; 0: it has no traces.
        """
        vars(self).update(options)
        if has_rate:
            self.queue = attrs.evolve(self.queue, rate=Rate(1_000_000, per=1))
        if self.keys:
            self.queue = attrs.evolve(self.queue, per_key=PerKey(max_workers=40))
        if self.has_metrics:
            from kew.metrics import MetricsObserver

            self.observer = MetricsObserver()
        if self.sampled:
            self.tracer_provider = tracer_provider(self.sampled)
        await self.open(url)
        return {}

    def new_manager(self, **options: Any) -> TaskQueueManager:
        if self.has_metrics:
            options["observer"] = self.observer
        manager = super().new_manager(**options)
        if self.sampled:
            from kew.tracing import instrument

            instrument(manager, tracer_provider=self.tracer_provider)
        return manager

    async def do_fill_backlog(
        self, count: int, deferred: int = 0, task: str = "echo"
    ) -> dict[str, Any]:
        """Let `count` tasks wait, of which `deferred` are due in an hour, spread over the whole."""
        function = getattr(tasks, task)
        if self.is_unique:
            function = self.manager.task(unique=Unique(by="n"))(function)
        every = count // deferred if deferred else count + 1
        for at in range(0, count, 10_000):
            calls = [
                self.call(n, function, deferred=n % every == every - 1)
                for n in range(at, min(at + 10_000, count))
            ]
            await self.manager.submit_tasks(QUEUE.name, calls)
        gc.collect()
        return {}

    def call(self, n: int, function: Any, *, deferred: bool) -> dict[str, Any]:
        """One call for `submit_tasks`."""
        call = {
            "task_id": f"task-{next(self.ids)}",
            "task_type": "bench",
            "task_func": function,
            "args": (n,),
        }
        if self.keys:
            call["_key"] = f"key-{n % self.keys}"
        return {**call, "_defer_by": 3600} if deferred else call

    async def do_drain_piece(self, count: int) -> dict[str, Any]:
        """Run `count` tasks, from the first start to the last start, and stop the worker again."""
        tally.expect(count)
        submitting = self.manager
        await self.work()
        await tally.reached()
        seconds = tally.goal_at - tally.first_at
        await self.manager.shutdown()
        self.manager = submitting
        return {"seconds": seconds}

    async def do_drain_watched(self, count: int) -> dict[str, float]:
        """Drain, and how late the event loop was meanwhile."""
        lags: list[float] = []
        watching = asyncio.create_task(_watch(lags))
        await asyncio.sleep(0.05)
        lags.clear()
        await self.do_drain(count)
        watching.cancel()
        return percentiles(lags)

    async def do_clean(self) -> dict[str, Any]:
        """Forget every task."""
        await self.manager.cleanup()
        return {}

    async def do_fill_paused(self, count: int) -> dict[str, Any]:
        """Let tasks wait that use the processor, in a queue that is paused."""
        await self.manager.pause_queue(QUEUE.name)
        return await self.do_fill_backlog(count, task="spin")

    async def do_resume(self) -> dict[str, Any]:
        """Let the workers begin."""
        await self.manager.resume_queue(QUEUE.name)
        return {}

    async def do_start(self) -> dict[str, Any]:
        """Start a worker, and return at once."""
        tally.expect(-1)
        await self.work()
        return {}

    async def do_share(self) -> dict[str, Any]:
        """What this process has run so far; the instants are those of the machine's monotonic clock."""
        return {"count": tally.count, "first_at": tally.first_at, "last_at": tally.last_at}

    async def do_endure(self, waves: int) -> dict[str, Any]:
        """Submit and run, wave after wave: the memory after a fifth, and at the end."""
        warm_bytes = 0
        for wave in range(waves):
            await self.do_round_trip(WAVE)
            if wave + 1 == max(1, waves // 5):
                warm_bytes = rss_bytes()
        return {"warm_bytes": warm_bytes, "end_bytes": rss_bytes()}

    async def do_pick_up_stages(self, count: int, pause: float) -> dict[str, Any]:
        """The medians of what a pick-up consists of, us; instants are taken where kew writes and reads."""
        instants: dict[str, float] = {}
        note_line(instants)
        stages: dict[str, list[float]] = {name: [] for name in STAGES}
        for n in range(count):
            await asyncio.sleep(pause)
            instants.clear()
            called = time.perf_counter()
            seconds = await self.pick_up_one(n)
            marks = [called, *(instants[name] for name in MARKS), called + seconds]
            for name, begin, end in zip(STAGES, marks, marks[1:], strict=False):
                stages[name].append(1e6 * (end - begin))
        return {name: statistics.median(values) for name, values in stages.items()}

    async def do_serve(self) -> dict[str, Any]:
        """Serve HTTP in this process, on a free port."""
        import uvicorn

        config = uvicorn.Config(answer, "127.0.0.1", 0, log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        self.serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - it has no event for it
            await asyncio.sleep(0.01)
        return {"port": server.servers[0].sockets[0].getsockname()[1]}

    async def do_rest(self, seconds: float) -> dict[str, Any]:
        """Do nothing for a while."""
        await asyncio.sleep(seconds)
        return {}

    async def do_drain_politely(self, count: int, max_loop_lag: float | None) -> dict[str, Any]:
        """Run everything that waits, while others want something of this process."""
        tally.expect(count)
        await self.work(max_loop_lag=max_loop_lag)
        await tally.reached()
        return {"seconds": time.perf_counter() - tally.first_at}


def tracer_provider(sampled: float) -> Any:
    """The SDK as most programs set it up: batches go out in a thread. What they are sent to is not measured."""
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    class Nowhere(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider = TracerProvider(sampler=ParentBasedTraceIdRatio(sampled))
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    return provider


def note_line(instants: dict[str, float]) -> None:
    """Note when the next request is written, and its reply read."""
    from kew.adapters.redis.wire import DirectWire

    asks, reads = DirectWire.ask, DirectWire.buffer_updated

    def ask(self: DirectWire, *request: Any) -> None:
        instants.setdefault("asks", time.perf_counter())
        asks(self, *request)
        instants.setdefault("written", time.perf_counter())

    def buffer_updated(self: DirectWire, nbytes: int) -> None:
        instants.setdefault("read", time.perf_counter())
        reads(self, nbytes)

    DirectWire.ask, DirectWire.buffer_updated = ask, buffer_updated


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """The endpoint, as an ASGI application."""
    headers = [(b"content-length", b"5"), (b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


async def _watch(lags: list[float]) -> None:
    """How much later than after a millisecond the event loop goes on, in seconds."""
    while True:
        due = time.perf_counter() + 0.001
        await asyncio.sleep(0.001)
        lags.append(time.perf_counter() - due)


if __name__ == "__main__":
    main(KewAlone())
