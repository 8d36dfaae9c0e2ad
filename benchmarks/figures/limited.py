"""What a rate and keys cost: the same drain without limits, with a rate, with 1,000 keys, and with both, in turns.

The rate and the limit of each key are in force, but high enough to hold back no task.
"""

import contextlib
from statistics import median

from benchmarks.contenders import KEW
from benchmarks.driver import Program, running
from benchmarks.figure import Figure, Measure, Run, Values
from benchmarks.server import fresh_server

COUNT, KEYS, TURNS = 10_000, 1_000, 5
KINDS = {"plain": (False, 0), "rate": (True, 0), "keys": (False, KEYS), "both": (True, KEYS)}


def run(run: Run) -> Values:
    count = run.count(COUNT)
    piece = count * 9 // 10
    with contextlib.ExitStack() as stack:
        programs = {kind: _opened(run, stack, *limits) for kind, limits in KINDS.items()}
        rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(TURNS):
            for kind, program in programs.items():
                program.ask("fill_backlog", count=count, keys=KINDS[kind][1])
                rates[kind].append(piece / program.ask("drain_piece", count=piece)["seconds"])
                program.ask("clean")
    found = {kind: median(values) for kind, values in rates.items()}
    shares = {f"{kind}_share": 100 * found[kind] / found["plain"] for kind in list(KINDS)[1:]}
    return {**found, **shares}


def _opened(run: Run, stack: contextlib.ExitStack, has_rate: bool, keys: int) -> Program:
    server = stack.enter_context(fresh_server())
    program = stack.enter_context(running(run.contender, "kew_more.py"))
    program.ask("open_queue", url=server.url, has_rate=has_rate, has_keys=keys > 0)
    return program


FIGURE = Figure(
    name="limited",
    title="Drain with a rate and with keys",
    measures=(
        Measure("plain", "drain without limits", "/s", more_is_better=True),
        Measure("rate", "drain with a rate", "/s", more_is_better=True),
        Measure("keys", "drain with 1,000 keys", "/s", more_is_better=True),
        Measure("both", "drain with both", "/s", more_is_better=True),
        Measure(
            "rate_share", "with a rate, as a share of the plain drain", "%", more_is_better=True
        ),
        Measure("keys_share", "with 1,000 keys, as a share of it", "%", more_is_better=True),
        Measure("both_share", "with both, as a share of it", "%", more_is_better=True),
    ),
    run=run,
    takes=(KEW,),
    rounds=1,
)
