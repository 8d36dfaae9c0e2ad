"""What asyncio promises holds on the simulated loop as on the normal one, whatever the policy and the seed."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import get_args

import pytest

from kew.simulation.errors import SimulationError
from kew.simulation.loop import SimulationLoop
from kew.simulation.policies import PolicyName
from kew.simulation.tasks import SimulatedTask

SOON_S, LATE_S = 0.001, 1000.0

needs_eager_tasks = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="eager tasks came with Python 3.12"
)


def this_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def sleep_and_return(value: object, delay_s: float = SOON_S) -> object:
    await asyncio.sleep(delay_s)
    return value


async def sleep_and_raise(error: Exception) -> None:
    await asyncio.sleep(SOON_S)
    raise error


# --- Programs whose outcome no order of steps may change -----------------------------------------


async def timeout_expires() -> object:
    try:
        async with asyncio.timeout(SOON_S):
            await asyncio.sleep(LATE_S)
    except TimeoutError:
        return "expired", this_task().cancelling()
    return "not expired"


async def timeout_does_not_expire() -> object:
    async with asyncio.timeout(LATE_S) as timeout:
        return await sleep_and_return("in time"), timeout.expired()


async def inner_timeout_leaves_the_outer_alone() -> object:
    seen = []
    async with asyncio.timeout(LATE_S):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SOON_S):
                await asyncio.sleep(LATE_S)
        seen.append("went on")
    return seen


async def wait_for_expires() -> object:
    try:
        await asyncio.wait_for(asyncio.sleep(LATE_S), SOON_S)
    except TimeoutError:
        return "expired"
    return "not expired"


async def task_group_returns() -> object:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(sleep_and_return(n)) for n in range(10)]
    return [task.result() for task in tasks]


async def task_group_fails() -> object:
    sleepers: list[asyncio.Task[None]] = []
    try:
        async with asyncio.TaskGroup() as group:
            sleepers.append(group.create_task(asyncio.sleep(LATE_S)))
            group.create_task(sleep_and_raise(ValueError("one")))
    except ExceptionGroup as errors:
        return sleepers[0].cancelled(), [repr(error) for error in errors.exceptions]
    return "not failed"


async def gather_returns_in_order() -> object:
    return await asyncio.gather(*(sleep_and_return(n, SOON_S * (9 - n)) for n in range(10)))


async def gather_collects_errors() -> object:
    results = await asyncio.gather(
        sleep_and_return(1), sleep_and_raise(KeyError("x")), return_exceptions=True
    )
    return [repr(result) for result in results]


async def wait_for_the_first() -> object:
    tasks = [asyncio.create_task(sleep_and_return(n, n and LATE_S)) for n in range(3)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.wait(pending)
    return [task.result() for task in done], len(pending), all(one.cancelled() for one in pending)


async def as_completed_yields_all() -> object:
    waiting = asyncio.as_completed([sleep_and_return(n) for n in "abc"])
    return sorted([str(await one) for one in waiting])


async def shield_survives_its_caller() -> object:
    release = asyncio.Event()
    inner = asyncio.create_task(release.wait())
    outer = asyncio.create_task(asyncio.wait_for(asyncio.shield(inner), LATE_S))
    await asyncio.sleep(SOON_S)
    outer.cancel()
    await asyncio.wait([outer])
    release.set()
    return outer.cancelled(), await inner


async def event_wakes_all() -> object:
    event = asyncio.Event()
    waiters = [asyncio.create_task(event.wait()) for _ in range(5)]
    await asyncio.sleep(SOON_S)
    event.set()
    return await asyncio.gather(*waiters)


async def queue_loses_nothing() -> object:
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=2)
    taken: list[int] = []

    async def consume() -> None:
        while True:
            taken.append(await queue.get())
            await asyncio.sleep(0)
            queue.task_done()

    consumers = [asyncio.create_task(consume()) for _ in range(3)]
    for n in range(50):
        await queue.put(n)
    await queue.join()
    for consumer in consumers:
        consumer.cancel()
    await asyncio.wait(consumers)
    return sorted(taken)


async def condition_hands_over() -> object:
    condition = asyncio.Condition()
    stock: list[int] = []
    taken: list[int] = []

    async def take() -> None:
        async with condition:
            await condition.wait_for(lambda: stock)
            taken.append(stock.pop())

    takers = [asyncio.create_task(take()) for _ in range(5)]
    for n in range(5):
        await asyncio.sleep(0)
        async with condition:
            stock.append(n)
            condition.notify()
    await asyncio.wait(takers)
    return sorted(taken)


async def semaphore_bounds() -> object:
    semaphore = asyncio.Semaphore(2)
    inside, most = 0, 0

    async def enter() -> None:
        nonlocal inside, most
        async with semaphore:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(SOON_S)
            inside -= 1

    await asyncio.gather(*(enter() for _ in range(7)))
    return most, inside


async def lock_excludes() -> object:
    lock, count = asyncio.Lock(), 0

    async def increment() -> None:
        nonlocal count
        async with lock:
            before = count
            await asyncio.sleep(0)
            count = before + 1

    await asyncio.gather(*(increment() for _ in range(20)))
    return count


async def cancellation_runs_finally_and_comes_out() -> object:
    seen = []

    async def work() -> None:
        try:
            await asyncio.sleep(LATE_S)
        except asyncio.CancelledError as error:
            seen.append(("cancelled", error.args))
            raise
        finally:
            await asyncio.sleep(0)
            seen.append(("finally", ()))

    task = asyncio.create_task(work())
    await asyncio.sleep(SOON_S)
    seen.append(("cancel", (task.cancel("because"),)))
    await asyncio.wait([task])
    return seen, task.cancelled(), task.cancel()


async def a_task_cancelled_before_its_first_step_never_starts() -> object:
    seen: list[str] = []

    async def work() -> None:
        seen.append("started")

    task = asyncio.create_task(work())
    task.cancel()
    await asyncio.wait([task])
    return seen, task.cancelled()


async def refused_cancellation_returns() -> object:
    async def work() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(LATE_S)
        return f"uncancelled to {this_task().uncancel()}"

    task = asyncio.create_task(work())
    await asyncio.sleep(SOON_S)
    task.cancel()
    return await task


async def async_generator_is_closed() -> object:
    seen: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for n in range(10):
                yield n
        finally:
            await asyncio.sleep(0)
            seen.append("closed")

    async for n in numbers():
        if n == 3:
            break
    await asyncio.sleep(SOON_S)
    return seen


async def timers_fire_once_in_order() -> object:
    loop = asyncio.get_running_loop()
    fired: list[str] = []
    for name, delay_s in (("b", SOON_S * 20), ("a", 0), ("c", SOON_S * 40), ("past", -5)):
        loop.call_later(delay_s, fired.append, name)
    loop.call_at(loop.time() + SOON_S * 30, fired.append, "never").cancel()
    await asyncio.sleep(SOON_S * 60)
    return sorted(fired[:2]), fired[2:]


PROGRAMS: list[Callable[[], Awaitable[object]]] = [
    timeout_expires,
    timeout_does_not_expire,
    inner_timeout_leaves_the_outer_alone,
    wait_for_expires,
    task_group_returns,
    task_group_fails,
    gather_returns_in_order,
    gather_collects_errors,
    wait_for_the_first,
    as_completed_yields_all,
    shield_survives_its_caller,
    event_wakes_all,
    queue_loses_nothing,
    condition_hands_over,
    semaphore_bounds,
    lock_excludes,
    cancellation_runs_finally_and_comes_out,
    a_task_cancelled_before_its_first_step_never_starts,
    refused_cancellation_returns,
    async_generator_is_closed,
    timers_fire_once_in_order,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_program_ends_in_the_simulation_as_it_does_on_the_normal_loop(program):
    expected = asyncio.run(program())
    assert expected
    for policy in get_args(PolicyName):
        for seed in range(20):
            with SimulationLoop(seed, policy) as loop:
                assert loop.run(program()) == expected, f"{policy} {seed}"
                assert loop.unhandled == []


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_program_also_ends_so_under_the_runner_of_asyncio(program):
    expected = asyncio.run(program())
    with asyncio.Runner(loop_factory=SimulationLoop, debug=True) as runner:
        assert runner.run(program()) == expected


# --- Tasks ---------------------------------------------------------------------------------------


@needs_eager_tasks
def test_an_eager_task_takes_its_first_step_at_once_and_hashes_by_its_ordinal():
    seen = []

    async def child(delay_s: float) -> str:
        seen.append("started")
        if delay_s:
            await asyncio.sleep(delay_s)
        return "ended"

    async def main(loop: SimulationLoop) -> None:
        first, second = (loop.create_task(child(n), eager_start=True) for n in (0, 1))
        assert seen == ["started", "started"]
        assert (first.done(), second.done()) == (True, False)
        assert hash(second) == hash(first) + 1
        assert await second == "ended"

    with SimulationLoop() as loop:
        loop.run(main(loop))


@needs_eager_tasks
def test_the_eager_task_factory_of_asyncio_makes_the_loops_own_tasks():
    factory = getattr(asyncio, "eager_task_factory", None)

    async def return_at_once(value: str) -> str:
        return value

    async def main(loop: SimulationLoop) -> None:
        loop.set_task_factory(factory)
        task = asyncio.create_task(return_at_once("x"))
        assert task.done()
        assert isinstance(task, SimulatedTask)
        assert loop.get_task_factory() is factory
        async with asyncio.TaskGroup() as group:
            instant = group.create_task(sleep_and_return("y"))
        assert [await task, instant.result()] == ["x", "y"]

    with SimulationLoop() as loop:
        loop.run(main(loop))


@needs_eager_tasks
def test_a_fatal_error_in_the_eager_part_of_a_task_ends_the_run():
    async def fail() -> None:
        raise LookupError

    async def main(loop: SimulationLoop) -> None:
        with contextlib.suppress(LookupError):
            await loop.create_task(fail(), eager_start=True)
        await asyncio.sleep(1)
        pytest.fail("the run went on")

    with SimulationLoop(fatal=(LookupError,)) as loop, pytest.raises(LookupError):
        loop.run(main(loop))


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="they exist")
def test_a_python_without_eager_tasks_says_so():
    coro = asyncio.sleep(1)
    with SimulationLoop() as loop, pytest.raises(TypeError, match="argument"):
        loop.create_task(coro, eager_start=True)
    coro.close()


def test_no_other_task_factory_is_taken():
    with SimulationLoop() as loop:
        loop.set_task_factory(None)
        with pytest.raises(SimulationError, match="its own tasks"):
            loop.set_task_factory(lambda loop, coro, **_options: asyncio.Task(coro, loop=loop))


def test_async_generators_are_shut_down_in_the_order_in_which_they_started():
    closed = []

    async def generator(n: int) -> AsyncIterator[int]:
        try:
            yield n
        finally:
            closed.append(n)

    async def main(loop: SimulationLoop) -> None:
        generators = [generator(n) for n in range(50)]
        for one in reversed(generators):
            await anext(one)
        await loop.shutdown_asyncgens()

    with SimulationLoop() as loop:
        loop.run(main(loop))
    assert closed == [*reversed(range(50))]
