"""The workloads of what is rare in the default mix, by turns. A module of its own, which other processes can import."""

from collections.abc import Sequence

from kew.simulation.batch import SEEDS_AT_ONCE, Choice, run_piece
from kew.simulation.simulation import Outcome

TURNS = (("bulk", 1, 0), ("inspecting", 2, 0), ("inspecting", 2, 1))
"""A workload, in how many of these turns it runs, and in which of them this one is."""


def run_rare(choice: Choice, seeds: Sequence[int]) -> list[Outcome]:
    """A piece of numbers: as many runs of the workload whose turn it is, which goes through its own seeds from 0 on."""
    assert choice == Choice()
    round_, turn = divmod(seeds[0] // SEEDS_AT_ONCE, len(TURNS))
    workload, turns, place = TURNS[turn]
    first = (round_ * turns + place) * SEEDS_AT_ONCE
    return run_piece(Choice(workload=workload), range(first, first + len(seeds)))
