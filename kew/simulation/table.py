"""The totals of all runs, as plain text for a terminal, a CI log and the documentation."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from kew.app.ports import OPERATIONS
from kew.simulation.batch import Summary
from kew.simulation.faults import (
    NOTICES,
    NOWHERE,
    ON_CALLS,
    ON_CONNECTIONS,
    ON_NOTICES,
    Fault,
)
from kew.simulation.features import left_out
from kew.simulation.simulation import Outcome

SHORT: Final = {
    Fault.LOST_REQUEST: "no-rqst",
    Fault.LOST_REPLY: "no-reply",
    Fault.CANCELLED: "cancel",
    Fault.PARTITION: "cut off",
}
COLUMNS: Final = (*ON_CALLS, Fault.CANCELLED, Fault.PARTITION, Fault.RESTART)
WIDTH: Final = 9
FIRST: Final = 11


def summary_lines(summary: Summary) -> Iterator[str]:
    """The totals, the faults by operation, and the violations."""
    yield from _totals(summary)
    yield ""
    yield from _faults(summary)
    for outcome in summary.violations[:10]:
        yield ""
        yield from violation_lines(outcome)


def _totals(summary: Summary) -> Iterator[str]:
    seeds = max(1, summary.seeds)
    operations = sum(summary.operations.values())
    yield f"seeds               {summary.seeds:,} ({summary.calm:,} calm)"
    yield f"simulated hours     {summary.simulated_s / 3600:,.1f}"
    yield f"per CPU minute      {summary.hours_per_cpu_minute:.1f} simulated hours"
    yield f"store operations    {operations:,} ({operations / seeds:.0f} per seed)"
    yield f"processes started   {summary.starts:,} ({summary.starts / seeds:.1f} per seed)"
    yield f"faults              {summary.tally.total:,} ({summary.tally.total / seeds:.1f} per seed)"
    yield f"user actions        {sum(summary.happenings.values()):,}"
    yield f"violations          {len(summary.violations):,}"
    for reason in left_out():
        yield f"left out            {reason}"


def _faults(summary: Summary) -> Iterator[str]:
    counts = summary.tally.counts
    heads = [SHORT.get(fault, str(fault)) for fault in COLUMNS]
    yield "operation".ljust(FIRST) + "calls".rjust(WIDTH) + _row(heads)
    for operation in sorted(one.name for one in OPERATIONS):
        cells = [f"{counts[fault, operation]:,}" for fault in COLUMNS]
        yield (
            operation.ljust(FIRST) + f"{summary.operations[operation]:,}".rjust(WIDTH) + _row(cells)
        )
    alone = [f"{counts[fault, NOWHERE]:,}" for fault in COLUMNS]
    yield "no call".ljust(FIRST) + "".rjust(WIDTH) + _row(alone)
    yield ""
    for notice in NOTICES:
        counted = ", ".join(f"{fault} {counts[fault, notice]:,}" for fault in ON_NOTICES)
        yield f"{notice.ljust(FIRST)} {counted}"
    connections = ", ".join(f"{one} {counts[one, NOWHERE]:,}" for one in ON_CONNECTIONS)
    yield f"{'connections'.ljust(FIRST)} {connections}"
    others = (Fault.CLOCK, Fault.STORE_CLOCK, Fault.STORE_LEAP, Fault.SUSPENDED, Fault.FORGET)
    yield (
        "clocks".ljust(FIRST) + " " + ", ".join(f"{one} {counts[one, NOWHERE]:,}" for one in others)
    )


def _row(cells: Sequence[str]) -> str:
    return "".join(cell.rjust(WIDTH) for cell in cells)


def violation_lines(outcome: Outcome) -> Iterator[str]:
    """What went wrong in a run, and how to replay it."""
    yield f"VIOLATION of {outcome.oracle}: {outcome.violation}"
    yield f"  {outcome.plan.recipe()}"
    yield f"  replay: {replay_line(outcome)}"


def replay_line(outcome: Outcome) -> str:
    """The command that replays a run, with the commit and the Python that it depends on."""
    plan = outcome.plan
    more = "" if plan.workload == "mixed" else f" --workload {plan.workload}"
    more += " --lossy" if Fault.FORGET in plan.faults else ""
    more += "" if plan.store == "memory" else f" --store {plan.store}"
    return (
        f"kew simulate --seed {plan.seed}{more}"
        f"   (commit {commit() or 'unknown'}, Python {platform.python_version()})"
    )


def commit() -> str:
    """The commit of the running source if it is a git checkout, else ""."""
    git = Path(__file__).parents[3] / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head[:12]
        return (git / head.removeprefix("ref: ")).read_text().strip()[:12]
    except OSError:
        return ""
