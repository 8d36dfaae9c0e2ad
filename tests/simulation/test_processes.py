"""Simulated processes: killed, stalled, with clocks that are wrong."""

import asyncio
import contextlib
import gc
import math
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextvars import ContextVar
from typing import Any, get_args

import pytest

from kew.simulation.errors import SimulationDeadlock, SimulationError
from kew.simulation.loop import SimulationLoop
from kew.simulation.policies import PolicyName
from kew.simulation.processes import EPOCH_S, SimulatedProcess, crash, current_process

every_policy = pytest.mark.parametrize("policy", get_args(PolicyName))


def run(
    main: Callable[[SimulationLoop], Coroutine[Any, Any, object]], **options: Any
) -> SimulationLoop:
    """A loop that ran this coroutine function, and is not closed yet."""
    loop = SimulationLoop(**options)
    loop.run(main(loop))
    return loop


async def tick_every_second(times: list[float]) -> None:
    while True:
        times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(1)


async def note_every_exit(done: list[str], awaited: "asyncio.Future[None] | None" = None) -> None:
    """Ends of every kind that a killed process must not reach."""
    try:
        async with asyncio.timeout(100), asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(200))
            await (awaited or asyncio.sleep(50))
            done.append("went on")
    except BaseException as error:
        done.append(type(error).__name__)
        raise
    finally:
        done.append("finally")


# --- Killing -------------------------------------------------------------------------------------


@every_policy
def test_a_killed_process_runs_nothing_again_no_except_and_no_finally(policy):
    done: list[str] = []

    async def main(loop: SimulationLoop) -> None:
        process = SimulatedProcess(loop, "p")
        replied = loop.create_future()
        tasks = [process.spawn(note_every_exit(done, wait), name="x") for wait in (None, replied)]
        await asyncio.sleep(1)
        process.kill()
        replied.set_result(None)
        tasks[0].cancel()
        await asyncio.sleep(1000)
        assert not any(task.done() for task in tasks)

    loop = run(main, policy=policy)
    assert done == []
    loop.close()
    assert done.count("finally") == 2, "Python closes them in the end"


def test_dropping_what_a_killed_process_held_finalises_nothing_during_the_run():
    done: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for n in range(10):
                yield n
        finally:
            done.append("generator")

    async def consume() -> None:
        async for _ in numbers():
            await asyncio.sleep(1)

    async def wait(reply: asyncio.Future[None]) -> None:
        try:
            await reply
        finally:
            done.append("reply")

    async def main(loop: SimulationLoop) -> None:
        process = SimulatedProcess(loop, "p")
        lost = loop.create_future()
        process.spawn(wait(lost), name="waits for a reply")
        process.spawn(note_every_exit(done), name="sleeps")
        process.spawn(consume(), name="iterates")
        await asyncio.sleep(2.5)
        process.kill()
        del lost, process
        await asyncio.sleep(1000)
        gc.collect()

    loop = run(main)
    assert done == []
    loop.close()


def test_what_a_timer_of_a_killed_process_holds_is_finalised_after_the_run():
    finalised: list[str] = []

    class Resource:
        def __del__(self) -> None:
            finalised.append("resource")

        def use(self) -> None: ...

    async def set_timer(loop: SimulationLoop) -> None:
        loop.call_later(5, Resource().use)

    async def main(loop: SimulationLoop) -> None:
        process = SimulatedProcess(loop, "p")
        await process.spawn(set_timer(loop), name="set timer")
        process.kill()
        await asyncio.sleep(10)

    loop = run(main)
    assert finalised == []
    loop.close()
    assert finalised == ["resource"]


def test_a_process_can_crash_from_within():
    done = []

    async def crashing() -> None:
        try:
            await crash()
            done.append("went on")
        finally:
            done.append("finally")

    async def main(loop: SimulationLoop) -> None:
        process = SimulatedProcess(loop, "p")
        process.spawn(crashing(), name="crashing")
        process.spawn(tick_every_second(ticks), name="bystander")
        await asyncio.sleep(10)
        assert not process.is_alive

    ticks: list[float] = []
    loop = run(main)
    assert done == []
    assert len(ticks) <= 1
    loop.close()


