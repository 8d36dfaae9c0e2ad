"""The promises under every fault: many seeds, each fault met by each operation, and the same seed the same run.

`KEW_SIMULATION_SEEDS` says how many seeds, in how many processes `KEW_SIMULATION_JOBS`.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kew.simulation.batch import Choice, Summary, run_seeds
from kew.simulation.faults import Fault, Tally
from kew.simulation.features import all_features, workloads
from kew.simulation.plan import ELSEWHERE, draw_plan
from kew.simulation.simulation import Outcome, simulate
from kew.simulation.table import summary_lines
from tests.simulation.rare import run_rare

SEEDS = int(os.environ.get("KEW_SIMULATION_SEEDS", "1000"))
JOBS = int(os.environ.get("KEW_SIMULATION_JOBS", "2"))
REPLAYED = 25
HERE = Path(__file__).parents[2]

OPERATIONS_PER_SEED = 300
PROCESSES_PER_SEED = 3
FAULTS_PER_SEED = 5


pytestmark = pytest.mark.timeout(600)  # on a slow machine that does other things, too


@pytest.mark.no_cover
@pytest.mark.slow(300)
@pytest.mark.timeout(1800)
def test_a_thousand_seeds_break_no_promise_and_every_fault_meets_every_operation(capsys):
    summary = Summary()
    for outcome in run_seeds(range(SEEDS), Choice(), jobs=JOBS):
        summary.add(outcome)
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(summary_lines(summary)) + "\n")
    assert summary.seeds == SEEDS
    assert [(one.plan.seed, one.oracle, one.violation) for one in summary.violations] == []
    faults = Tally(summary.tally.counts)
    more = until_nothing_is_missing(faults)
    assert [(one.plan, one.violation) for one in more if not one.is_good] == []
    assert [f"{fault} of {operation}" for fault, operation in faults.missing()] == []
    assert [one.name for one in all_features() if not summary.happenings[one.name]] == []
    assert sum(summary.operations.values()) / SEEDS >= OPERATIONS_PER_SEED
    assert summary.starts / SEEDS >= PROCESSES_PER_SEED
    assert summary.tally.total / SEEDS >= FAULTS_PER_SEED


def until_nothing_is_missing(faults: Tally) -> Iterator[Outcome]:
    """Runs of what is rare in the mix, whose faults are added, until every fault has met every operation."""
    runs = run_seeds(range(3 * SEEDS // 10), Choice(), jobs=JOBS, run=run_rare)
    while any(faults.missing()) and (outcome := next(runs, None)):
        faults.include(outcome.tally)
        yield outcome


@pytest.mark.no_cover
@pytest.mark.parametrize("name", sorted(set(workloads()) - {"mixed", "crowds"}))
def test_a_narrow_workload_breaks_no_promise(name):
    """Of crowds, which takes longest, test_crowds.py has more."""
    outcomes = run_seeds(range(3), Choice(workload=name))
    assert [one.violation for one in outcomes if not one.is_good] == []


@pytest.mark.no_cover
@pytest.mark.parametrize("name", sorted(set(workloads()) - {"mixed"}))
def test_a_narrow_workload_breaks_no_promise_on_a_store_that_loses_writes(name):
    outcomes = list(run_seeds(range(2), Choice(workload=name, lossy=True)))
    assert [one.violation for one in outcomes if not one.is_good] == []


@pytest.mark.no_cover
@pytest.mark.parametrize(("workload", "seed"), [("mixed", 97), ("mixed", 912), ("keys", 44)])
def test_the_oracles_know_what_waits_for_its_key_or_for_a_costlier_task(workload: str, seed: int):
    outcome = Choice(workload=workload).run(seed)
    assert outcome.is_good, (outcome.oracle, outcome.violation)


def test_a_paused_queue_is_resumed_by_a_process_that_is_alive():
    """Another one had crashed at that instant."""
    outcome = Choice().run(26)
    assert outcome.is_good, (outcome.oracle, outcome.violation)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("seed", "choice"),
    [
        pytest.param(4455, Choice(), id="a step back of the clock, and a key with two rates"),
        pytest.param(4679, Choice(), id="a submit that arrives after the last fault"),
        pytest.param(7537, Choice(), id="a machine that sleeps in a stalled process"),
        pytest.param(20215, Choice(store="partitions"), id="a starved process that is absent"),
        pytest.param(
            76, Choice(workload="replaying", lossy=True), id="a completion that a restart loses"
        ),
    ],
)
def test_what_long_runs_found_stays_mended(seed: int, choice: Choice):
    outcome = choice.run(seed)
    assert outcome.is_good, (outcome.oracle, outcome.violation)


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", [8800085, 6600083, 6600380, 6600384])
def test_a_closure_whose_completion_was_lost_ends(seed: int):
    """It waited for ever, or failed although its code had finished."""
    outcome = Choice(workload="closures", lossy=True).run(seed)
    assert outcome.violation == ""


@pytest.mark.no_cover
def test_a_process_without_a_subscription_is_nearly_as_prompt():
    """What nothing else troubles is judged by how soon it starts."""
    outcomes = list(run_seeds(range(20), Choice(faults=(Fault.DEAF,))))
    assert [one.violation for one in outcomes if not one.is_good] == []
    assert sum(one.tally.of(Fault.DEAF) for one in outcomes) > 20


@pytest.mark.no_cover
def test_machines_that_sleep_far_beyond_their_leases_break_no_promise():
    outcomes = list(run_seeds(range(20), Choice(faults=(Fault.SUSPENDED,))))
    assert [one.violation for one in outcomes if not one.is_good] == []
    assert sum(one.tally.of(Fault.SUSPENDED) for one in outcomes) > 20


@pytest.mark.no_cover
def test_starts_that_fail_at_any_step_keep_no_slot_and_no_lease():
    outcomes = list(run_seeds(range(20), Choice(faults=(Fault.UNSTARTABLE,))))
    assert [one.violation for one in outcomes if not one.is_good] == []
    assert sum(one.tally.of(Fault.UNSTARTABLE) for one in outcomes) > 20


@pytest.mark.no_cover
@pytest.mark.parametrize("workload", ["mixed", "closures", "breaker", "limits"])
def test_a_clock_of_the_store_that_jumps_by_hours_breaks_no_promise(workload: str):
    choice = Choice(workload=workload, faults=(Fault.STORE_LEAP, Fault.KILL, Fault.STALL))
    outcomes = list(run_seeds(range(12), choice))
    assert [one.violation for one in outcomes if not one.is_good] == []
    assert sum(one.tally.of(Fault.STORE_LEAP) for one in outcomes) > 10


@pytest.mark.no_cover
@pytest.mark.parametrize("fault", [Fault.SILENT, Fault.DEMOTED])
def test_connections_that_are_lost_together_break_no_promise(fault: Fault):
    outcomes = list(run_seeds(range(20), Choice(faults=(fault,))))
    assert [one.violation for one in outcomes if not one.is_good] == []
    assert sum(one.tally.of(fault) for one in outcomes) > 50  # those that met a call among them


@pytest.mark.no_cover
def test_a_store_that_forgets_its_last_writes_breaks_no_other_promise():
    outcomes = list(run_seeds(range(60), Choice(lossy=True)))
    assert [one.violation for one in outcomes if not one.is_good] == []
    assert sum(one.tally.of(Fault.FORGET) for one in outcomes) > 0


@pytest.mark.slow(20)
def test_the_same_seed_is_the_same_run_in_every_process():
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.simulation.hashes", str(REPLAYED)],
            cwd=HERE,
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    first, second = [run.communicate(timeout=500)[0].splitlines() for run in runs]
    assert len(first) == REPLAYED
    assert len(set(first)) == REPLAYED
    assert first == second


def test_a_trace_does_not_depend_on_addresses():
    """On this seed a process gives up fifteen submits at once, which used to be kept in a set."""
    choice = Choice(workload="batches", lossy=True)
    first = choice.run(5)
    choice.run(3)  # the next objects have other addresses
    assert choice.run(5).trace_hash == first.trace_hash


def test_a_trace_tells_who_did_what_when_and_changes_nothing():
    told, untold = (simulate(draw_plan(3), keep_trace=keep) for keep in (True, False))
    assert told.trace_hash == untold.trace_hash
    assert untold.trace == ()
    assert all(float(line.split()[0]) >= 0 for line in told.trace)
    assert any("submit" in line and "=queued/0" in line for line in told.trace)
    assert any("is ready" in line for line in told.trace)


def test_a_calm_run_has_no_fault_at_all():
    calm = [seed for seed in range(60) if draw_plan(seed).is_calm]
    assert calm
    outcome = simulate(draw_plan(calm[0]))
    assert outcome.tally.total == 0
    assert outcome.is_good


def test_the_moods_are_mixed_as_they_should_be():
    plans = [draw_plan(seed) for seed in range(2000)]
    calm = sum(plan.is_calm for plan in plans) / len(plans)
    full = sum(plan.faults >= set(ELSEWHERE) for plan in plans) / len(plans)
    assert 0.07 < calm < 0.13
    assert 0.36 < full < 0.44


def test_a_timer_of_a_machine_that_slept_is_never_early_by_a_rounding():
    """This run looked at one lease without end: its timer fired at an instant just short of the one asked for."""
    outcome = Choice(workload="limits", lossy=True).run(53)
    assert outcome.violation == ""
