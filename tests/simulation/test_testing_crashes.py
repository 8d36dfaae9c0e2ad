"""`crash_at_every_await`: it sees every place, kills as SIGKILL does, and finds what can't be run again."""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kew import QueueConfig, TaskContext, TaskQueueManager
from kew.testing import InvariantBroken, Point, SimulationError, When, crash_at_every_await

program = TaskQueueManager("redis://nowhere.invalid")
done: list[str] = []
FILE = Path(__file__)


def setup() -> None:
    done.clear()


def nothing() -> None:
    """A check that always holds."""


def once() -> None:
    assert len(done) == len(set(done)), done


def line_of(text: str) -> int:
    """Where this file has that text, which it has once."""
    numbered = enumerate(FILE.read_text().splitlines(), 1)
    lines = [number for number, line in numbered if line.endswith(text)]
    assert len(lines) == 1
    return lines[0]


async def effect(what: str) -> None:
    done.append(what)


async def two_effects() -> None:
    await effect("first")
    await effect("second")  # the second


async def helped() -> None:
    await two_effects()


async def set_once() -> None:
    if "it" not in done:
        await effect("it")


# --- what it finds


def test_it_names_the_file_and_the_line_after_which_things_are_wrong():
    with pytest.raises(InvariantBroken) as error:
        crash_at_every_await(two_effects, setup=setup, check=once)
    line = line_of('await effect("second")  # the second')
    assert f"test_testing_crashes.py:{line}: just before `await effect('second')`" in str(
        error.value
    )
    assert "at 4 of 5 places" in str(error.value)


def test_what_can_be_run_again_passes():
    report = crash_at_every_await(set_once, setup=setup, check=once)
    assert [point.when for point in report.points] == [When.BEFORE, When.AFTER, When.UNRECORDED]


def test_the_end_counts_too_for_what_is_done_without_awaiting():
    async def silent() -> None:
        done.append("it")

    with pytest.raises(InvariantBroken, match="after the end and before kew recorded it"):
        crash_at_every_await(silent, setup=setup, check=once)


def test_a_plain_function_is_killed_at_its_end():
    def plain() -> None:
        done.append("it")

    with pytest.raises(InvariantBroken, match="at 1 of 1 places"):
        crash_at_every_await(plain, setup=setup, check=once)


def test_awaits_in_the_users_other_functions_count():
    report = crash_at_every_await(helped, setup=setup, check=nothing)
    lines = {(point.line, point.when) for point in report.points}
    assert (line_of('await effect("second")  # the second'), When.AFTER) in lines
    assert len(report.points) == 7


async def entering() -> None:
    @contextlib.asynccontextmanager
    async def transaction() -> AsyncIterator[None]:
        yield
        done.append("commit")

    async def numbers() -> AsyncIterator[int]:
        yield 1
        yield 2

    async with transaction():
        async for number in numbers():
            done.append(str(number))
        [n async for n in numbers()]


def test_entering_leaving_and_iterating_are_places_too():
    report = crash_at_every_await(entering, setup=setup, check=nothing)
    texts = [point.text for point in report.points]
    assert texts.count("async with transaction()") == 4
    assert texts.count("async for number in numbers()") == 5, "twice 2, and once before the end"
    assert texts.count("async for n in numbers()") == 5


def test_a_second_run_that_fails_is_a_break():
    async def insert() -> None:
        if "row" in done:
            raise KeyError("the row exists")
        await effect("row")

    with pytest.raises(InvariantBroken, match=r"ended as failed: KeyError: 'the row exists'"):
        crash_at_every_await(insert, setup=setup, check=nothing)


def test_a_check_may_return_false_and_be_async():
    async def check() -> bool:
        return len(done) < 2

    with pytest.raises(InvariantBroken, match=r"check\(\) returned False"):
        crash_at_every_await(two_effects_lately, setup=setup, check=check)


async def two_effects_lately() -> None:
    await effect("same")


def test_what_is_wrong_without_any_crash_is_told_so():
    with pytest.raises(InvariantBroken, match="without any crash: AssertionError: never"):
        crash_at_every_await(set_once, setup=setup, check=lambda: pytest_fail("never"))


def pytest_fail(text: str) -> None:
    raise AssertionError(text)