def test_only_a_process_can_crash():
    with SimulationLoop() as loop, pytest.raises(SimulationError, match="spawn"):
        loop.run(crash())


def test_other_processes_and_the_world_go_on_when_one_is_killed():
    ticks: dict[str, list[float]] = {"killed": [], "other": [], "restarted": []}

    async def main(loop: SimulationLoop) -> None:
        killed, other = SimulatedProcess(loop, "p"), SimulatedProcess(loop, "q")
        killed.spawn(tick_every_second(ticks["killed"]), name="tick")
        other.spawn(tick_every_second(ticks["other"]), name="tick")
        await asyncio.sleep(2.5)
        killed.kill()
        restarted = SimulatedProcess(loop, "p", killed.incarnation + 1)
        restarted.spawn(tick_every_second(ticks["restarted"]), name="tick")
        await asyncio.sleep(2)

    run(main).close()
    assert ticks == {"killed": [0, 1, 2], "other": [0, 1, 2, 3, 4], "restarted": [2.5, 3.5]}


def test_a_killed_process_starts_nothing():
    async def main(loop: SimulationLoop) -> None:
        process = SimulatedProcess(loop, "p")
        process.kill()
        with pytest.raises(SimulationError, match=r"p\.0 was killed"):
            process.spawn(asyncio.sleep(1), name="late")

    run(main).close()


def test_a_run_in_which_everyone_is_dead_is_a_deadlock():
    async def main(loop: SimulationLoop) -> None:
        process = SimulatedProcess(loop, "p")
        task = process.spawn(tick_every_second([]), name="tick")
        loop.call_later(3, process.kill)
        await task

    with SimulationLoop() as loop, pytest.raises(SimulationDeadlock, match=r"p\.0/tick"):
        loop.run(main(loop))


# --- Closing in silence --------------------------------------------------------------------------


def test_closing_is_silent_whatever_the_abandoned_code_does(capsys, monkeypatch):
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)

    async def stubborn() -> None:
        for delay_s in (1000, 0, 0, 0):
            with contextlib.suppress(GeneratorExit):
                await asyncio.sleep(delay_s)

    async def starts_more(loop: SimulationLoop) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            loop.note("too late")
            loop.call_soon(pytest.fail)

    async def spawns_more(loop: SimulationLoop) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.create_task(asyncio.sleep(1))

    async def main(loop: SimulationLoop) -> None:
        process = SimulatedProcess(loop, "p")
        for coro in (stubborn(), starts_more(loop), spawns_more(loop)):
            process.spawn(coro, name="abandoned")
        await asyncio.sleep(1)
        process.spawn(asyncio.sleep(1), name="never started")
        process.kill()

    loop = run(main, keep_trace=True)
    before = loop.trace_hash()
    loop.close()
    assert loop.trace_hash() == before
    assert loop.trace == []
    gc.collect()
    assert loop.unhandled == []
    del loop
    gc.collect()
    assert unraisable == []
    assert capsys.readouterr() == ("", "")


# --- Stalling ------------------------------------------------------------------------------------


@every_policy
def test_a_stalled_process_does_nothing_until_it_thaws_and_then_goes_on(policy):
    ticks: list[float] = []

    async def main(loop: SimulationLoop) -> None:
        process = SimulatedProcess(loop, "p")
        process.spawn(tick_every_second(ticks), name="tick")
        await asyncio.sleep(2.5)
        process.stall(10)
        await asyncio.sleep(11.75)

    run(main, policy=policy).close()
    assert ticks == [0, 1, 2, 12.5, 13.5]


def test_messages_to_a_stalled_process_wait_for_it():
    async def main(loop: SimulationLoop) -> None:
        process = SimulatedProcess(loop, "p")
        reply = loop.create_future()
        seen = loop.create_future()

        async def wait() -> None:
            seen.set_result((await reply, loop.time()))

        process.spawn(wait(), name="wait")
        await asyncio.sleep(1)
        process.stall(5)
        await asyncio.sleep(1)
        reply.set_result("answer")
        assert await seen == ("answer", 6)

    run(main).close()


