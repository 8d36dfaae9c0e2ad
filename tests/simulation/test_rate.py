"""The rate at its boundary: eight processes share it, and there is so much to do that it alone decides.

The oracle `rate` notes each start, by the store's clock: no window may have too many, wherever it begins, and without
faults ten windows must have nearly as many as they may. A planted bug for each half is in tests/simulation/bugs.py.
"""

import pytest

from kew.simulation.batch import Choice, run_seeds
from kew.simulation.faults import Fault
from kew.simulation.features.rates import PROCESSES

TROUBLE = (Fault.KILL, Fault.CLOCK, Fault.STORE_CLOCK, Fault.STORE_LEAP)


@pytest.mark.no_cover
def test_eight_processes_use_a_rate_up_and_never_exceed_it():
    outcomes = list(run_seeds(range(2), Choice(workload="boundary", faults=())))
    assert [one.violation for one in outcomes if not one.is_good] == []
    assert {one.plan.processes for one in outcomes} == {PROCESSES}


@pytest.mark.no_cover
def test_neither_kills_nor_clocks_that_jump_or_are_wrong_let_a_window_have_more_starts():
    outcomes = list(run_seeds(range(4), Choice(workload="boundary", faults=TROUBLE)))
    assert [one.violation for one in outcomes if not one.is_good] == []
    assert [fault for fault in TROUBLE if not sum(one.tally.of(fault) for one in outcomes)] == []