# --- how it kills


def test_no_except_and_no_finally_runs_before_the_check():
    async def careful() -> None:
        try:
            await effect("a")
        except BaseException:
            done.append("except")
            raise
        finally:
            done.append("finally")

    def check() -> None:
        assert done.count("finally") == 1, "that of the run that was not killed"
        assert "except" not in done

    with pytest.raises(InvariantBroken) as error:
        crash_at_every_await(careful, setup=setup, check=check)
    broken = [one.point.when for one in error.value.breaks]  # type: ignore[attr-defined]
    assert broken == [When.UNRECORDED], "there the `finally` had run, as it would have"


def test_the_tasks_that_it_started_die_with_it():
    async def parent() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(effect_later("child"))
            await effect("parent")
            await asyncio.sleep(60)

    def check() -> None:
        assert done.count("child") == 1

    with pytest.raises(InvariantBroken) as error:
        crash_at_every_await(parent, setup=setup, check=check)
    texts = [one.point.text for one in error.value.breaks]  # type: ignore[attr-defined]
    assert "await effect('parent')" not in texts, "killed before its child had got that far"
    assert "await asyncio.sleep(60)" in texts


async def effect_later(what: str) -> None:
    await asyncio.sleep(30)
    await effect(what)


def test_each_place_begins_with_a_fresh_state():
    seen = []

    def setup_and_look() -> None:
        done.clear()
        seen.append("setup")

    report = crash_at_every_await(set_once, setup=setup_and_look, check=nothing)
    assert len(seen) == 1 + len(report.points)


def test_the_second_run_is_a_redelivery():
    attempts: list[int] = []

    async def look() -> None:
        attempts.append(TaskContext.current().attempt)
        await effect("x")

    crash_at_every_await(look, setup=setup, check=nothing)
    assert attempts == [1, 1, 2, 1, 2, 1, 2]


def test_at_most_once_may_fail_and_never_runs_twice():
    @program.task(queue="global", at_most_once=True)
    async def charge() -> None:
        await effect("it")

    report = crash_at_every_await(charge, setup=setup, check=once)
    assert len(report.points) == 3


# --- a program around it


@program.task(queue="global")
async def parent(name: str) -> None:
    await child.options(task_id=f"child-{name}").submit(name)


@program.task(queue="global")
async def child(name: str) -> None:
    await effect(name)


async def start_up(manager: TaskQueueManager) -> None:
    await program.create_queue(QueueConfig("global", max_workers=2))


def test_a_decorated_task_that_submits_another_one():
    """The second submit meets the first one's task: a duplicate, which this parent doesn't expect."""
    with pytest.raises(InvariantBroken, match="TaskAlreadyExistsError"):
        crash_at_every_await(parent, "ada", setup=setup, check=nothing, app=start_up)


def test_arguments_by_name_and_a_queue_of_the_testers_choice():
    async def add(a: int, *, b: int) -> None:
        assert TaskContext.current().queue == "mine"
        done.append(str(a + b))

    def check() -> None:
        assert set(done) == {"3"}

    config = QueueConfig("mine", lease=60)
    crash_at_every_await(add, 1, kwargs={"b": 2}, setup=setup, check=check, config=config)


# --- what it leaves behind, and what it can't do


def test_the_code_is_as_it_was_afterwards():
    before = two_effects.__code__, inspect.getsource(two_effects)
    crash_at_every_await(two_effects, setup=setup, check=nothing)
    assert (two_effects.__code__, inspect.getsource(two_effects)) == before
    assert asyncio.run(two_effects()) is None


def test_a_task_without_a_source_is_refused():
    scope: dict[str, object] = {}
    exec("async def task(): await asyncio.sleep(1)", scope)
    with pytest.raises(SimulationError, match="the source of task is needed"):
        crash_at_every_await(scope["task"], setup=setup, check=nothing)  # type: ignore[arg-type]


def test_a_point_is_told_relative_to_where_one_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inside = Point(str(tmp_path / "shop.py"), 3, "await x", When.AFTER)
    outside = Point("/elsewhere/shop.py", 3, "await x")
    assert str(inside) == "shop.py:3: just after `await x`"
    assert str(outside) == "/elsewhere/shop.py:3: just before `await x`"