def test_overlapping_stalls_last_until_the_latest_end():
    ticks: list[float] = []

    async def main(loop: SimulationLoop) -> None:
        process = SimulatedProcess(loop, "p")
        process.spawn(tick_every_second(ticks), name="tick")
        await asyncio.sleep(0.5)
        process.stall(2)
        process.stall(8)
        process.stall(3)
        await asyncio.sleep(9.5)

    run(main).close()
    assert ticks == [0, 8.5, 9.5]


def test_a_process_that_stalls_itself_thaws_too():
    async def pause(loop: SimulationLoop, process: SimulatedProcess) -> float:
        process.stall(5)
        await asyncio.sleep(1)
        return loop.time()

    async def main(loop: SimulationLoop) -> None:
        process = SimulatedProcess(loop, "p")
        assert await process.spawn(pause(loop, process), name="pause") == 5

    run(main).close()


def test_a_stall_without_end_lasts_until_someone_thaws_the_process():
    ticks: list[float] = []

    async def main(loop: SimulationLoop) -> None:
        process = SimulatedProcess(loop, "p")
        process.spawn(tick_every_second(ticks), name="tick")
        await asyncio.sleep(0.5)
        process.stall(math.inf)
        await asyncio.sleep(1000)
        process.thaw()
        await asyncio.sleep(0.5)
        process.stall(3)
        await asyncio.sleep(1)
        process.thaw()
        await asyncio.sleep(0.5)

    run(main).close()
    assert ticks == [0, 1000.5, 1002]


def test_a_process_killed_in_a_stall_does_not_come_back():
    ticks: list[float] = []

    async def note(reply: "asyncio.Future[float]") -> None:
        ticks.append(await reply)

    async def main(loop: SimulationLoop) -> None:
        process = SimulatedProcess(loop, "p")
        reply = loop.create_future()
        process.spawn(tick_every_second(ticks), name="tick")
        process.spawn(note(reply), name="note")
        await asyncio.sleep(0.5)
        process.stall(5)
        await asyncio.sleep(2)
        process.kill()
        process.thaw()
        process.stall(1)
        await asyncio.sleep(100)
        reply.set_result(100)
        await asyncio.sleep(1)

    run(main).close()
    assert ticks == [0]


# --- Suspended machines ----------------------------------------------------------------------------


@every_policy
def test_the_clock_and_the_timers_of_a_suspended_process_stand_still(policy):
    ticks: list[float] = []
    clocks: list[tuple[float, ...]] = []

    async def look(loop: SimulationLoop, process: SimulatedProcess) -> None:
        times = loop.time(), process.monotonic(), process.uptime()
        clocks.append(tuple(round(time, 6) for time in times))

    async def main(loop: SimulationLoop) -> None:
        process, other = SimulatedProcess(loop, "p"), SimulatedProcess(loop, "other")
        process.spawn(tick_every_second(ticks), name="tick")
        await asyncio.sleep(2.5)
        process.suspend(10)
        await asyncio.sleep(11.75)
        assert loop.time() == loop.world_time() == pytest.approx(14.25)
        await process.spawn(look(loop, process), name="look")
        await other.spawn(look(loop, other), name="look")

    run(main, policy=policy).close()
    assert ticks == pytest.approx([0, 1, 2, 3, 4])
    assert clocks == [(4.25, 4.25, 14.25), (14.25, 14.25, 14.25)]


def test_what_became_ready_while_a_machine_slept_runs_before_its_timers():
    seen: list[tuple[str, float]] = []

    async def main(loop: SimulationLoop) -> None:
        process = SimulatedProcess(loop, "p")
        reply = loop.create_future()

        async def wait() -> None:
            await reply
            seen.append(("reply", round(loop.world_time(), 6)))

        async def be_late() -> None:
            await asyncio.sleep(2)
            seen.append(("timer", round(loop.world_time(), 6)))

        process.spawn(wait(), name="wait")
        process.spawn(be_late(), name="late")
        await asyncio.sleep(1)
        process.suspend(60)
        await asyncio.sleep(30)
        reply.set_result(None)
        await asyncio.sleep(40)

    run(main).close()
    assert seen == [("reply", 61), ("timer", 62)]


