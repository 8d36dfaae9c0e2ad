"""`kew.testing`: a manager on simulated time."""

import asyncio
import inspect
import time
from datetime import UTC, datetime, timedelta

import pytest

from kew import Exponential, QueueConfig, TaskContext, TaskQueueError, TaskQueueManager, TaskStatus
from kew.app.ports import Submit
from kew.domain.requests import Group
from kew.simulation.errors import SimulationDeadlock
from kew.simulation.loop import SimulationLoop
from kew.submitting import BEHIND_HANDLES
from kew.testing import (
    NotDrainedError,
    RealIOForbidden,
    SimulatedManager,
    SimulationError,
    run,
    simulated,
)
from kew.testing.standing_in import METHODS
from tests.support.tasks import call

program = TaskQueueManager("redis://nowhere.invalid")


@program.task(queue="global", max_retries=2)
async def double(n: int) -> int:
    if TaskContext.current().attempt == 1:
        raise ConnectionError("not yet")
    return 2 * n


async def work(n: int = 0) -> int:
    return n


async def fail(text: str) -> None:
    raise ValueError(text)


def left(error: pytest.ExceptionInfo[NotDrainedError]) -> list[tuple[str, list[str]]]:
    """The tasks that are left, with the reasons why they don't run."""
    return [(one.task_id, [str(r.code) for r in one.why.reasons]) for one in error.value.left]


# --- time passes when nothing else is left to do


def test_a_backoff_of_three_days_is_tested_in_milliseconds():
    async def scenario(manager: SimulatedManager) -> timedelta:
        began = manager.clock.now()
        await manager.create_queue(QueueConfig("q", max_retries=2, retry_delay=86_400))
        await manager.submit_task("t", "q", "t", fail, None, "down")
        await manager.drain()
        assert manager.tasks()["t"].status == "failed"
        return manager.clock.now() - began

    began = time.process_time()
    assert run(scenario) == timedelta(days=3)
    assert time.process_time() - began < 0.5, "a few milliseconds, on a machine that is not busy"


def test_the_same_seed_gives_the_same_jitter_and_another_seed_another():
    async def scenario(manager: SimulatedManager) -> datetime:
        backoff = Exponential(base=60, jitter=0.5)
        await manager.create_queue(QueueConfig("q", max_retries=3, backoff=backoff))
        await manager.submit_task("t", "q", "t", fail, None, "down")
        await manager.drain()
        return manager.clock.now()

    assert run(scenario, seed=4) == run(scenario, seed=4)
    assert run(scenario, seed=4) != run(scenario, seed=5)


def test_advance_lets_happen_what_is_due_by_then_and_nothing_later():
    async def scenario(manager: SimulatedManager) -> None:
        began = manager.clock.now()
        await manager.create_queue(QueueConfig("q"))
        for hours in (1, 2, 3):
            await manager.submit_task(
                f"t{hours}", "q", "t", work, None, _defer_by=timedelta(hours=hours)
            )
        for passed in (1, 2, 3):
            await manager.advance(3599.999)
            assert ended(manager) == passed - 1
            await manager.advance(0.001)
            assert ended(manager) == passed
        assert manager.clock.now() == began + timedelta(hours=3)

    def ended(manager: SimulatedManager) -> int:
        return sum(one.status == "completed" for one in manager.tasks().values())

    run(scenario)


def test_many_small_advances_do_not_drift():
    async def scenario(manager: SimulatedManager) -> timedelta:
        began = manager.clock.now()
        for _ in range(5000):
            await manager.advance(0.001)
        return manager.clock.now() - began

    assert run(scenario) == timedelta(seconds=5)


def test_time_does_not_go_back():
    async def scenario(manager: SimulatedManager) -> None:
        await manager.advance(-1)

    with pytest.raises(ValueError, match="takes 0 or more seconds"):
        run(scenario)


def test_a_date_to_defer_until_is_judged_by_the_simulated_clock():
    async def scenario(manager: SimulatedManager) -> None:
        new_year = datetime(2031, 1, 1, tzinfo=UTC)
        await manager.create_queue(QueueConfig("q"))
        await manager.submit_task("t", "q", "t", work, None, _defer_until=new_year)
        await manager.drain()
        assert manager.tasks()["t"].started_time == new_year

    run(scenario, start=datetime(2030, 12, 30, tzinfo=UTC))


def test_an_idle_year_costs_next_to_nothing():
    async def scenario(manager: SimulatedManager) -> int:
        await manager.create_queue(QueueConfig("q"))
        await manager.advance(timedelta(days=365))
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulationLoop)
        return loop.steps

    assert run(scenario) < 10_000


def test_a_scenario_that_waits_for_ever_is_told_so_at_once():
    async def scenario(manager: SimulatedManager) -> None:
        await manager.create_queue(QueueConfig("q"))
        await asyncio.Event().wait()

    with pytest.raises(SimulationDeadlock, match="never happens"):
        run(scenario)


