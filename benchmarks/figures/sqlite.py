"""Queues in a SQLite file on this machine's disk, synced at each transaction (full) or now and then (normal)."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator

from benchmarks.contenders import FILES, KEW
from benchmarks.driver import Program, running
from benchmarks.environments import CACHE
from benchmarks.figure import Figure, Measure, Run, Values, rate

COUNT = 2_000  # the others sync three times for each
WATCHED = 20_000


def run(run: Run) -> Values:
    values: Values = {}
    for synchronous in ("full", "normal"):
        values |= {f"{synchronous}_{what}": value for what, value in both(run, synchronous).items()}
        if run.contender.name == KEW:
            values[f"{synchronous}_lag"] = lag(run, synchronous)
    return values


def both(run: Run, synchronous: str) -> Values:
    """Drain what waits, and then submit and run as many again."""
    count = run.count(COUNT)
    with opened(run, synchronous, run.contender.program) as program:
        program.ask("fill", count=count - 1)  # one waits already
        drained = program.ask("drain", count=count)
        round_trip = program.ask("round_trip", count=count)
    return {"drain": rate(count, drained), "rate": rate(count, round_trip)}


def lag(run: Run, synchronous: str) -> float:
    """How late the event loop is at the 99th percentile while the queue drains, ms."""
    count = run.count(WATCHED)
    with opened(run, synchronous, "kew_more.py") as program:
        program.ask("fill", count=count - 1)
        return float(program.ask("drain_watched", count=count)["p99_ms"])


@contextlib.contextmanager
def opened(run: Run, synchronous: str, script: str) -> Iterator[Program]:
    """The contender's program with a new file."""
    CACHE.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=CACHE, prefix="sqlite-") as folder,
        running(run.contender, script) as program,
    ):
        program.ask("open", url=f"sqlite://{folder}/queue.db?synchronous={synchronous}")
        yield program


def _measures() -> tuple[Measure, ...]:
    found: list[Measure] = []
    for name in ("full", "normal"):
        found += [
            Measure(
                f"{name}_rate",
                f"SQLite, synchronous={name}: submit + run + result, 2,000 at once",
                "/s",
                more_is_better=True,
            ),
            Measure(
                f"{name}_drain",
                f"SQLite, synchronous={name}: drain 2,000",
                "/s",
                more_is_better=True,
            ),
            Measure(
                f"{name}_lag",
                f"SQLite, synchronous={name}: event loop lag p99 while 20,000 drain",
                "ms",
                digits=1,
            ),
        ]
    return tuple(found)


FIGURE = Figure(
    name="sqlite",
    title="A queue in a SQLite file",
    measures=_measures(),
    run=run,
    takes=(KEW, *FILES),
)
