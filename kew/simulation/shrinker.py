"""Makes a failing run smaller, as long as it fails in the same way: by the same oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import attrs

from kew.simulation.faults import Fault
from kew.simulation.features import workloads
from kew.simulation.plan import Plan
from kew.simulation.simulation import simulate

MOST_RUNS: Final = 150
SIZES: Final = {
    "errands": (1, 2, 5, 10, 20, 40),
    "processes": (1, 2, 3),
    "submitters": (0,),
    "horizon": (20.0, 60.0, 120.0, 240.0),
    "rate": (0.4, 1.0),
}


@attrs.frozen(kw_only=True)
class Shrunk:
    """The smallest plan found, what it ends with, and how many runs that took."""

    plan: Plan
    violation: str
    runs: int


def shrink(plan: Plan, oracle: str, violation: str, *, most_runs: int = MOST_RUNS) -> Shrunk:
    """Leave out faults and features one by one, then make everything smaller; what still fails is kept.

    Then again, until nothing more can be left out: of a smaller run more can be spared.
    """
    before = None
    best = Shrunk(plan=plan, violation=violation, runs=0)
    while best.plan != before and best.runs < most_runs:
        before = best.plan
        best = _pass(best, oracle, most_runs)
    return best


def _pass(best: Shrunk, oracle: str, most_runs: int) -> Shrunk:
    runs = best.runs
    for smaller in (_fewer_faults, _fewer_features, _smaller_sizes, _fewer_faults):
        for change in smaller(best.plan):
            if runs == most_runs:
                return attrs.evolve(best, runs=runs)
            candidate = change(best.plan)
            if candidate == best.plan:
                continue
            runs += 1
            outcome = simulate(candidate)
            if outcome.oracle == oracle:
                best = Shrunk(plan=candidate, violation=outcome.violation, runs=runs)
    return attrs.evolve(best, runs=runs)


Change = Callable[[Plan], Plan]


def _fewer_faults(plan: Plan) -> Iterator[Change]:
    return (_without_fault(fault) for fault in Fault if fault in plan.faults)


def _without_fault(fault: Fault) -> Change:
    return lambda plan: attrs.evolve(plan, faults=plan.faults - {fault})


def _fewer_features(plan: Plan) -> Iterator[Change]:
    names = [feature.name for feature in workloads()[plan.workload].features]
    return (_without_feature(name) for name in names)


def _without_feature(name: str) -> Change:
    return lambda plan: attrs.evolve(plan, without=plan.without | {name})


def _smaller_sizes(plan: Plan) -> Iterator[Change]:
    for name, sizes in SIZES.items():
        for size in sizes:
            if size < getattr(plan, name):
                yield _with_size(name, size)


def _with_size(name: str, size: float) -> Change:
    """Smaller, unless a former change made it smaller already."""
    return lambda plan: attrs.evolve(plan, **{name: min(size, getattr(plan, name))})
