"""The oracles themselves: none is blind, and none can be silenced."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from kew.app.working.claims import Claims
from kew.simulation.batch import Choice
from kew.simulation.errors import Violation
from kew.simulation.facts import Facts
from kew.simulation.loop import SimulationLoop
from kew.simulation.oracles import oracle_classes
from kew.simulation.oracles.history import History
from kew.simulation.plan import Plan, draw_plan
from kew.simulation.simulation import simulate
from kew.simulation.table import summary_lines, violation_lines
from tests.simulation.bugs import BUGS, patched

SMALL = Plan(seed=1, errands=20, horizon=60.0, processes=2)


def test_every_oracle_has_a_planted_bug_of_its_kind():
    seen = {oracle for planted in BUGS.values() for oracle in planted.oracles}
    assert {oracle.name for oracle in oracle_classes()} - seen == set()


def test_a_violation_ends_the_run_even_if_the_code_under_simulation_catches_it():
    with SimulationLoop(0) as loop:
        facts = Facts(plan=SMALL, loop=loop)

        async def stubborn() -> None:
            try:
                facts.fail("test", "broken")
            except Violation:
                await asyncio.sleep(1)

        with pytest.raises(Violation, match="broken"):
            loop.run(stubborn())


def test_what_kew_logs_as_an_error_is_a_violation():
    def wake(original):
        def noisy(self):
            logging.getLogger("kew").error("something is wrong")
            original(self)

        return noisy

    with patched(Claims, "wake", wake):
        assert simulate(SMALL).oracle == "logged"


@pytest.mark.parametrize("error", [AssertionError("a bug"), TypeError("a bug")])
def test_a_bug_in_a_task_of_kews_own_is_a_violation(error):
    def reserve(_original):
        def broken(self, **_options):
            raise error

        return broken

    with patched(Claims, "reserve", reserve):
        assert not simulate(SMALL).is_good


def test_a_store_that_ends_no_task_is_not_live():
    def claim_when_woken(_original):
        async def asleep(self):
            await asyncio.sleep(10_000)

        return asleep

    def reserve(_original):
        return lambda self, **_options: None

    with (
        patched(Claims, "claim_when_woken", claim_when_woken),
        patched(Claims, "reserve", reserve),
    ):
        plan = Plan(seed=1, errands=20, horizon=60.0, processes=2, faults=draw_plan(0).faults)
        assert simulate(plan).oracle == "liveness"


def test_a_violation_is_told_with_what_replays_it():
    with BUGS["priorities_are_ignored"].planted():
        outcome = next(one for one in map(Choice().run, range(20)) if not one.is_good)
    told = "\n".join(violation_lines(outcome))
    assert f"kew simulate --seed {outcome.plan.seed}" in told
    assert "Python 3." in told
    assert outcome.violation in told


def test_a_summary_names_every_operation_and_every_fault():
    from kew.simulation.batch import Summary

    summary = Summary()
    summary.add(Choice().run(0))
    told = "\n".join(summary_lines(summary))
    for word in ("submit", "settle", "extend", "no-reply", "notice-lost", "store-clock"):
        assert word in told


def test_a_history_that_a_loss_brings_back_is_compared_from_then_on():
    counts = dict.fromkeys(
        ("submitted", "started", "completed", "failed", "lost", "cancelled", "expired"), 0
    )
    counts["submitted"] = 1
    history = SimpleNamespace(counts=lambda _state: dict(counts), trimmed=0)
    queue: Any = SimpleNamespace(indexed=SimpleNamespace(name="q", state=None, history=history))
    with SimulationLoop(0) as loop:
        oracle = History(Facts(plan=SMALL, loop=loop))
    oracle.forgot()  # the store lost the removal of q, which this oracle no longer followed
    assert list(oracle.look(queue, {}, 0, is_busy=False)) == []
    counts["submitted"] = 2
    assert len(list(oracle.look(queue, {}, 0, is_busy=False))) == 1
