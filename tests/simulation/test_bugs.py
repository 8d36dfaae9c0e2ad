"""Proof that the simulation sees: each planted bug is found in the default mix, by an oracle of the right kind."""

import pytest

from kew.adapters.simulation.plan import draw_plan
from kew.adapters.simulation.simulation import simulate
from tests.simulation.bugs import BUGS, first_find, table

FEWEST = 25


def test_there_are_enough_planted_bugs():
    assert len(BUGS) >= FEWEST


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name, record_property):
    found = first_find(BUGS[name])
    assert found is not None, f"{name} was not found"
    record_property("find", next(table({name: found})))
    assert found.oracle in BUGS[name].oracles, found.violation


def test_planting_a_bug_leaves_nothing_behind():
    before = simulate(draw_plan(1)).trace_hash
    with BUGS["nobody_is_woken"].planted():
        assert simulate(draw_plan(1)).trace_hash != before
    assert simulate(draw_plan(1)).trace_hash == before
