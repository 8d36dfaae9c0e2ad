"""What a Python program of the benchmarks is: a queue library behind five verbs, and the measurements,
which are the same code for every library.

The driver writes a JSON object per line, {"do": verb, ...arguments}, and reads one back:
{"ok": figures} or {"error": text}. Nothing here knows which library it measures.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import platform
import resource
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from tasks import tally

PAUSE = 0.02  # seconds between two idle pick-ups
STILL_RUNNING = 100  # a little more than max_workers: the last results to become readable
POLL = 0.001
TASK_BYTES = 20  # of the argument where memory is measured


class Peer:
    """One library. A subclass says how it submits, works and reads a result; ids are the library's own."""

    width = 1_000_000  # submits in flight at once where many are wanted
    readers = 1_000_000  # results read at once
    slots = 50

    async def open(self, url: str) -> None:
        """Be able to submit. No worker runs here yet."""
        raise NotImplementedError

    async def work(self) -> None:
        """Start a worker in this process, with 50 slots."""
        raise NotImplementedError

    def submit(self, n: object) -> Awaitable[Any]:
        """Submit one call of `echo(n)`: the library's own awaitable, of what `result` takes."""
        raise NotImplementedError

    async def submit_many(self, ns: Sequence[object]) -> list[Any]:
        """Submit by the library's batch API, where it has one; else at once, `width` at a time."""
        return await self.gathered(ns)

    def result(self, handle: Any) -> Awaitable[Any]:
        """Wait until the result can be read, and read it: the library's own awaitable, where one does so."""
        raise NotImplementedError

    async def results(self, handles: Sequence[Any]) -> list[Any]:
        """Those of many."""
        return await at_once(self.readers, self.result, handles)

    async def gathered(self, ns: Sequence[object]) -> list[Any]:
        """Submit at once, `width` in flight."""
        return await at_once(self.width, self.submit, ns)

    has_batches = False

    # --- the measurements: each a verb of the driver's

    async def do_open(self, url: str, works: bool = False) -> dict[str, Any]:
        """Connect, and start a worker if `works`. One task goes through, so that nothing is cold."""
        await self.open(url)
        if works:
            await self.work()
            await self.run_some(20)
        else:
            await self.submit(0)
        return {"python": platform.python_version(), "pid": os.getpid()}

    async def run_some(self, count: int) -> None:
        """Warm up."""
        tally.expect(count)
        handles = await self.gathered(range(count))
        await tally.reached()
        await self.results(handles)

    async def do_submit_alone(self, count: int) -> dict[str, float]:
        """One after another."""
        started = time.perf_counter()
        for n in range(count):
            handle = await self.submit(n)
        seconds = time.perf_counter() - started
        check_submitted([handle])
        return {"seconds": seconds}

    async def do_submit_gathered(self, count: int) -> dict[str, float]:
        """At once."""
        started = time.perf_counter()
        handles = await self.gathered(range(count))
        seconds = time.perf_counter() - started
        check_submitted(handles)
        return {"seconds": seconds}

    async def do_submit_batch(self, count: int) -> dict[str, float]:
        """By the batch API."""
        if not self.has_batches:
            raise NotImplementedError("it has no batch API")
        started = time.perf_counter()
        await self.submit_many(range(count))
        return {"seconds": time.perf_counter() - started}

    async def do_fill(self, count: int, text: bool = False) -> dict[str, float]:
        """Let tasks wait. `text`: each with an argument of 20 bytes, else with an integer."""
        started = time.perf_counter()
        ns = [f"{n:0{TASK_BYTES}d}" for n in range(count)] if text else range(count)
        handles: list[Any] = []
        for at in range(0, count, 10_000):
            handles += await self.submit_many(ns[at : at + 10_000])
        self.last = handles[-STILL_RUNNING:]
        del handles
        gc.collect()
        return {"seconds": time.perf_counter() - started}

    async def do_drain(self, count: int) -> dict[str, float]:
        """Run everything that waits: from the first start to the last result readable.

        Tasks start in the order of submission, so once the last has started, only the last few
        results can be missing: these are waited for and read.
        """
        tally.expect(count)
        cpu = time.process_time()
        await self.work()
        await tally.reached()
        await self.results(self.last)
        ended = time.perf_counter()
        return {
            "seconds": ended - tally.first_at,
            "started": tally.count,
            "cpu_seconds": time.process_time() - cpu,
        }

    async def do_round_trip(self, count: int) -> dict[str, float]:
        """Submit at once, run, read every result."""
        tally.expect(count)
        started = time.perf_counter()
        handles = await self.gathered(range(count))
        await tally.reached()
        results = await self.results(handles)
        seconds = time.perf_counter() - started
        if sorted(results) != list(range(count)):
            raise AssertionError("a result is not what its task returned")
        return {"seconds": seconds}

    async def do_pick_up(
        self, count: int, seconds: float, pause: float = PAUSE
    ) -> dict[str, float]:
        """Submit to an idle queue, again and again: from the call to the first line of the task."""
        waits: list[float] = []
        give_up_at = time.perf_counter() + seconds
        while len(waits) < count and time.perf_counter() < give_up_at:
            await asyncio.sleep(pause)
            waits.append(await self.pick_up_one(len(waits)))
        return percentiles(waits)

    async def pick_up_one(self, n: int) -> float:
        """Seconds from the call to the task's first line."""
        tally.expect(1)
        called = time.perf_counter()
        await self.submit(n)
        await tally.reached()
        return tally.first_at - called

    async def do_usage(self) -> dict[str, float]:
        """What this process has used so far."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {"cpu_seconds": used.ru_utime + used.ru_stime, "rss_bytes": rss_bytes()}


def rss_bytes() -> int:
    """The memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """The median and the 99th percentile of what was measured, in ms, and how much that was."""
    ordered = sorted(seconds)
    return {
        "p50_ms": 1000 * ordered[len(ordered) // 2],
        "p99_ms": 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
        "count": len(ordered),
    }


async def at_once(
    width: int, call: Callable[[Any], Awaitable[Any]], arguments: Sequence[Any]
) -> list[Any]:
    """The answers to a call with each argument, in order, with `width` of them in flight."""
    if width >= len(arguments):
        return list(await asyncio.gather(*(call(argument) for argument in arguments)))
    answers: list[Any] = [None] * len(arguments)
    left = iter(enumerate(arguments))

    async def take() -> None:
        for n, argument in left:
            answers[n] = await call(argument)

    await asyncio.gather(*(take() for _ in range(width)))
    return answers


def check_submitted(handles: Sequence[Any]) -> None:
    """Some libraries answer None where they refused a submit."""
    if not all(handle is not None for handle in handles):
        raise AssertionError("a submit was refused")


async def polled(read: Callable[[], Awaitable[Any]]) -> Any:
    """The first answer of `read` that is not `MISSING`: for libraries that can't wait for a result."""
    while (answer := await read()) is MISSING:  # noqa: ASYNC110 - these libraries have no event
        await asyncio.sleep(POLL)
    return answer


MISSING = object()


# --- speaking with the driver


def main(peer: Peer) -> None:
    """Answer requests until the driver hangs up, on the event loop that BENCH_LOOP names."""
    with runner() as loop:
        loop.run(_serve(peer))


def runner() -> asyncio.Runner:
    """A runner of the event loop that was asked for."""
    if os.environ.get("BENCH_LOOP") == "uvloop":
        import uvloop

        return asyncio.Runner(loop_factory=uvloop.new_event_loop)
    return asyncio.Runner()


async def _serve(peer: Peer) -> None:
    loop = asyncio.get_running_loop()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is not an answer
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json.loads(line)
        print(json.dumps(await _answer(peer, request)), file=answers)
    with contextlib.suppress(OSError):
        answers.close()
    os._exit(0)  # a worker may be running: the server is thrown away


async def _answer(peer: Peer, request: dict[str, Any]) -> dict[str, Any]:
    verb = getattr(peer, "do_" + request.pop("do"))
    try:
        return {"ok": await verb(**request)}
    except Exception as error:  # noqa: BLE001 - a library that breaks is a finding
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}
