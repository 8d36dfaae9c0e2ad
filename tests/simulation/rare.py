"""Runs of what is rare in the default mix, many errands in each.

A module of its own, which other processes can import.
"""

from collections.abc import Sequence

import attrs

from kew.simulation.batch import Choice
from kew.simulation.plan import ELSEWHERE, draw_plan
from kew.simulation.simulation import Outcome, simulate

TURNS = (
    ("controls", 1000, 1.0),
    ("inspecting", 1000, 0.5),
    ("inspecting", 1000, 1.0),
    ("bulk", 400, 1.0),
    ("saving", 80, 1.0),
    ("schedules", 80, 1.0),
)
"""A workload, the errands of a run, and how often faults happen: too often, and few errands come through."""


def run_rare(choice: Choice, numbers: Sequence[int]) -> list[Outcome]:
    """One run for each number, of the workload whose turn it is, which goes through its own seeds from 0 on."""
    assert choice == Choice()
    return [_run(*divmod(number, len(TURNS))) for number in numbers]


def _run(seed: int, turn: int) -> Outcome:
    workload, errands, rate = TURNS[turn]
    plan = draw_plan(seed, workload=workload)
    return simulate(attrs.evolve(plan, errands=errands, rate=rate, faults=frozenset(ELSEWHERE)))
