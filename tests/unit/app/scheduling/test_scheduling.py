"""Schedules of a program, on simulated time: declared, submitted, steered. See the contracts for the store's part."""

import sys
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

import pytest

from kew import (
    InvalidConfigError,
    InvalidScheduleError,
    QueueConfig,
    QueueFullError,
    QueueNotFoundError,
    QueuePriority,
    ScheduleNotFoundError,
    TaskQueueManager,
    Tick,
)
from kew.testing import SimulatedManager, run, simulated

MIDNIGHT = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def work() -> None:
    pass


def dues(manager: SimulatedManager, name: str) -> list[str]:
    """The due times of a schedule's tasks, in the order of their submits."""
    return [task_id.partition("@")[2] for task_id in manager.tasks() if task_id.startswith(name)]


@simulated
async def test_each_tick_is_a_task_that_starts_when_it_is_due(manager: SimulatedManager):
    seen = list[Tick]()

    @manager.periodic("0 9 * * mon-fri", tz="Europe/Berlin", queue="q")
    async def report(tick: Tick) -> None:
        seen.append(tick)

    await manager.create_queue(QueueConfig("q"))
    await manager.advance(timedelta(days=7))
    assert [each.due.isoformat() for each in seen] == [
        f"2024-01-0{day}T08:00:00+00:00" for day in range(1, 6)
    ]
    assert {each.missed for each in seen} == {0}
    assert max(each.late for each in seen) <= 0.01
    assert dues(manager, "report")[0] == "2024-01-01T08:00:00Z"


def test_a_year_of_a_daily_schedule_takes_less_than_a_second():
    async def scenario(manager: SimulatedManager) -> int:
        runs = 0

        @manager.periodic("30 2 * * *", tz="Europe/Berlin", queue="q")
        async def nightly() -> None:
            nonlocal runs
            runs += 1

        await manager.create_queue(QueueConfig("q"))
        await manager.advance(timedelta(days=366))
        return runs

    entered = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal entered
        entered += event == "call"

    sys.setprofile(note)
    try:
        assert run(scenario) == 366
    finally:
        sys.setprofile(None)
    assert entered < 1_000_000  # functions: 2,000 for a day, which take a third of a second in all


@simulated
async def test_a_plain_function_and_arguments_will_do(manager: SimulatedManager):
    seen = list[tuple[Any, ...]]()

    @manager.periodic(every=HOUR, queue="q", args=("acme",), kwargs={"full": True}, name="sync")
    def sync(customer: str, tick: Tick, *, full: bool) -> None:
        seen.append((customer, tick.name, full))

    await manager.create_queue(QueueConfig("q"))
    await manager.advance(HOUR)
    assert seen == [("acme", "sync", True)]


@simulated
async def test_a_task_that_no_schedule_submitted_gets_a_tick_too(manager: SimulatedManager):
    seen = list[Tick]()

    @manager.periodic(every=HOUR, queue="q")
    async def beat(tick: Tick) -> None:
        seen.append(tick)

    await manager.create_queue(QueueConfig("q"))
    await manager.submit_task("mine", "q", "t", beat)
    await manager.drain()
    assert [(each.name, each.missed) for each in seen] == [("", 0)]


@simulated
async def test_intervals_count_from_the_epoch_or_from_their_start(manager: SimulatedManager):
    manager.periodic(every=7 * HOUR, queue="q", name="a")(work)
    start = MIDNIGHT + timedelta(minutes=5)
    manager.periodic(every=HOUR, queue="q", name="b", start=start, end=start + 3 * HOUR)(work)
    await manager.create_queue(QueueConfig("q"))
    await manager.advance(12 * HOUR)
    assert dues(manager, "b") == [f"2024-01-01T0{hour}:05:00Z" for hour in range(3)]
    epoch_hours = int(MIDNIGHT.timestamp()) // 3600
    first = 7 - epoch_hours % 7
    assert dues(manager, "a")[0] == f"2024-01-01T{first:02}:00:00Z"
    assert (await manager.schedules.get("b")).next_time is None


@simulated
async def test_jitter_delays_a_tick_by_as_much_each_time(manager: SimulatedManager):
    late = list[float]()

    @manager.periodic(every=HOUR, queue="q", jitter=600)
    async def beat(tick: Tick) -> None:
        late.append(tick.late)

    await manager.create_queue(QueueConfig("q"))
    await manager.advance(10 * HOUR + timedelta(minutes=11))
    assert len(late) == 10
    assert all(0 <= each <= 600.1 for each in late)
    assert len({round(each) for each in late}) > 5


