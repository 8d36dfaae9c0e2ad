"""A process with a worker on one empty queue, left alone: what it asks of Redis, and what it uses itself.

All contenders idle at the same time, each on a server of its own.
"""

import contextlib
import time
from collections.abc import Sequence

from benchmarks.driver import Broken, Program
from benchmarks.figure import Figure, Measure, Run, Values
from benchmarks.server import Server

SECONDS, SETTLE = 60.0, 3.0


def together(runs: Sequence[Run]) -> dict[str, Values]:
    seconds = max(5.0, SECONDS * min(1.0, runs[0].scale)) if runs else 0
    with contextlib.ExitStack() as stack:
        opened = {}
        for run in runs:
            with contextlib.suppress(Broken):
                opened[run.contender.name] = stack.enter_context(run.opened(works=True))
        time.sleep(SETTLE)  # what a start-up leaves to do
        before = {name: _used(*each) for name, each in opened.items()}
        time.sleep(seconds)  # the measurement itself
        after = {name: _used(*each) for name, each in opened.items()}
    return {
        name: {
            "commands": (after[name][0] - before[name][0]) / seconds,
            "process": 100 * (after[name][1] - before[name][1]) / seconds,
            "redis": 100 * (after[name][2] - before[name][2]) / seconds,
        }
        for name in opened
    }


def _used(server: Server, program: Program) -> tuple[int, float, float]:
    return server.commands(), program.ask("usage")["cpu_seconds"], server.cpu_seconds()


FIGURE = Figure(
    name="idle",
    title="Idle: one process, one queue",
    measures=(
        Measure("commands", "idle, Redis commands", "/s", digits=2),
        Measure("process", "idle, CPU of the process", "%", digits=2),
        Measure("redis", "idle, CPU of Redis", "%", digits=2),
    ),
    together=together,
    rounds=1,
)
