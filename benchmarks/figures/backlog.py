"""Does a long queue slow the drain? The same 9,000 tasks are run from a backlog of 10,000 and from one of 1,000,000.

A tenth of each backlog is deferred. The two take turns, six times.
"""

import contextlib
from statistics import median

from benchmarks.contenders import KEW
from benchmarks.driver import Program, running
from benchmarks.figure import Figure, Measure, Run, Values
from benchmarks.server import fresh_server

SMALL, LARGE, TURNS = 10_000, 1_000_000, 6


def run(run: Run) -> Values:
    small, large = run.count(SMALL), run.count(LARGE)
    piece = small * 9 // 10
    with contextlib.ExitStack() as stack:
        short, long = (_opened(run, stack) for _ in range(2))
        long.ask("fill_backlog", count=large, deferred=large // 10)
        rates: dict[str, list[float]] = {"small": [], "large": []}
        for _ in range(TURNS):
            short.ask("fill_backlog", count=small, deferred=small // 10)
            rates["small"].append(piece / short.ask("drain_piece", count=piece)["seconds"])
            rates["large"].append(piece / long.ask("drain_piece", count=piece)["seconds"])
            short.ask("clean")
    return {
        "small": median(rates["small"]),
        "large": median(rates["large"]),
        "share": 100 * median(rates["large"]) / median(rates["small"]),
    }


def _opened(run: Run, stack: contextlib.ExitStack) -> Program:
    server = stack.enter_context(fresh_server())
    program = stack.enter_context(running(run.contender, "kew_more.py"))
    program.ask("open_queue", url=server.url)
    return program


FIGURE = Figure(
    name="backlog",
    title="Drain from a long queue",
    measures=(
        Measure("small", "drain from a backlog of 10,000", "/s", more_is_better=True),
        Measure("large", "drain from a backlog of 1,000,000", "/s", more_is_better=True),
        Measure("share", "the second as a share of the first", "%", more_is_better=True),
    ),
    run=run,
    takes=(KEW,),
    rounds=1,
)
