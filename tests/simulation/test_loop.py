"""The simulated event loop: one seed decides everything, and time is only a number."""

import asyncio
import gc
import os
import random
import subprocess
import sys
import warnings
from collections.abc import Callable, Coroutine
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

import pytest

from kew.app.spawning import spawn
from kew.simulation.errors import (
    SimulationDeadlock,
    SimulationError,
    SimulationLivelock,
)
from kew.simulation.loop import SimulationLoop
from kew.simulation.policies import PolicyName
from tests.simulation.busy import busy_hash

ROOT = Path(__file__).parents[2]
POLICIES: tuple[PolicyName, ...] = get_args(PolicyName)
THREE_DAYS_S = 3 * 86_400.0

every_policy = pytest.mark.parametrize("policy", POLICIES)


class Violation(Exception):
    """Stands for what an oracle raises."""


def run(
    main: Callable[[SimulationLoop], Coroutine[Any, Any, object]], **options: Any
) -> SimulationLoop:
    """A closed loop that ran this coroutine function."""
    with SimulationLoop(**options) as loop:
        loop.run(main(loop))
    return loop


def busy_hash_elsewhere(seed: int, policy: PolicyName, *, hash_seed: int) -> str:
    """The hash as another process finds it, whose builtin hashes are other ones."""
    command = [sys.executable, "-m", "tests.simulation.busy", str(seed), policy]
    environment = os.environ | {"PYTHONHASHSEED": str(hash_seed)}
    return subprocess.check_output(command, cwd=ROOT, env=environment, text=True).strip()


def order_of_steps(policy: PolicyName, seed: int, *, tasks: int = 6, rounds: int = 40) -> list[int]:
    """Which of several equal tasks ran, step by step."""
    order = []

    async def spin(n: int) -> None:
        for _ in range(rounds):
            order.append(n)
            await asyncio.sleep(0)

    async def main(_loop: SimulationLoop) -> None:
        await asyncio.gather(*(spin(n) for n in range(tasks)))

    run(main, policy=policy, seed=seed)
    return order


