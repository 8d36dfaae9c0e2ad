"""Many seeds, in several operating-system processes, and what they add up to."""

from __future__ import annotations

import itertools
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Final

import attrs

from kew.simulation.faults import Fault, Tally
from kew.simulation.features import workloads
from kew.simulation.plan import draw_plan
from kew.simulation.simulation import Outcome, simulate

SEEDS_AT_ONCE: Final = 5
IN_THE_QUEUE: Final = 3  # pieces per process


@attrs.frozen(kw_only=True)
class Choice:
    """Which runs: everything but the seeds."""

    workload: str = "mixed"
    faults: tuple[Fault, ...] | None = None
    lossy: bool = False
    store: str = "memory"

    def run(self, seed: int, *, keep_trace: bool = False) -> Outcome:
        """One of them."""
        plan = draw_plan(
            seed, workload=self.workload, faults=self.faults, lossy=self.lossy, store=self.store
        )
        processes = workloads()[self.workload].processes or plan.processes
        return simulate(attrs.evolve(plan, processes=processes), keep_trace=keep_trace)


@attrs.define(kw_only=True)
class Summary:
    """What all runs so far add up to."""

    seeds: int = 0
    calm: int = 0
    simulated_s: float = 0.0
    cpu_s: float = 0.0
    starts: int = 0
    operations: Counter[str] = attrs.field(factory=Counter)
    happenings: Counter[str] = attrs.field(factory=Counter)
    tally: Tally = attrs.field(factory=Tally)
    violations: list[Outcome] = attrs.field(factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count a run."""
        self.seeds += 1
        self.calm += outcome.plan.is_calm
        self.simulated_s += outcome.simulated_s
        self.cpu_s += outcome.cpu_s
        self.starts += outcome.starts
        self.operations.update(outcome.operations)
        self.happenings.update(outcome.happenings)
        self.tally.include(outcome.tally)
        if not outcome.is_good:
            self.violations.append(outcome)

    @property
    def hours_per_cpu_minute(self) -> float:
        """How fast simulated time passes."""
        return (self.simulated_s / 3600) / (self.cpu_s / 60) if self.cpu_s else 0.0


def run_seeds(
    seeds: Iterable[int],
    choice: Choice,
    *,
    jobs: int = 1,
    seconds: float | None = None,
    run: Callable[[Choice, Sequence[int]], list[Outcome]] | None = None,
) -> Iterator[Outcome]:
    """Every seed's outcome, as it comes; no new ones are begun after `seconds` of real time."""
    ends_at = time.monotonic() + seconds if seconds is not None else float("inf")
    pieces = itertools.takewhile(lambda _: time.monotonic() < ends_at, _pieces(seeds))
    work = run or run_piece
    if jobs <= 1:
        for piece in pieces:
            yield from work(choice, piece)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=spawn) as pool:
        running: set[Future[list[Outcome]]] = set()
        for piece in pieces:
            running.add(pool.submit(work, choice, piece))
            if len(running) >= jobs * IN_THE_QUEUE:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (outcome for one in done for outcome in one.result())
        for one in running:
            yield from one.result()


def run_piece(choice: Choice, seeds: Sequence[int]) -> list[Outcome]:
    """A few seeds in this process."""
    return [choice.run(seed) for seed in seeds]


def _pieces(seeds: Iterable[int]) -> Iterator[Sequence[int]]:
    numbers = iter(seeds)
    while piece := tuple(itertools.islice(numbers, SEEDS_AT_ONCE)):
        yield piece
