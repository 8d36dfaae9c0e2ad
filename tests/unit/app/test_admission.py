"""The polite host: how many granted runs may start in one turn of the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from kew.app.working.admission import LARGEST_SLICE, Admission, LoopLag
from kew.app.working.runs import Run
from kew.app.working.slots import Slots
from kew.domain.task import Submission, Task, TaskStatus


class WorkedLoop(asyncio.SelectorEventLoop):
    """A loop whose time also passes by the work that the test says was done."""

    worked = 0.0

    def time(self) -> float:
        return super().time() + self.worked


def some_run(number: int) -> Run:
    call = Submission(
        id=str(number), nonce="n", task_type="t", function="m:f", payload=b"", priority=2
    )
    task = Task(
        call=call, queue="q", status=TaskStatus.PROCESSING, ready_at=0, ticket=number, queued_at=0
    )
    return Run(task, fence_at=1e12, uptime=time.monotonic)


def starts_per_turn(count: int, *, max_lag: float | None, work: float) -> list[int]:
    """How many of `count` runs start in each turn, where each start takes `work` seconds."""
    turns = [0]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, WorkedLoop)
        admission, left = Admission(max_lag), [count]
        over = asyncio.Event()

        def begin(run: Run) -> None:
            loop.worked += work
            turns[-1] += 1
            left[0] -= 1
            if not left[0]:
                over.set()

        def turned() -> None:
            turns.append(0)
            if not over.is_set():
                loop.call_soon(turned)

        loop.call_soon(turned)
        admission.start(begin, [some_run(n) for n in range(count)])
        await over.wait()
        admission.close()

    with asyncio.Runner(loop_factory=WorkedLoop) as runner:
        runner.run(main())
    return [turn for turn in turns if turn]


def test_without_a_bound_everything_starts_at_once() -> None:
    assert starts_per_turn(100, max_lag=None, work=0.01) == [100]


def test_with_a_bound_runs_start_in_slices() -> None:
    turns = starts_per_turn(100, max_lag=1.0, work=0.0)
    assert sum(turns) == 100
    assert len(turns) > 1
    assert max(turns) <= LARGEST_SLICE


def test_the_slice_grows_while_the_loop_keeps_up() -> None:
    turns = starts_per_turn(200, max_lag=10.0, work=0.0)
    assert turns[:4] == sorted(turns[:4])
    assert turns[3] > turns[0]


def test_the_slice_falls_to_one_where_every_start_is_late() -> None:
    turns = starts_per_turn(40, max_lag=0.005, work=0.02)
    assert turns[-5:] == [1, 1, 1, 1, 1]


def test_starts_that_take_half_the_bound_are_not_throttled_to_one() -> None:
    turns = starts_per_turn(60, max_lag=0.1, work=0.01)
    assert max(turns[3:]) > 1


async def test_the_lag_is_measured_while_a_slot_is_in_use() -> None:
    admission, slots = Admission(0.1), Slots("q", 1)
    admission.join(slots)
    slots.granted([some_run(1)])
    admission.start(lambda run: None, [])
    await asyncio.sleep(0.03)
    assert admission.lag._timer is not None
    slots.leave(next(iter(slots)))
    async with asyncio.timeout(30):
        while admission.lag._timer is not None:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


async def test_the_lag_is_measured_only_while_something_runs() -> None:
    wanted = [True]
    lag = LoopLag(lambda: wanted[0])
    lag.measure()
    assert lag._timer is not None
    wanted[0] = False
    async with asyncio.timeout(30):
        while lag._timer is not None:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


def test_the_lag_is_how_late_the_loop_was() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, WorkedLoop)
        lag = LoopLag(lambda: False)
        lag.measure()
        loop.worked += 3.0
        while not lag.last:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)
        return lag.recent_max

    with asyncio.Runner(loop_factory=WorkedLoop) as runner:
        assert 2.9 < runner.run(main()) < 60


@pytest.mark.parametrize("max_lag", [None, 0.01])
def test_where_a_start_is_interrupted_the_others_start_all_the_same(max_lag: float | None):
    loop = asyncio.new_event_loop()
    admission, started = Admission(max_lag), []

    def begin(run: Run) -> None:
        started.append(run.task.call.id)
        if run.task.call.id in ("1", "3"):
            raise KeyboardInterrupt

    async def main() -> None:
        admission.start(begin, [some_run(n) for n in range(5)])

    for work in (main(), asyncio.sleep(0.1), asyncio.sleep(0.1)):
        with contextlib.suppress(KeyboardInterrupt):
            loop.run_until_complete(work)
    loop.run_until_complete(asyncio.sleep(0.1))
    admission.close()
    loop.close()
    assert started == list("01234")