def longest_wait(order: list[int]) -> int:
    """The longest run of steps in which one task that was ready did not take one."""
    return max(
        len(list(steps))
        for n in set(order)
        for is_own, steps in groupby(order[: len(order) // 2], key=lambda step: step == n)
        if not is_own
    )


# --- Determinism ---------------------------------------------------------------------------------


@every_policy
def test_a_seed_gives_one_trace_in_processes_with_different_hash_seeds(policy):
    hashes = {busy_hash_elsewhere(7, policy, hash_seed=hash_seed) for hash_seed in (1, 2)}
    assert hashes == {busy_hash(7, policy)}


def test_what_the_process_ran_before_leaves_no_mark_on_the_trace():
    fresh = busy_hash(11, "uniform")
    with SimulationLoop() as other:
        leftovers = [other.create_task(asyncio.sleep(1)) for _ in range(3000)]
        crowded = busy_hash(11, "uniform")
    assert leftovers
    assert crowded == fresh


def test_the_set_of_all_tasks_has_one_order_whatever_else_is_alive():
    def order_of_all_tasks(crowd: int) -> list[int]:
        async def main(loop: SimulationLoop) -> list[int]:
            tasks = []
            for _ in range(40):
                tasks.append(loop.create_task(asyncio.sleep(1)))
                for _ in range(63):
                    loop.create_future()  # so that the hashes of the tasks collide in a set
            return [hash(task) for task in asyncio.all_tasks()]

        with SimulationLoop() as other, SimulationLoop() as loop:
            others = [other.create_task(asyncio.sleep(1)) for _ in range(crowd)]
            order = loop.run(main(loop))
            assert len(others) == crowd
            return order

    orders = [order_of_all_tasks(crowd) for crowd in (0, 7, 50, 400, 3000)]
    assert len(orders[0]) == 41
    assert all(order == orders[0] for order in orders)


@every_policy
def test_other_seeds_give_other_traces(policy):
    hashes = {busy_hash(seed, policy) for seed in range(5)}
    assert len(hashes) == (1 if policy == "fifo" else 5)


def test_tasks_and_futures_hash_by_the_order_of_their_creation():
    async def main(loop: SimulationLoop) -> None:
        made = [loop.create_future(), asyncio.create_task(asyncio.sleep(0)), loop.create_future()]
        assert [hash(one) - hash(made[0]) for one in made] == [0, 1, 2]
        assert len({*made, *made}) == 3
        unnamed = asyncio.create_task(asyncio.sleep(0))
        assert unnamed.get_name() == f"task-{hash(unnamed)}"

    run(main)


def test_a_task_group_cancels_its_children_in_one_order_wherever_they_lie_in_memory():
    def cancelled() -> list[int]:
        order, junk = [], []

        async def child(n: int) -> None:
            try:
                await asyncio.sleep(100)
            finally:
                order.append(n)

        async def main(_loop: SimulationLoop) -> None:
            async with asyncio.TaskGroup() as group:
                for n in range(40):
                    group.create_task(child(n))
                    junk.append(bytearray(random.SystemRandom().randrange(1, 9000)))
                await asyncio.sleep(1)
                raise ValueError

        with pytest.raises(ExceptionGroup):
            run(main, policy="fifo")
        return order

    orders = [cancelled() for _ in range(10)]
    assert sorted(orders[0]) == list(range(40))
    assert all(order == orders[0] for order in orders)


# --- Policies ------------------------------------------------------------------------------------


def test_policies_choose_different_orders():
    orders = [order_of_steps(policy, seed=3) for policy in POLICIES]
    assert all(orders.count(order) == 1 for order in orders)
    assert all(sorted(order) == sorted(orders[0]) for order in orders)


def test_fifo_is_the_order_of_asyncio():
    assert order_of_steps("fifo", seed=1) == [*range(6)] * 40


def test_pct_starves_a_ready_task_for_longer_than_uniform_does():
    for seed in range(10):
        orders = {policy: order_of_steps(policy, seed, rounds=400) for policy in POLICIES}
        waits = {policy: longest_wait(order) for policy, order in orders.items()}
        assert waits["fifo"] < waits["uniform"] < waits["pct"]


def test_pct_lets_callbacks_wait_for_steps_and_steps_for_callbacks():
    def steps_before_the_callback(seed: int) -> int:
        order: list[str] = []

        async def main(loop: SimulationLoop) -> None:
            loop.call_soon(order.append, "callback")
            for _ in range(100):
                order.append("step")
                await asyncio.sleep(0)

        run(main, policy="pct", seed=seed)
        return [*order, "callback"].index("callback")

    waits = [steps_before_the_callback(seed) for seed in range(20)]
    assert min(waits) <= 2
    assert max(waits) > 50


def test_uniform_gives_each_ready_task_an_equal_share():
    order = order_of_steps("uniform", seed=5, rounds=2000)[:6000]
    assert all(850 < order.count(n) < 1150 for n in range(6))


@every_policy
def test_a_task_that_spins_starves_nobody_for_ever(policy):
    async def main(loop: SimulationLoop) -> None:
        done = loop.create_future()
        asyncio.create_task(asyncio.sleep(0)).add_done_callback(done.set_result)
        while not done.done():  # noqa: ASYNC110 - spinning is the point
            await asyncio.sleep(0)

    assert all(run(main, policy=policy, seed=seed).steps < 20_000 for seed in range(20))


@every_policy
def test_plain_callbacks_keep_their_order(policy):
    async def main(loop: SimulationLoop) -> list[object]:
        order: list[object] = []
        victim = asyncio.create_task(asyncio.sleep(10))
        victim.add_done_callback(lambda _task: order.append("done"))
        await asyncio.sleep(1)
        for n in range(10):
            loop.call_soon(order.append, n)
        loop.call_soon(victim.cancel)
        loop.call_soon(lambda: order.append(victim.cancelling()))
        await asyncio.sleep(1)
        return order

    for seed in range(20):
        with SimulationLoop(seed, policy) as loop:
            assert loop.run(main(loop)) == [*range(10), 1, "done"]


# --- Time ----------------------------------------------------------------------------------------


def test_three_days_pass_in_a_handful_of_steps():
    async def main(loop: SimulationLoop) -> None:
        await asyncio.sleep(THREE_DAYS_S)
        assert loop.time() == THREE_DAYS_S

    assert run(main).steps < 10


@every_policy
def test_time_never_goes_back(policy):
    seen: list[float] = []
    draw = random.Random(1)

    def look(loop: SimulationLoop) -> None:
        seen.append(loop.time())
        if len(seen) < 5000:
            calls = [loop.call_at(loop.time() + draw.uniform(-2, 2), look, loop) for _ in range(2)]
            draw.choice(calls).cancel()

    async def main(loop: SimulationLoop) -> None:
        for _ in range(50):
            loop.call_later(draw.random(), look, loop)
        await asyncio.sleep(1_000_000)

    run(main, policy=policy)
    assert seen == sorted(seen)
    assert len(set(seen)) > 100


def test_timers_fire_when_due_and_those_of_one_instant_in_the_order_in_which_they_were_set():
    fired: list[tuple[float, str]] = []

    async def main(loop: SimulationLoop) -> None:
        def fire(name: str) -> None:
            fired.append((loop.time(), name))

        for name, when in (("a", 2.0), ("b", 1.0), ("c", 2.0), ("d", 1.0), ("e", 2.0)):
            loop.call_at(when, fire, name)
        await asyncio.sleep(3)

    run(main)
    assert fired == [(1.0, "b"), (1.0, "d"), (2.0, "a"), (2.0, "c"), (2.0, "e")]


def test_a_cancelled_call_never_comes_and_does_not_hold_time_up():
    async def main(loop: SimulationLoop) -> None:
        loop.call_soon(print).cancel()
        due = loop.call_later(5, print)
        loop.call_later(4, due.cancel)
        await asyncio.sleep(5)
        loop.call_later(1, print).cancel()
        await loop.create_future()

    with SimulationLoop() as loop, pytest.raises(SimulationDeadlock, match=r"t=5\.000000"):
        loop.run(main(loop))
    assert loop.unhandled == []


def test_cancelled_timers_are_dropped_long_before_they_are_due():
    async def main(loop: SimulationLoop) -> None:
        kept = [loop.call_later(n + 1, int) for n in range(10)]
        for _ in range(10_000):
            loop.call_later(3600, int).cancel()
        assert len(loop._timers) < 500
        assert all(any(call is one for _, _, one in loop._timers) for call in kept)
        await asyncio.sleep(0)

    run(main)


def test_a_timer_needs_an_instant():
    with SimulationLoop() as loop, pytest.raises(ValueError, match="NaN"):
        loop.call_later(float("nan"), print)


# --- Runs that can't go on -----------------------------------------------------------------------


def test_a_deadlock_ends_the_run_and_names_who_waits_where():
    async def wait_for_ever(loop: SimulationLoop) -> None:
        await loop.create_future()

    async def main(loop: SimulationLoop) -> None:
        await asyncio.create_task(wait_for_ever(loop), name="the culprit")

    with pytest.raises(SimulationDeadlock, match=r"the culprit in .*wait_for_ever, line \d+"):
        run(main)


def test_a_timer_that_is_never_due_does_not_hide_a_deadlock():
    async def main(_loop: SimulationLoop) -> None:
        await asyncio.sleep(float("inf"))

    with pytest.raises(SimulationDeadlock):
        run(main)


@every_policy
def test_a_livelock_ends_the_run_after_max_steps(policy):
    async def main(_loop: SimulationLoop) -> None:
        while True:  # noqa: ASYNC110 - spinning is the point
            await asyncio.sleep(0)

    with SimulationLoop(policy=policy, max_steps=5000) as loop:
        with pytest.raises(SimulationLivelock, match=r"5000 steps by t=0\.000000"):
            loop.run(main(loop))
        assert loop.steps == 5000


def test_a_fatal_error_in_a_task_ends_the_run_before_anything_else_happens():
    later: list[str] = []

    async def violate() -> None:
        await asyncio.sleep(1)
        raise Violation("in a task")

    async def main(loop: SimulationLoop) -> None:
        loop.call_later(1.5, later.append, "timer")
        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(violate())
        later.append("caught")

    with pytest.raises(Violation, match="in a task"):
        run(main, fatal=(Violation,))
    assert later == []


def test_a_fatal_error_in_a_callback_ends_the_run():
    def violate() -> None:
        raise Violation("in a callback")

    async def main(loop: SimulationLoop) -> None:
        loop.call_later(1, violate)
        await asyncio.sleep(2)
        pytest.fail("the run went on")

    with pytest.raises(Violation, match="in a callback"):
        run(main, fatal=(Violation,))


def test_a_failure_that_the_code_swallows_ends_the_run_all_the_same():
    async def main(loop: SimulationLoop) -> None:
        try:
            loop.fail(Violation("first"))
            loop.fail(Violation("second"))
        except Violation:
            pytest.fail("fail() does not raise")
        await asyncio.sleep(0)
        pytest.fail("the run went on")

    with SimulationLoop() as loop:
        with pytest.raises(Violation, match="first"):
            loop.run(main(loop))
        steps = loop.steps
        with pytest.raises(Violation, match="first"):
            loop.run(asyncio.sleep(0))
        assert loop.steps == steps


def test_an_error_in_a_callback_that_is_not_fatal_is_kept_and_the_run_goes_on():
    def mistake() -> None:
        raise KeyError("callback")

    async def main(loop: SimulationLoop) -> None:
        loop.call_later(1, mistake)
        await asyncio.sleep(2)

    loop = run(main, fatal=(Violation,), keep_trace=True)
    assert [(one.at, type(one.error)) for one in loop.unhandled] == [(1, KeyError)]
    assert loop.trace == ["1.000000 world unhandled KeyError"]


def test_a_task_that_failed_is_unhandled_until_someone_looks():
    async def mistake() -> None:
        await asyncio.sleep(1)
        raise IndexError

    async def main(loop: SimulationLoop) -> None:
        task = loop.create_task(mistake(), name="background")
        loop.create_task(mistake(), name="forgotten")
        await asyncio.sleep(2)
        assert {one.message for one in loop.unhandled} == {
            "background failed unseen",
            "forgotten failed unseen",
        }
        assert [one.at for one in loop.unhandled] == [1, 1]
        with pytest.raises(IndexError):
            await task
        for _ in range(5000):
            await asyncio.sleep(0)
        assert [one.message for one in loop.unhandled] == ["forgotten failed unseen"]
        assert len(loop._failed_tasks) == 1
        raise Violation

    with SimulationLoop() as loop:
        with pytest.raises(Violation):
            loop.run(main(loop))
        assert [one.message for one in loop.unhandled] == ["forgotten failed unseen"]


def test_an_exception_handler_of_ones_own_gets_the_errors():
    contexts = []

    async def main(loop: SimulationLoop) -> None:
        loop.set_exception_handler(lambda _loop, context: contexts.append(context))
        loop.call_soon(int, "x")
        await asyncio.sleep(1)

    assert run(main).unhandled == []
    assert [type(context["exception"]) for context in contexts] == [ValueError]


def test_what_main_raises_comes_out_of_run():
    async def main(_loop: SimulationLoop) -> None:
        raise Violation("from main")

    with pytest.raises(Violation, match="from main"):
        run(main)


# --- The trace -----------------------------------------------------------------------------------


def trace_hash_of(*, word="same", name="same", rename=False, delay=1.0, extra_step=False) -> str:
    async def main(loop: SimulationLoop) -> None:
        loop.note(word)
        task = asyncio.create_task(asyncio.sleep(delay), name=name)
        if rename:
            task.set_name("renamed")
        await task
        if extra_step:
            await asyncio.sleep(0)

    return run(main).trace_hash()


def test_the_hash_covers_notes_names_times_and_steps():
    assert trace_hash_of() == trace_hash_of()
    others = [
        trace_hash_of(word="other"),
        trace_hash_of(name="other"),
        trace_hash_of(rename=True),
        trace_hash_of(delay=1.000001),
        trace_hash_of(extra_step=True),
    ]
    assert len({trace_hash_of(), *others}) == 6


def test_looking_at_the_hash_during_a_run_does_not_change_it():
    def hash_of(*, look: bool) -> str:
        async def main(loop: SimulationLoop) -> None:
            for n in range(10):
                loop.note(n)
                await asyncio.sleep(n % 2)
                if look:
                    loop.trace_hash()

        return run(main).trace_hash()

    assert hash_of(look=True) == hash_of(look=False)


def test_a_trace_of_many_steps_within_one_instant_is_hashed_as_it_goes():
    async def main(loop: SimulationLoop) -> None:
        for _ in range(20_000):
            await asyncio.sleep(0)
        assert len(loop._trace.steps) < 10_000

    run(main)


def test_notes_are_kept_as_lines_only_if_asked():
    async def main(loop: SimulationLoop) -> None:
        await asyncio.sleep(1.5)
        loop.note("claimed", "job", 7)

    assert run(main, keep_trace=True).trace == ["1.500000 world claimed job 7"]
    assert run(main).trace == []


# --- Beginning and end ---------------------------------------------------------------------------


def test_a_second_run_goes_on_where_the_first_stopped():
    with SimulationLoop() as loop:
        sleeper = loop.create_task(asyncio.sleep(5, "woke"))
        assert loop.run(asyncio.sleep(3, "first")) == "first"
        assert loop.run_until_complete(sleeper) == "woke"
        assert loop.time() == 5


def test_a_loop_that_is_stopped_early_says_so():
    async def main(loop: SimulationLoop) -> None:
        loop.stop()
        await asyncio.sleep(1)

    with pytest.raises(SimulationError, match="stopped before"):
        run(main)


def test_what_never_ended_stays_as_it_was_until_the_loop_is_closed():
    exits = []

    async def wait(reply: asyncio.Future[None]) -> None:
        try:
            await reply
        finally:
            exits.append("finally")

    async def main(loop: SimulationLoop) -> None:
        loop.create_task(wait(loop.create_future()))
        await asyncio.sleep(1)

    with SimulationLoop() as loop:
        loop.run(main(loop))
        gc.collect()
        assert exits == []
    assert exits == ["finally"]


@pytest.mark.parametrize("by", ["kew", "the loop"])
def test_what_is_begun_while_a_loop_is_closed_is_closed_in_silence(by: str):
    """The error of the refused call is kept in a cycle, and the coroutine with it."""
    loop = SimulationLoop()
    start = spawn if by == "kew" else loop.create_task

    async def work() -> None:
        """It never begins."""

    async def last_words() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            kept: list[object] = []
            begun = work()
            try:
                start(begun)
            except (SimulationError, RuntimeError) as error:
                kept += [error, kept]

    async def main() -> None:
        loop.create_task(last_words())
        await asyncio.sleep(1)

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        loop.run(main())
        loop.close()
        gc.collect()
    assert [str(one.message) for one in seen] == []


def test_a_closed_loop_takes_no_more_calls():
    loop = run(lambda _loop: asyncio.sleep(0))
    loop.close()
    assert loop.is_closed()
    with pytest.raises(SimulationError, match="closed"):
        loop.call_soon(print)
    with pytest.raises(SimulationError, match="closed"):
        loop.run_forever()


def test_a_running_loop_can_neither_be_run_nor_closed_from_within():
    async def main(loop: SimulationLoop) -> None:
        with pytest.raises(SimulationError, match="running"):
            loop.close()
        with pytest.raises(SimulationError, match="running"):
            loop.run_forever()
        with SimulationLoop() as inner, pytest.raises(SimulationError, match="running"):
            inner.run_forever()
        assert asyncio.get_running_loop() is loop

    run(main)


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_after_a_run_the_interpreter_is_as_it_was(error):
    gc.enable()
    before = sys.get_asyncgen_hooks(), asyncio.all_tasks

    async def main(_loop: SimulationLoop) -> None:
        assert not gc.isenabled()
        if error is not None:
            raise error

    if error is None:
        run(main)
    else:
        with pytest.raises(error):
            run(main)
    assert (sys.get_asyncgen_hooks(), asyncio.all_tasks) == before
    assert gc.isenabled()
    assert asyncio._get_running_loop() is None
