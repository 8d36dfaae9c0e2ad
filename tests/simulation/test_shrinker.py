"""A failing run is made smaller, and goes on failing in the same way."""

import pytest

from kew.simulation.faults import Fault
from kew.simulation.plan import Plan, draw_plan
from kew.simulation.shrinker import shrink
from kew.simulation.simulation import simulate
from tests.simulation.bugs import BUGS, hinted, read_hints


def failing(planted: str, oracle: str) -> Plan:
    """The plan of a run in which this oracle finds the planted bug."""
    plans = map(draw_plan, hinted(planted, read_hints()))
    return next(plan for plan in plans if simulate(plan).oracle == oracle)


@pytest.mark.no_cover
def test_a_shrunk_run_fails_by_the_same_oracle_with_less_of_everything():
    with BUGS["losses_are_not_counted"].planted():
        plan = failing("losses_are_not_counted", "bounds")
        small = shrink(plan, "bounds", "")
        again = simulate(small.plan)
    assert again.oracle == "bounds"
    assert again.violation == small.violation
    assert len(small.plan.faults) <= 2
    assert small.plan.errands < plan.errands or small.plan.without
    assert simulate(small.plan).is_good, "without the bug there is nothing to find"


def test_shrinking_stops_after_so_many_runs():
    with BUGS["losses_are_not_counted"].planted():
        plan = failing("losses_are_not_counted", "bounds")
        assert shrink(plan, "bounds", "", most_runs=3).runs == 3


@pytest.mark.no_cover
def test_an_outcome_that_can_be_had_without_faults_shrinks_to_none():
    with BUGS["priorities_are_ignored"].planted():
        plan = failing("priorities_are_ignored", "order")
        small = shrink(plan, "order", "")
    assert Fault.KILL not in small.plan.faults
    assert len(small.plan.faults) == 0