# --- overlapping and missed ticks


async def long_hours(manager: SimulatedManager, overlap: Any, hours: float) -> list[str]:
    """When the tasks of an hourly schedule start, each of which takes so many hours; for half a day."""
    import asyncio

    starts = list[str]()

    @manager.periodic(every=HOUR, queue="q", overlap=overlap)
    async def slow(tick: Tick) -> None:
        starts.append(f"{tick.due:%H}+{tick.late / 3600:.1f}")
        await asyncio.sleep(hours * 3600)

    await manager.create_queue(QueueConfig("q", task_timeout=86_400))
    await manager.advance(6 * HOUR + timedelta(minutes=1))
    return starts


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        ("skip", ["01+0.0", "04+0.0"]),
        ("one", ["01+0.0", "03+0.5", "06+0.0"]),
        ("allow", [f"{hour:02}+0.0" for hour in range(1, 7)]),
    ],
)
def test_overlapping_ticks(overlap: str, expected: list[str]):
    async def scenario(manager: SimulatedManager) -> list[str]:
        return await long_hours(manager, overlap, 2.5)

    assert run(scenario) == expected


@pytest.mark.parametrize(
    ("missed", "expected"),
    [("skip", []), ("one", ["05 4"]), ("all", ["03 2", "04 0", "05 0"])],
)
def test_missed_ticks(missed: Any, expected: list[str]):
    async def scenario(manager: SimulatedManager) -> list[str]:
        seen = list[str]()

        @manager.periodic(every=HOUR, queue="q", missed=missed, catch_up=3 * HOUR, overlap="allow")
        async def beat(tick: Tick) -> None:
            seen.append(f"{tick.due:%H} {tick.missed}")

        await manager.create_queue(QueueConfig("q"))
        await manager.shutdown()
        await manager.advance(5.5 * HOUR)
        await manager.initialize()
        await manager.create_queue(QueueConfig("q"))
        await manager.advance(1)
        return seen

    assert run(scenario) == expected


@simulated
async def test_a_full_queue_delays_a_tick(manager: SimulatedManager):
    manager.periodic(every=HOUR, queue="q", name="a")(work)
    await manager.create_queue(QueueConfig("q", max_size=1))
    await manager.pause_queue("q")
    await manager.submit_task("before", "q", "t", work)
    await manager.advance(HOUR + timedelta(seconds=30))
    assert dues(manager, "a") == []
    await manager.resume_queue("q")
    await manager.advance(10)
    assert dues(manager, "a") == ["2024-01-01T01:00:00Z"]


# --- steering


@simulated
async def test_a_pause_drops_what_is_due_meanwhile(manager: SimulatedManager):
    manager.periodic(every=HOUR, queue="q", name="a")(work)
    await manager.create_queue(QueueConfig("q"))
    await manager.schedules.pause("a", note="Ann: wrong figures")
    await manager.advance(5 * HOUR)
    info = await manager.schedules.get("a")
    assert (info.paused, info.note, info.next_time) == (True, "Ann: wrong figures", None)
    assert (await manager.schedules.next("a", 1))[0] == MIDNIGHT + 6 * HOUR
    await manager.schedules.resume("a")
    await manager.advance(HOUR)
    assert dues(manager, "a") == ["2024-01-01T06:00:00Z"]
    info = await manager.schedules.get("a")
    assert (info.last_time, info.last_task_id) == (
        MIDNIGHT + 6 * HOUR,
        "a@2024-01-01T06:00:00Z",
    )


@simulated
async def test_run_now_submits_its_task_beside_the_ticks(manager: SimulatedManager):
    manager.periodic(every=HOUR, queue="q", name="a")(work)
    await manager.create_queue(QueueConfig("q"))
    await manager.advance(timedelta(minutes=5))
    handle = await manager.schedules.run_now("a")
    assert handle.task_id.startswith("a@2024-01-01T00:05:00")
    await handle.result(timeout=5)
    await manager.advance(HOUR)
    assert dues(manager, "a")[1:] == ["2024-01-01T01:00:00Z"]


