"""`kew simulate`: run kew's services in a simulated world of faults, seed by seed, and judge every step."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from kew.adapters.cli import screen
from kew.adapters.simulation.batch import Choice, Summary, run_seeds
from kew.adapters.simulation.errors import SimulationError
from kew.adapters.simulation.faults import Fault
from kew.adapters.simulation.features import workloads
from kew.adapters.simulation.lua.redis import RedisInProcess
from kew.adapters.simulation.plan import STORES
from kew.adapters.simulation.shrinker import shrink
from kew.adapters.simulation.simulation import Outcome
from kew.adapters.simulation.table import summary_lines, violation_lines

VIOLATED = 1
KEPT = "Every promise was kept."
NOTHING_RUN = "No seed was run: the time was too short."
SEEDS = 200


def _faults(
    _context: click.Context, _option: click.Parameter, given: str | None
) -> tuple[Fault, ...] | None:
    if given is None:
        return None
    try:
        return tuple(Fault(word.strip()) for word in given.split(",") if word.strip())
    except ValueError as error:
        raise click.BadParameter(f"{error}; there are {', '.join(Fault)}") from None


@click.command()
@click.option(
    "--seeds", type=click.IntRange(1), help=f"How many seeds; {SEEDS} if nothing is said."
)
@click.option("--first", type=click.IntRange(0), help="The first seed; 0 if nothing is said.")
@click.option(
    "--minutes",
    type=click.FloatRange(0.0, min_open=True),
    help="As many seeds as fit; with --seeds, no more than those.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    help="This seed alone, with a trace of who did what when.",
)
@click.option("--faults", callback=_faults, metavar="A,B", help="Draw from these alone.")
@click.option(
    "--workload", default="mixed", show_default=True, type=click.Choice(sorted(workloads()))
)
@click.option(
    "--store",
    default="memory",
    show_default=True,
    type=click.Choice(STORES),
    help="lua: the Redis adapter and its library, on a Redis in this process.",
)
@click.option("--lossy", is_flag=True, help="The store may also forget its last writes.")
@click.option(
    "--jobs", default=os.cpu_count() or 1, show_default="all cores", type=click.IntRange(1)
)
def simulate(
    seeds: int | None,
    first: int | None,
    minutes: float | None,
    seed: int | None,
    faults: tuple[Fault, ...] | None,
    workload: str,
    store: str,
    lossy: bool,
    jobs: int,
) -> None:
    """Try to break kew.

    The real services run on simulated time against a store and processes that fail in every way that is known. One
    number, the seed, decides everything that happens; after every operation all promises are checked.

    \b
    Exit codes:
      0  every promise was kept
      1  a promise was broken: how to see it again is printed
      2  bad option, or something is not installed that it needs
    """
    if store == "lua":
        _need_a_redis()
    choice = Choice(workload=workload, faults=faults, lossy=lossy, store=store)
    if seed is not None:
        _refuse_beside_one(seeds=seeds, first=first, minutes=minutes)
        raise SystemExit(_run_one(choice, seed))
    numbers = _numbers(first or 0, seeds, minutes)
    summary = _run_many(numbers, choice, seeds=seeds, minutes=minutes, jobs=jobs)
    _say(summary_lines(summary))
    if summary.violations:
        _say(_recipe(summary.violations[0]))
        raise SystemExit(VIOLATED)
    _say(["", KEPT if summary.seeds else NOTHING_RUN])


def _need_a_redis() -> None:
    try:
        RedisInProcess(lambda: 0)
    except SimulationError as error:
        screen.refuse(error)


def _refuse_beside_one(**given: float | None) -> None:
    for name, value in given.items():
        if value is not None:
            raise click.UsageError(f"--seed is one seed alone: leave out it or --{name}")


def _numbers(first: int, seeds: int | None, minutes: float | None) -> Iterable[int]:
    if seeds is None and minutes is not None:
        return itertools.count(first)
    return range(first, first + (seeds or SEEDS))


def _run_one(choice: Choice, seed: int) -> int:
    outcome = choice.run(seed, keep_trace=True)
    _say(outcome.trace)
    _say(["", f"plan        {outcome.plan.recipe()}", f"trace hash  {outcome.trace_hash}"])
    if outcome.is_good:
        _say(["", KEPT])
        return 0
    _say(["", *violation_lines(outcome), *_recipe(outcome)])
    return VIOLATED


def _run_many(
    numbers: Iterable[int],
    choice: Choice,
    *,
    seeds: int | None,
    minutes: float | None,
    jobs: int,
) -> Summary:
    summary = Summary()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    seconds = minutes * 60 if minutes is not None else None
    with Progress(*columns, console=screen.console(stderr=True)) as progress:
        total = None if minutes is not None and seeds is None else seeds or SEEDS
        bar = progress.add_task("seeds", total=total)
        for outcome in run_seeds(numbers, choice, jobs=jobs, seconds=seconds):
            summary.add(outcome)
            bad = len(summary.violations)
            progress.update(bar, advance=1, description=f"seeds, {bad} bad" if bad else "seeds")
    summary.violations.sort(key=lambda outcome: outcome.plan.seed)
    return summary


def _recipe(outcome: Outcome) -> Sequence[str]:
    """The smallest run found that fails in the same way."""
    small = shrink(outcome.plan, outcome.oracle, outcome.violation)
    without = f" without={','.join(sorted(small.plan.without))}" if small.plan.without else ""
    return (
        "",
        f"shrunk in {small.runs} runs to seed {small.plan.seed}: {small.plan.recipe()}{without}",
        f"  {outcome.oracle}: {small.violation}",
    )


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


if __name__ == "__main__":
    simulate()