def test_a_timer_that_is_set_for_a_sleeping_process_comes_that_much_after_it_woke():
    fired: list[float] = []

    async def main(loop: SimulationLoop) -> None:
        process = SimulatedProcess(loop, "p")
        process.suspend(60)
        await asyncio.sleep(10)
        loop.call_later(5, lambda: fired.append(loop.world_time()), context=process.context)
        await asyncio.sleep(100)

    run(main).close()
    assert fired == pytest.approx([65])


def test_a_timer_that_was_nearly_due_when_the_machine_fell_asleep_costs_nothing_until_it_wakes():
    fired: list[float] = []

    async def main(loop: SimulationLoop) -> None:
        process = SimulatedProcess(loop, "p")
        loop.call_later(1 + 1e-7, lambda: fired.append(loop.world_time()), context=process.context)
        await asyncio.sleep(1)
        process.suspend(300)
        await asyncio.sleep(50)
        assert fired == []
        process.thaw()
        await asyncio.sleep(1)

    run(main).close()
    assert fired == pytest.approx([51])


def test_a_killed_process_does_not_wake():
    ticks: list[float] = []

    async def main(loop: SimulationLoop) -> None:
        process = SimulatedProcess(loop, "p")
        process.spawn(tick_every_second(ticks), name="tick")
        await asyncio.sleep(1.5)
        process.suspend(5)
        process.kill()
        process.suspend(5)
        await asyncio.sleep(20)

    run(main).close()
    assert ticks == [0, 1]


# --- Clocks --------------------------------------------------------------------------------------


def test_clocks_of_a_process_are_off_and_jump_but_its_monotonic_clock_only_goes_on():
    async def main(loop: SimulationLoop) -> None:
        right, wrong = (
            SimulatedProcess(loop, "p"),
            SimulatedProcess(loop, "q", skew_s=-40, monotonic_offset_s=1000),
        )
        await asyncio.sleep(10)
        assert (right.wall_time(), right.monotonic()) == (EPOCH_S + 10, 10)
        assert (wrong.wall_time(), wrong.monotonic()) == (EPOCH_S - 30, 1010)
        wrong.skew_s += 3600
        wrong.stall(5)
        await asyncio.sleep(1)
        assert (wrong.wall_time(), wrong.monotonic()) == (EPOCH_S + 3571, 1011)

    run(main).close()


# --- Belonging -----------------------------------------------------------------------------------


def test_whatever_a_process_starts_belongs_to_it():
    seen: list[SimulatedProcess | None] = []

    def look(*_args: object) -> None:
        seen.append(current_process())

    async def child() -> None:
        look()

    async def parent(loop: SimulationLoop) -> None:
        look()
        loop.call_soon(look)
        loop.call_later(1, look)
        task = asyncio.create_task(child())
        task.add_done_callback(look)
        await asyncio.gather(task, child())
        await asyncio.sleep(2)

    async def main(loop: SimulationLoop) -> None:
        process = SimulatedProcess(loop, "p", 3)
        await process.spawn(parent(loop), name="parent")
        assert seen == [process] * 6
        assert current_process() is None

    run(main).close()


def test_a_process_inherits_nothing_from_who_starts_it_but_what_its_own_context_holds():
    variable = ContextVar("variable", default="unset")

    async def look() -> str:
        return variable.get()

    async def main(loop: SimulationLoop) -> None:
        process = SimulatedProcess(loop, "p")
        variable.set("the caller's")
        assert await process.spawn(look(), name="look") == "unset"
        process.context.run(variable.set, "its own")
        assert await process.spawn(look(), name="look") == "its own"

    run(main).close()


def test_traces_and_tasks_carry_the_name_and_incarnation_of_their_process():
    async def work(loop: SimulationLoop) -> None:
        loop.note("claims")

    async def main(loop: SimulationLoop) -> None:
        process = SimulatedProcess(loop, "p", 2)
        task = process.spawn(work(loop), name="worker")
        assert task.get_name() == "p.2/worker"
        assert repr(process) == "<SimulatedProcess p.2 running>"
        await task

    loop = run(main, keep_trace=True)
    assert loop.trace == ["0.000000 p.2 claims"]
    loop.close()
