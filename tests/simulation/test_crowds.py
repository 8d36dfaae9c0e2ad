"""Limits of keys at their boundary: sixteen processes share a queue of 1,000 keys, and the limits decide what starts.

The oracles `keys` and `key_rate` note leases and starts: no key may have too many, whatever becomes of the processes.
"""

import pytest

from kew.simulation.batch import Choice, run_seeds
from kew.simulation.faults import Fault
from kew.simulation.features.crowds import PROCESSES

TROUBLE = (Fault.KILL, Fault.CLOCK, Fault.STORE_CLOCK, Fault.STORE_LEAP)


@pytest.mark.no_cover
def test_neither_kills_nor_clocks_that_jump_or_are_wrong_let_a_key_have_more():
    outcomes = list(run_seeds(range(2), Choice(workload="crowds", faults=TROUBLE)))
    assert [one.violation for one in outcomes if not one.is_good] == []
    assert {one.plan.processes for one in outcomes} == {PROCESSES}
    assert [fault for fault in TROUBLE if not sum(one.tally.of(fault) for one in outcomes)] == []