@simulated
async def test_a_backfill_submits_the_ticks_that_have_no_task(manager: SimulatedManager):
    manager.periodic(every=HOUR, queue="q", name="a")(work)
    await manager.create_queue(QueueConfig("q"))
    await manager.advance(2 * HOUR)
    period = MIDNIGHT - 2 * HOUR, MIDNIGHT + 2 * HOUR
    planned = await manager.schedules.backfill("a", *period, dry_run=True)
    ids = await manager.schedules.backfill("a", *period)
    assert planned == ids
    assert list(ids) == [
        f"a@{day}Z" for day in ("2023-12-31T22:00:00", "2023-12-31T23:00:00", "2024-01-01T00:00:00")
    ]
    assert await manager.schedules.backfill("a", MIDNIGHT - 2 * HOUR, MIDNIGHT) == []


@simulated
async def test_a_backfill_says_how_far_it_came(manager: SimulatedManager):
    manager.periodic(every=HOUR, queue="q", name="a")(work)
    await manager.create_queue(QueueConfig("q", max_size=2))
    await manager.pause_queue("q")
    with pytest.raises(QueueFullError) as raised:
        await manager.schedules.backfill("a", MIDNIGHT - 5 * HOUR, MIDNIGHT)
    assert raised.value.accepted == ("a@2023-12-31T19:00:00Z", "a@2023-12-31T20:00:00Z")
    with pytest.raises(InvalidScheduleError, match="more than 10000 ticks"):
        await manager.schedules.backfill("a", MIDNIGHT - 500 * timedelta(days=30), MIDNIGHT)
    with pytest.raises(InvalidScheduleError, match="start takes an aware datetime"):
        await manager.schedules.backfill("a", datetime(2024, 1, 1), MIDNIGHT)
    with pytest.raises(InvalidScheduleError, match="end lies between the years 1970 and 9990"):
        await manager.schedules.backfill("a", MIDNIGHT, datetime.max.replace(tzinfo=UTC))


@simulated
async def test_a_schedule_that_was_put_goes_on_until_it_is_removed(manager: SimulatedManager):
    await manager.create_queue(QueueConfig("q"))
    info = await manager.schedules.put("a", work, every=HOUR, queue="q")
    assert (info.source, info.every, info.undeclared) == ("data", 3600, False)
    assert info.next_time == MIDNIGHT + HOUR
    assert info.to_dict()["next_time"] == "2024-01-01T01:00:00+00:00"
    await manager.advance(HOUR)
    assert len(dues(manager, "a")) == 1
    await manager.schedules.remove("a")
    await manager.advance(5 * HOUR)
    assert len(dues(manager, "a")) == 1
    assert await manager.schedules.list() == []
    for asked in (
        manager.schedules.get("a"),
        manager.schedules.pause("a"),
        manager.schedules.run_now("a"),
    ):
        with pytest.raises(ScheduleNotFoundError):
            await asked


@simulated
async def test_what_code_no_longer_declares_is_listed_as_undeclared(manager: SimulatedManager):
    manager.periodic(every=HOUR, queue="q", name="kept")(work)
    manager.periodic(every=HOUR, queue="q", name="gone")(work)
    await manager.create_queue(QueueConfig("q"))
    await manager.shutdown()
    del manager._registry.schedules["gone"]
    assert await undeclared_after_start(manager) == ["gone"]
    await manager.advance(HOUR)
    assert len(dues(manager, "gone")) == 1


async def undeclared_after_start(manager: SimulatedManager) -> list[str]:
    await manager.initialize()
    await manager.create_queue(QueueConfig("q"))
    return [each.name for each in await manager.schedules.list("q") if each.undeclared]


@simulated
async def test_a_schedule_may_be_declared_after_its_queue(manager: SimulatedManager):
    await manager.create_queue(QueueConfig("q"))
    manager.periodic(every=HOUR, queue="q", name="a")(work)
    await manager.advance(HOUR)
    assert len(dues(manager, "a")) == 1


@simulated
async def test_cleanup_puts_what_code_declares_again(manager: SimulatedManager):
    manager.periodic(every=HOUR, queue="q", name="a")(work)
    await manager.create_queue(QueueConfig("q"))
    await manager.schedules.put("b", work, every=HOUR, queue="q")
    await manager.cleanup()
    assert [each.name for each in await manager.schedules.list()] == ["a"]


@simulated
async def test_a_process_that_only_submits_submits_no_ticks(manager: SimulatedManager):
    manager.periodic(every=HOUR, queue="q", name="a")(work)
    await manager.create_queue(QueueConfig("q"), work=False)
    await manager.advance(HOUR)
    assert await manager.schedules.list() == []


