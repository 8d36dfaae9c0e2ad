"""`simulate` for users: it finds what breaks, says how to see it again, and passes what is right."""

import asyncio
import random
import subprocess
import sys

import pytest

from kew import QueueConfig, TaskContext, TaskQueueManager
from kew.testing import (
    FAULTS,
    Fault,
    NotDrainedError,
    SimulatedManager,
    SimulationFailed,
    SimulationReport,
    simulate,
)

program = TaskQueueManager("redis://nowhere.invalid")
effects: list[str] = []


@program.task(queue="orders")
async def naive(order: str) -> None:
    effects.append(order)
    await asyncio.sleep(0.05)


@program.task(queue="orders")
async def careful(order: str) -> None:
    await asyncio.sleep(0.05)
    if order not in effects:
        effects.append(order)


def setup() -> None:
    effects.clear()


def once_each() -> None:
    assert sorted(effects) == [f"o{n}" for n in range(8)], effects


async def start_up(_manager: SimulatedManager) -> None:
    await program.create_queue(QueueConfig("orders", max_workers=3, max_retries=2))


async def submit_naive(_manager: SimulatedManager) -> None:
    for n in range(8):
        await naive.options(task_id=f"t{n}").submit(f"o{n}")


async def submit_careful(_manager: SimulatedManager) -> None:
    for n in range(8):
        await careful.options(task_id=f"t{n}").submit(f"o{n}")


def try_out(scenario, **options) -> SimulationReport:
    given = {"app": start_up, "setup": setup, "check": once_each, "instead_of": program}
    return simulate(scenario, **{**given, **options})


def failure_of(scenario, **options) -> SimulationFailed:
    with pytest.raises(SimulationFailed) as error:
        try_out(scenario, **options)
    return error.value


# --- what it finds


def test_a_task_that_can_not_be_run_twice_is_found():
    failure = failure_of(submit_naive)
    assert isinstance(failure.error, AssertionError)
    assert f"replay it with simulate(..., seeds=[{failure.seed}])" in str(failure)
    assert any("#2 is processing" in line for line in failure.trace), "a redelivery"


def test_a_task_that_can_be_run_twice_passes_every_seed():
    report = try_out(submit_careful, seeds=60)
    assert (report.seeds, report.tasks) == (60, 480)
    assert report.faults.of(Fault.KILL) > 10
    assert {fault for fault in FAULTS if report.faults.of(fault)} > {Fault.STALL, Fault.LOST_REPLY}
    assert str(report).startswith("60 seeds, ")


def test_the_replay_fails_in_the_same_way():
    first = failure_of(submit_naive)
    again = failure_of(submit_naive, seeds=[first.seed])
    assert (str(again.error), again.trace) == (str(first.error), first.trace)


def test_only_the_faults_that_are_asked_for_happen():
    none = try_out(submit_naive, faults=[], seeds=20)
    assert none.faults.total == 0
    stalls = try_out(submit_careful, faults=["stall"], seeds=20)
    assert 0 < stalls.faults.of(Fault.STALL) == stalls.faults.total


def test_machines_can_be_suspended():
    async def submit_over_minutes(_manager: SimulatedManager) -> None:
        for n in range(8):
            await careful.options(task_id=f"t{n}", defer_by=20.0 * n).submit(f"o{n}")

    report = try_out(submit_over_minutes, faults=["suspended"], seeds=30)
    assert report.faults.of(Fault.SUSPENDED) > 5
    assert report.faults.total == report.faults.of(Fault.SUSPENDED)


@pytest.mark.parametrize("fault", ["kill", "stall"])
def test_one_kind_of_fault_is_enough(fault):
    assert isinstance(failure_of(submit_naive, faults=[fault]).error, AssertionError)


def test_faults_that_nobody_knows_are_refused():
    with pytest.raises(ValueError, match="flood"):
        try_out(submit_naive, faults=["flood"])


# --- what else can go wrong


def test_a_check_that_returns_false_or_is_async_counts():
    async def check() -> bool:
        return not effects

    assert "check() returned False" in str(failure_of(submit_careful, check=check, seeds=1))


def test_an_error_of_the_scenario_is_reported_with_its_seed():
    async def scenario(manager: SimulatedManager) -> None:
        raise KeyError("mine")

    failure = failure_of(scenario, seeds=[5])
    assert failure.seed == 5
    assert isinstance(failure.error, KeyError)


def test_an_error_of_the_start_up_is_reported():
    async def app(manager: SimulatedManager) -> None:
        raise KeyError("no settings")

    assert isinstance(failure_of(submit_careful, app=app).error, KeyError)


def test_a_task_that_never_ends_is_reported_with_the_reason():
    async def scenario(manager: SimulatedManager) -> None:
        await submit_careful(manager)
        await manager.pause_queue("orders")

    failure = failure_of(scenario, faults=[], seeds=[3])
    assert isinstance(failure.error, NotDrainedError)
    assert "the queue is paused" in str(failure)


def test_real_chance_in_a_task_is_told_since_no_seed_replays_it():
    async def scenario(manager: SimulatedManager) -> None:
        effects.append(str(random.random()))

    def check() -> None:
        raise AssertionError(effects[-1])

    failure = failure_of(scenario, check=check, seeds=[1])
    assert "a replay ended differently" in str(failure)


def test_functions_inside_others_are_found_again_by_restarted_processes():
    runs: list[int] = []

    async def app(manager: SimulatedManager) -> None:
        async def local(n: int) -> None:
            await asyncio.sleep(0.05)
            runs.append(TaskContext.current().attempt)

        manager.register(local, name="local")
        await manager.create_queue(QueueConfig("q"))

    async def scenario(manager: SimulatedManager) -> None:
        local = manager._registry.resolve("local").function
        for n in range(4):
            await manager.submit_task(f"t{n}", "q", "t", local, None, n)

    def check() -> None:
        assert len(runs) >= 4

    simulate(scenario, app=app, setup=runs.clear, check=check, seeds=20)


def test_one_seed_is_one_history_in_any_process():
    code = (
        "from tests.simulation.test_testing_simulate import failure_of, submit_naive\n"
        "import hashlib\n"
        "failure = failure_of(submit_naive)\n"
        "print(failure.seed, hashlib.sha256('\\n'.join(failure.trace).encode()).hexdigest())"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=200,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1
    assert told != {""}