# --- drain


def test_drain_tells_of_a_paused_queue():
    async def scenario(manager: SimulatedManager) -> None:
        await manager.create_queue(QueueConfig("q"))
        await manager.pause_queue("q")
        await manager.submit_task("t", "q", "t", work)
        before = manager.clock.now()
        with pytest.raises(
            NotDrainedError,
            match="1 task has not ended:\n  't' in 'q' is queued: it waits: the queue is paused",
        ) as e:
            await manager.drain()
        assert left(e) == [("t", ["paused"])]
        assert manager.clock.now() - before < timedelta(seconds=1), "it needn't wait to know"
        await manager.resume_queue("q")
        await manager.drain()

    run(scenario)


def test_drain_tells_of_a_function_that_no_process_knows():
    async def scenario(manager: SimulatedManager) -> None:
        await manager.create_queue(QueueConfig("q"))
        elsewhere = Group(submissions=(call("t", function="elsewhere:work"),))
        manager._server.execute(Submit("q", (elsewhere,)), "another program")
        with pytest.raises(NotDrainedError, match="elsewhere:work") as error:
            await manager.drain()
        assert left(error) == [("t", ["function_unknown"])]

    run(scenario)


@pytest.mark.parametrize("stand_in", [None, TaskQueueManager("memory://")])
def test_drain_names_instead_of_unless_it_was_given(stand_in: TaskQueueManager | None):
    async def scenario(manager: SimulatedManager) -> None:
        await manager.create_queue(QueueConfig("q"))
        elsewhere = Group(submissions=(call("t", function="elsewhere:work"),))
        manager._server.execute(Submit("q", (elsewhere,)), "another program")
        with pytest.raises(NotDrainedError) as error:
            await manager.drain()
        assert ("pass instead_of=manager" in str(error.value)) is (stand_in is None)

    run(scenario, instead_of=stand_in)


def test_drain_tells_of_a_queue_that_nobody_works_on():
    async def scenario(manager: SimulatedManager) -> None:
        await manager.create_queue(QueueConfig("q"), work=False)
        await manager.submit_task("t", "q", "t", work)
        with pytest.raises(NotDrainedError) as error:
            await manager.drain()
        assert left(error) == [("t", ["no_process"])]

    run(scenario)


def test_drain_tells_of_what_is_not_due_in_time_and_does_not_wait_for_it():
    async def scenario(manager: SimulatedManager) -> None:
        began = manager.clock.now()
        await manager.create_queue(QueueConfig("q"))
        await manager.submit_task("later", "q", "t", work, None, _defer_by=timedelta(days=9))
        with pytest.raises(NotDrainedError, match="at 2024-01-10 00:00:00 UTC") as error:
            await manager.drain(within=timedelta(days=8))
        assert left(error) == [("later", ["deferred"])]
        assert manager.clock.now() - began < timedelta(seconds=1)
        await manager.drain(within=timedelta(days=9))

    run(scenario)


def test_drain_tells_of_what_still_runs_when_its_time_is_up():
    async def scenario(manager: SimulatedManager) -> None:
        await manager.create_queue(QueueConfig("q", max_workers=1))
        await manager.submit_task("long", "q", "t", asyncio.sleep, None, 600)
        await manager.submit_task("behind", "q", "t", work)
        with pytest.raises(NotDrainedError) as error:
            await manager.drain(within=60)
        assert left(error) == [("long", []), ("behind", ["slots_full"])]

    run(scenario)


def test_drain_tells_of_an_open_breaker_when_its_time_is_up_and_else_waits_for_it():
    async def scenario(manager: SimulatedManager) -> None:
        await manager.create_queue(QueueConfig("q", max_workers=1, max_circuit_breaker_failures=1))
        await manager.submit_task("bad", "q", "t", fail, None, "down")
        await manager.drain()
        await manager.submit_task("good", "q", "t", work)
        with pytest.raises(NotDrainedError) as error:
            await manager.drain(within=30)
        assert left(error) == [("good", ["breaker_open"])]
        await manager.drain()
        assert manager.tasks()["good"].status == "completed"

    run(scenario)


def test_drain_waits_for_what_tasks_submit():
    async def scenario(manager: SimulatedManager) -> None:
        async def parent() -> None:
            await manager.submit_task("child", "q", "t", work, None, _defer_by=3600)

        await manager.create_queue(QueueConfig("q"))
        await manager.submit_task("parent", "q", "t", parent)
        await manager.drain()
        assert [one.status for one in manager.tasks().values()] == ["completed"] * 2

    run(scenario)


# --- what a test wants to know