# --- what is refused


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"every": 5}, "name the queue"),
        ({"queue": "q"}, "give a cron expression or every"),
        ({"queue": "q", "every": 0}, "every takes seconds"),
        ({"queue": "q", "every": "5"}, "every takes seconds"),
        ({"queue": "q", "every": 5, "name": "a b"}, "a schedule's name"),
        ({"queue": "q", "every": 5, "name": "a@b"}, "a schedule's name"),
        ({"queue": "q", "every": 5, "tz": "Mars"}, "tz takes the name"),
        ({"queue": "q", "every": 5, "overlap": "x"}, "overlap is one of 'skip', 'one', 'allow'"),
        ({"queue": "q", "every": 5, "missed": "x"}, "missed is one of 'skip', 'one', 'all'"),
        ({"queue": "q", "every": 5, "catch_up": -1}, "catch_up takes seconds"),
        ({"queue": "q", "every": 5, "jitter": "x"}, "jitter takes seconds"),
        ({"queue": "q", "every": 5, "start": datetime(2024, 1, 1)}, "start takes an aware"),
        ({"queue": "q", "every": 5, "end": "now"}, "end takes an aware"),
        ({"queue": "q", "every": 5, "args": (1,)}, "can't be called like this"),
    ],
)
def test_a_bad_declaration_is_refused_when_it_is_made(given: Any, message: str):
    manager = TaskQueueManager("memory://")
    with pytest.raises(InvalidScheduleError, match=message):
        manager.periodic(**given)(work)


@pytest.mark.parametrize("cron", ["", 7, "0 9 * *"])
def test_a_bad_cron_expression_is_refused(cron: Any):
    with pytest.raises(InvalidScheduleError, match="cron takes"):
        TaskQueueManager("memory://").periodic(cron, queue="q")(work)


def test_two_functions_cant_have_one_schedule():
    manager = TaskQueueManager("memory://")
    manager.periodic(every=5, queue="q", name="a")(work)
    manager.periodic(every=6, queue="q", name="a")(work)
    with pytest.raises(InvalidScheduleError, match=r"declared twice, for .*work and .*dues"):
        manager.periodic(every=5, queue="q", name="a", args=(1, 2))(dues)


def test_an_option_of_the_task_is_checked_too():
    with pytest.raises(InvalidConfigError):
        TaskQueueManager("memory://").periodic(every=5, queue="q", max_retries=-1)(work)


@simulated
async def test_put_refuses_what_cant_be(manager: SimulatedManager):
    await manager.create_queue(QueueConfig("q"))
    with pytest.raises(InvalidScheduleError, match="name the queue"):
        await manager.schedules.put("a", work, every=5)
    with pytest.raises(QueueNotFoundError):
        await manager.schedules.put("a", work, every=5, queue="nowhere")
    with pytest.raises(InvalidScheduleError, match=r"schedule .a.: .* can.t be called like this"):
        await manager.schedules.put("a", work, every=5, queue="q", args=(1,))
    with pytest.raises(InvalidScheduleError, match="closure, lambda or bound method"):
        await manager.schedules.put("a", lambda: None, every=5, queue="q")
    with pytest.raises(InvalidScheduleError, match="from 1 to 1000"):
        await manager.schedules.next("a", 0)


@simulated
async def test_the_options_of_a_decorated_function_hold(manager: SimulatedManager):
    @manager.periodic(every=HOUR, priority=QueuePriority.HIGH)
    @manager.task(queue="q", max_retries=3)
    async def decorated() -> None:
        pass

    await manager.create_queue(QueueConfig("q"))
    await manager.schedules.put("b", decorated, every=HOUR)
    await manager.advance(HOUR)
    assert {(each.priority, each.queue_name) for each in manager.tasks().values()} == {(1, "q")}


program = TaskQueueManager("redis://nowhere.invalid")


@program.periodic(every=HOUR, queue="global", name="of-the-program")
async def of_the_program() -> None:
    pass


def test_the_schedules_of_a_program_are_tested_with_its_own_manager():
    async def scenario(manager: SimulatedManager) -> list[str]:
        await program.create_queue(QueueConfig("global"))
        await manager.advance(HOUR)
        assert (await program.schedules.get("of-the-program")).queue == "global"
        return dues(manager, "of-the-program")

    assert run(scenario, instead_of=program) == ["2024-01-01T01:00:00Z"]
