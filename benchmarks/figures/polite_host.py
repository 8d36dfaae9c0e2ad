"""A web process that also drains a queue: how long its own requests take, with the polite host off and on.

An HTTP endpoint (uvicorn) is asked 200 times a second from another process, over 8 connections that stay open. A
request's time runs from the instant at which it was due, so a stall counts for every request that it delayed.
"""

import asyncio
import contextlib
from typing import Any

from benchmarks.contenders import KEW
from benchmarks.driver import Broken, Program, running
from benchmarks.figure import Figure, Measure, Run, Values
from benchmarks.server import fresh_server

LIGHT, HEAVY, SECONDS = 60_000, 12_000, 3.0
A_SECOND, CONNECTIONS = 200, 8
LAGS = {"off": None, "10": 0.010, "5": 0.005, "2": 0.002}
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def run(run: Run) -> Values:
    values = undisturbed(run)
    for task, full in (("echo", LIGHT), ("spin", HEAVY)):
        for name, lag in LAGS.items():
            found = served(run, run.count(full), task=task, lag=lag)
            values |= {f"{task}_{name}_{what}": value for what, value in found.items()}
    return values


def undisturbed(run: Run) -> Values:
    """The endpoint's times while the queue is empty."""
    with fresh_server() as server, running(run.contender, "kew_more.py") as program:
        program.ask("open_queue", url=server.url)
        port = program.ask("serve")["port"]
        program.send("rest", seconds=max(0.5, SECONDS * run.scale))
        waits = sorted(asyncio.run(asked_until_done(port, program)))
        program.receive()
    return {"idle_p99": 1000 * waits[int(len(waits) * 0.99)], "idle_max": 1000 * waits[-1]}


def served(run: Run, count: int, *, task: str, lag: float | None) -> Values:
    """Tasks a second, and the endpoint's 99th percentile and maximum meanwhile, ms."""
    with fresh_server() as server, running(run.contender, "kew_more.py") as program:
        program.ask("open_queue", url=server.url)
        program.ask("fill_backlog", count=count, task=task)
        port = program.ask("serve")["port"]
        program.send("drain_politely", count=count, max_loop_lag=lag)
        waits = asyncio.run(asked_until_done(port, program))
        drained = program.receive()
    waits.sort()
    return {
        "rate": count / drained["seconds"],
        "p99": 1000 * waits[int(len(waits) * 0.99)],
        "max": 1000 * waits[-1],
    }


async def asked_until_done(port: int, program: Program) -> list[float]:
    """How long each request took, seconds, until the program has answered what it was sent."""
    waits: list[float] = []
    asking = [asyncio.create_task(_ask(port, n, waits)) for n in range(CONNECTIONS)]
    while not program.has_answered():  # noqa: ASYNC110 - another process decides it
        await asyncio.sleep(0.02)
    for task in asking:
        task.cancel()
    ends = await asyncio.gather(*asking, return_exceptions=True)
    failures = [end for end in ends if not isinstance(end, asyncio.CancelledError)]
    if failures:
        raise Broken(f"the endpoint failed: {failures[0]!r}")
    return waits


async def _ask(port: int, number: int, waits: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    loop = asyncio.get_running_loop()
    period = CONNECTIONS / A_SECOND
    due = loop.time() + period * number / CONNECTIONS
    with contextlib.closing(writer):
        while True:
            await asyncio.sleep(due - loop.time())
            writer.write(REQUEST)
            await reader.readuntil(b"hello")
            waits.append(loop.time() - due)
            due += period


def _measures() -> tuple[Measure, ...]:
    found: list[Any] = [
        Measure("idle_p99", "an empty queue: endpoint p99", "ms", digits=1),
        Measure("idle_max", "an empty queue: endpoint max", "ms", digits=1),
    ]
    for task, what in (("echo", "a task that does nothing"), ("spin", "a task of 200 us of CPU")):
        for name in LAGS:
            how = "max_loop_lag off" if name == "off" else f"max_loop_lag {name} ms"
            found += [
                Measure(f"{task}_{name}_rate", f"{what}, {how}: drain", "/s", more_is_better=True),
                Measure(f"{task}_{name}_p99", f"{what}, {how}: endpoint p99", "ms", digits=1),
                Measure(f"{task}_{name}_max", f"{what}, {how}: endpoint max", "ms", digits=1),
            ]
    return tuple(found)


FIGURE = Figure(
    name="polite_host",
    title="A web endpoint in the process that drains",
    measures=_measures(),
    run=run,
    takes=(KEW,),
)