def test_the_exceptions_of_failed_attempts_are_at_hand_and_hooks_are_called():
    told = []

    async def scenario(manager: SimulatedManager) -> None:
        await manager.create_queue(QueueConfig("q", max_retries=1))
        await manager.submit_task("t", "q", "t", fail, None, "no")
        await manager.drain()
        assert [type(one.error) for one in manager.failures] == [ValueError, ValueError]
        assert [one.task.status for one in manager.failures] == ["retry", "failed"]
        with pytest.raises(ValueError, match="no"):
            raise manager.failures[-1].error

    run(scenario, on_task_fail=lambda info, error: told.append(str(error)))
    assert told == ["no", "no"]


def test_what_the_scenario_returns_and_raises_comes_out():
    async def returns(manager: SimulatedManager) -> int:
        return 7

    async def raises(manager: SimulatedManager) -> None:
        raise KeyError("mine")

    assert run(returns) == 7
    with pytest.raises(KeyError, match="mine"):
        run(raises)


def test_the_programs_own_start_up_is_used():
    async def app(manager: SimulatedManager) -> None:
        await manager.create_queue(QueueConfig("q"), functions=[work])

    async def scenario(manager: SimulatedManager) -> None:
        await manager.submit_task("t", "q", "t", work, None, 5)
        await manager.drain()
        assert manager.tasks()["t"].result == 5

    run(scenario, app=app)


def test_a_managers_decorated_functions_reach_the_simulated_one_and_then_their_own_again():
    async def scenario(manager: SimulatedManager) -> int:
        await program.create_queue(QueueConfig("global"))
        handle = await double.submit(21)
        result = await handle.result()
        assert (await handle.status()).status is TaskStatus.COMPLETED
        assert not await program.cancel_task(handle.task_id)
        assert (await program.get_queue_status("global"))["queued_tasks"] == 0
        assert list(program.queues) == ["global"]
        assert await program.queues["global"].circuit_breaker.check_state()
        return result

    assert run(scenario, instead_of=program) == 42
    assert "_submit_call" not in vars(program)
    assert program.queues == {}


def test_a_decorated_task_of_a_manager_outside_the_simulation_gets_advice():
    async def scenario(manager: SimulatedManager) -> None:
        await double.submit(21)

    with pytest.raises(TaskQueueError, match="pass instead_of=manager"):
        run(scenario)


async def test_outside_a_simulation_the_advice_is_to_initialize():
    with pytest.raises(TaskQueueError, match=r"call `await manager.initialize\(\)` first"):
        await double.submit(21)


def test_every_public_method_of_a_manager_is_passed_on():
    named = {name for name in dir(TaskQueueManager) if not name.startswith("_")}
    properties = {"loop_lag", "namespace", "schedules", "store_address"}
    assert {*named, *BEHIND_HANDLES, "_here"} - properties == set(METHODS)


def test_an_option_that_a_simulated_manager_has_not_is_refused():
    async def scenario(manager: SimulatedManager) -> None:
        raise AssertionError

    with pytest.raises(TypeError, match="no option 'max_concurency'"):
        run(scenario, max_concurency=3)  # type: ignore[call-arg]  # that is the mistake


def test_plain_functions_run_inline_and_take_no_time():
    async def scenario(manager: SimulatedManager) -> None:
        began = manager.clock.now()
        await manager.create_queue(QueueConfig("q"))
        await manager.submit_task("t", "q", "t", abs, None, -3)
        await manager.drain()
        assert manager.tasks()["t"].result == 3
        assert manager.clock.now() == began

    run(scenario)


def test_real_sleeping_is_refused_with_advice():
    async def scenario(manager: SimulatedManager) -> None:
        time.sleep(0.1)  # noqa: ASYNC251 - that is the point

    with pytest.raises(RealIOForbidden, match="await asyncio"):
        run(scenario)


async def test_it_is_not_to_be_called_from_a_running_loop():
    async def scenario(manager: SimulatedManager) -> None: ...

    with pytest.raises(SimulationError, match="plain code"):
        run(scenario)


def test_two_functions_of_one_place_have_two_names():
    async def scenario(manager: SimulatedManager) -> None:
        def make(n: int):
            async def inner() -> int:
                return n

            return inner

        names = [manager.register(make(1)), manager.register(make(2))]
        assert len(set(names)) == 2
        assert all("make.<locals>.inner" in name for name in names)

    run(scenario)


# --- the decorator


@pytest.fixture
def five() -> int:
    return 5


@simulated(start=datetime(2030, 1, 1, tzinfo=UTC))
async def test_a_test_can_be_written_for_the_manager_beside_fixtures(manager, five):
    assert manager.clock.now() == datetime(2030, 1, 1, tzinfo=UTC)
    await manager.create_queue(QueueConfig("q"))
    await manager.submit_task("t", "q", "t", work, None, five)
    await manager.drain()
    assert manager.tasks()["t"].result == five


def test_the_decorated_test_is_a_plain_function_that_fails_as_the_test_does():
    @simulated
    async def wrong(manager: SimulatedManager, other: int) -> None:
        assert other == 2

    assert list(inspect.signature(wrong).parameters) == ["other"]
    wrong(other=2)
    with pytest.raises(AssertionError):
        wrong(other=3)
