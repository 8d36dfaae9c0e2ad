"""`kew simulate`: run kew's services in a simulated world of faults, seed by seed, and check every step."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence

import attrs
import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from kew.cli import screen
from kew.simulation.batch import Choice, Summary, run_seeds
from kew.simulation.errors import SimulationError
from kew.simulation.faults import Fault
from kew.simulation.features import workloads
from kew.simulation.lua.redis import RedisInProcess
from kew.simulation.plan import STORES
from kew.simulation.shrinker import shrink
from kew.simulation.simulation import Outcome
from kew.simulation.table import summary_lines, violation_lines

VIOLATED = 1
KEPT = "Every promise was kept."
NOTHING_RUN = "No seed was run: --minutes is too short for one."
SEEDS = 200
MORE_SEEDS = {"closures": 3}  # whose tasks depend on one process


def _faults(
    _context: click.Context, _option: click.Parameter, given: str | None
) -> tuple[Fault, ...] | None:
    if given is None:
        return None
    try:
        return tuple(Fault(word.strip()) for word in given.split(",") if word.strip())
    except ValueError as error:
        raise click.BadParameter(f"{error}; choose from {', '.join(Fault)}") from None


@click.command()
@click.option("--seeds", type=click.IntRange(1), help=f"How many seeds to run (default: {SEEDS}).")
@click.option("--first", type=click.IntRange(0), help="The first seed (default: 0).")
@click.option(
    "--minutes",
    type=click.FloatRange(0.0, min_open=True),
    help="Run as many seeds as fit, at most --seeds.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    help="Run only this seed, and print its trace.",
)
@click.option("--faults", callback=_faults, metavar="A,B", help="Use only these faults.")
@click.option(
    "--workload",
    default="mixed",
    show_default=True,
    type=click.Choice(sorted(workloads())),
    help="What the simulated users do.",
)
@click.option(
    "--store",
    default="memory",
    show_default=True,
    type=click.Choice(STORES),
    help="lua: the Redis adapter with its Lua library, on a Redis inside this process. partitions: three stores.",
)
@click.option(
    "--narrow",
    is_flag=True,
    help="Each narrow workload in turn, with so many seeds; closures with three times as many.",
)
@click.option("--lossy", is_flag=True, help="A restart of the store may lose its last writes.")
@click.option(
    "--jobs",
    default=os.cpu_count() or 1,
    show_default="all cores",
    type=click.IntRange(1),
    help="How many processes run seeds.",
)
def simulate(
    seeds: int | None,
    first: int | None,
    minutes: float | None,
    seed: int | None,
    faults: tuple[Fault, ...] | None,
    workload: str,
    store: str,
    narrow: bool,
    lossy: bool,
    jobs: int,
) -> None:
    """Try to break kew.

    kew's real services run on simulated time, while processes, network and store fail in every known way. One number,
    the seed, decides everything that happens. After every store operation, all of kew's promises are checked.

    \b
    Exit codes:
      0  every promise was kept
      1  a promise was broken; the output says how to replay it
      2  invalid option, or a missing package
    """
    if store == "lua":
        _need_a_redis()
    choice = Choice(workload=workload, faults=faults, lossy=lossy, store=store)
    if narrow:
        _refuse_beside_one(seed=seed, minutes=minutes)
        _run_each(choice, first or 0, seeds or SEEDS, jobs)
        return
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


def _run_each(choice: Choice, first: int, seeds: int, jobs: int) -> None:
    """Run the narrow workloads one after the other, a line for each; stop after one that broke a promise."""
    for name in sorted(workloads().keys() - {"mixed"}):
        wanted = seeds * MORE_SEEDS.get(name, 1)
        one = attrs.evolve(choice, workload=name)
        numbers = range(first, first + wanted)
        summary = _run_many(numbers, one, seeds=wanted, minutes=None, jobs=jobs)
        _say([f"{name:<12} {summary.seeds:>6,} seeds {len(summary.violations):>4} violations"])
        if summary.violations:
            _say([*violation_lines(summary.violations[0]), *_recipe(summary.violations[0])])
            raise SystemExit(VIOLATED)
    _say(["", KEPT])


def _need_a_redis() -> None:
    try:
        RedisInProcess(lambda: 0)
    except SimulationError as error:
        screen.refuse(error)


def _refuse_beside_one(**given: float | None) -> None:
    for name, value in given.items():
        if value is not None:
            raise click.UsageError(f"--seed runs a single seed: give either --seed or --{name}")


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
    """The smallest run that still breaks the same promise."""
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
