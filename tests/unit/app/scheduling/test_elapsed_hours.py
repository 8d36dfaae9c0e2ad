"""Wildcard hours across clock changes: each minute whose wall clock matches has its tick, and no other one has."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from kew.app.scheduling.timetables import Cron, instant_of

MINUTE = timedelta(minutes=1)
LENGTH = timedelta(hours=27)
CHANGES = {
    ("Australia/Lord_Howe", "forward"): datetime(2011, 10, 1, 15, 30, tzinfo=UTC),  # by 30 min
    ("Australia/Lord_Howe", "back"): datetime(2012, 3, 31, 15, 0, tzinfo=UTC),
    ("Asia/Pyongyang", "back"): datetime(2015, 8, 14, 15, 0, tzinfo=UTC),  # by 30 min, at midnight
    ("Europe/Berlin", "forward"): datetime(2012, 3, 25, 1, 0, tzinfo=UTC),
    ("Europe/Berlin", "back"): datetime(2011, 10, 30, 1, 0, tzinfo=UTC),
    ("Pacific/Apia", "forward"): datetime(2011, 12, 30, 10, 0, tzinfo=UTC),  # by a day
}
EXPRESSIONS = ("15 */4 * * *", "0 */3 * * *", "40 * * * *", "7,53 */2 * * *", "*/20 * * * *")


def matching(expression: str, zone: ZoneInfo, start: datetime) -> Iterator[int]:
    """The instants of all minutes after the start that match, one looked at after the other."""
    minute, hour, *_ = expression.split()
    now = start
    while (now := now + MINUTE) < start + LENGTH:
        wall = now.astimezone(zone)
        if wall.minute in values(minute, 60) and wall.hour in values(hour, 24):
            yield instant_of(now)


def values(field: str, count: int) -> set[int]:
    if field.startswith("*"):
        return set(range(0, count, int(field.removeprefix("*").removeprefix("/") or "1")))
    return {int(one) for one in field.split(",")}


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize(("zone", "way"), CHANGES)
def test_no_tick_is_lost_or_added_by_a_clock_change(zone: str, way: str, expression: str):
    zoned, cron = ZoneInfo(zone), Cron(expression, ZoneInfo(zone))
    for before in (timedelta(hours=9, minutes=59), timedelta(minutes=20), -10 * MINUTE):
        start = CHANGES[zone, way] - before
        wanted = list(matching(expression, zoned, start))
        found, at = list[int](), instant_of(start)
        while (at := cron.after(at) or 0) < instant_of(start + LENGTH):
            found.append(at)
        assert found == wanted
        assert [cron.until(instant) for instant in wanted] == wanted
