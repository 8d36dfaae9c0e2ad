"""Schedules that can't be meant: each is refused at once, with an error that says what to write."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from kew import (
    InvalidScheduleError,
    QueueConfig,
    QueueNotFoundError,
    ScheduleNotFoundError,
    TaskQueueManager,
)
from kew.testing import SimulatedManager, simulated

NAIVE = datetime(2030, 1, 1)
DAY = datetime(2030, 1, 1, tzinfo=UTC)


def work(*_args: object, **_kwargs: object) -> None:
    pass


class Service:
    def method(self) -> None:
        pass


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "seconds in a cron expression": ({"cron": "0 0 9 * * *"}, "five fields .*give every="),
    "a nickname of cron": ({"cron": "@daily"}, "five fields"),
    "a typo in cron": ({"cron": "0 9 * * mno"}, "0 9 \\* \\* mon-fri"),
    "a duration for cron": ({"cron": timedelta(hours=1)}, "cron takes text"),
    "a negative interval": ({"every": -1}, "at least 0.1, not -1"),
    "text for an interval": ({"every": "5m"}, "seconds or a timedelta"),
    "an endless interval": ({"every": float("inf")}, "seconds or a timedelta"),
    "a list of zones": ({"every": 5, "tz": ["UTC"]}, "such as 'Europe/Berlin'"),
    "a typo in the zone": ({"every": 5, "tz": "Europe/Berlln"}, "such as 'Europe/Berlin'"),
    "a naive start": ({"every": 5, "start": NAIVE}, "aware datetime, such as datetime"),
    "a date": ({"every": 5, "start": date(2030, 1, 1)}, "aware datetime"),
    "the last instant": (
        {"every": 5, "end": datetime.max.replace(tzinfo=timezone(-timedelta(hours=5)))},
        "between the years 1970 and 9990",
    ),
    "the first instant": ({"every": 5, "start": datetime.min.replace(tzinfo=UTC)}, "between"),
    "an end before the start": ({"every": 5, "start": DAY, "end": DAY}, "end is not after"),
    "an empty name": ({"every": 5, "name": ""}, "1 to 100 letters"),
    "text for arguments": ({"every": 5, "args": "acme"}, r"args=\('acme',\), not 'acme'"),
    "a number for arguments": ({"every": 5, "args": 5}, "args takes a sequence"),
    "a list for named arguments": ({"every": 5, "kwargs": [1]}, "kwargs takes a mapping"),
    "numbers for names": ({"every": 5, "kwargs": {1: 2}}, "kwargs takes a mapping"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_decorator_refuses(what: str):
    options, said = REFUSED[what]
    given = {"name": "x", "queue": "q", **options}
    with pytest.raises(InvalidScheduleError, match=said):
        TaskQueueManager("memory://").periodic(given.pop("cron", None), **given)(work)


@pytest.mark.parametrize("what", REFUSED)
def test_a_put_refuses(what: str):
    @simulated
    async def scenario(manager: SimulatedManager) -> None:
        options, said = REFUSED[what]
        given = {"name": "x", **options}
        await manager.create_queue(QueueConfig("q"))
        with pytest.raises(InvalidScheduleError, match=said):
            await manager.schedules.put(function=work, queue="q", **given)
        assert await manager.schedules.list() == []

    scenario()


@simulated
async def test_a_running_process_refuses_a_declaration_that_cannot_be_stored(
    manager: SimulatedManager,
):
    await manager.create_queue(QueueConfig("q"))
    with pytest.raises(InvalidScheduleError, match="argument 1: a value of type function"):
        manager.periodic(every=5, queue="q", name="x", args=(work,))(work)
    with pytest.raises(InvalidScheduleError, match="can't find a closure"):
        manager.periodic(every=5, queue="q", name="x")(Service().method)
    manager.periodic(every=5, queue="q", name="x")(work)
    await manager.advance(6)
    assert [each.name for each in await manager.schedules.list()] == ["x"]


def test_unknown_options_get_the_one_that_was_meant():
    manager: Any = TaskQueueManager("memory://")
    with pytest.raises(TypeError, match=r"periodic\(\) has no option 'overlapp'.*'overlap'\?"):
        manager.periodic(every=5, queue="q", overlapp="skip")
    with pytest.raises(TypeError, match="periodic takes arguments"):
        manager.periodic(work)


@simulated
async def test_unknown_options_of_a_put_are_refused(manager: SimulatedManager):
    schedules: Any = manager.schedules
    await manager.create_queue(QueueConfig("q"))
    with pytest.raises(TypeError, match=r"put\(\) has no option 'priority'"):
        await schedules.put("x", work, every=5, queue="q", priority=1)


@simulated
async def test_names_and_times_that_cannot_be_are_refused(manager: SimulatedManager):
    schedules: Any = manager.schedules
    await manager.create_queue(QueueConfig("q"))
    await schedules.put("x", work, every=5, queue="q")
    for name in (5, None):
        with pytest.raises(ScheduleNotFoundError, match=f"no schedule {name}"):
            await schedules.get(name)
    with pytest.raises(QueueNotFoundError):
        await schedules.list(5)
    with pytest.raises(InvalidScheduleError, match="lies before its start"):
        await schedules.backfill("x", DAY, DAY - timedelta(days=1))
