"""Which ticks the schedules of `days.py` have, counted by hand, and whether each became a task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import attrs

from kew.domain.schedule import due_in, tick_id

MINUTE: Final = timedelta(minutes=1)
EVERY: Final = timedelta(hours=7)
DAILY: Final[Mapping[str, time]] = {
    "Europe/Berlin": time(2, 30),  # there are two of it on 30 October 2011
    "America/New_York": time(1, 30),  # two on 6 November
    "Australia/Lord_Howe": time(2, 15),  # none on 2 October
    "Pacific/Apia": time(2, 30),  # none on 30 December, which it skips
}
"""When a daily schedule is due in its zone."""


@attrs.frozen(kw_only=True)
class Period:
    """So many hours from `start` on, and how often faults come by themselves."""

    start: datetime
    hours: int
    pace: float = 1.0

    @property
    def end(self) -> datetime:
        """The first instant that isn't in it."""
        return self.start + timedelta(hours=self.hours)


HUNDRED: Final = Period(start=datetime(2011, 9, 26, tzinfo=UTC), hours=100 * 24)
CHANGES: Final[Mapping[str, Period]] = {
    zone: Period(start=datetime(2011, *start, tzinfo=UTC), hours=6, pace=4.0)
    for zone, start in {
        "Australia/Lord_Howe": (10, 1, 12),
        "Europe/Berlin": (10, 29, 22),
        "America/New_York": (11, 6, 2),
        "Pacific/Apia": (12, 30, 7),
    }.items()
}
"""A few hours around each zone's change, with many faults."""


def timings() -> Iterator[tuple[str, dict[str, Any]]]:
    """The name of each schedule, and the arguments that say when its ticks are due."""
    for zone, at in DAILY.items():
        yield f"{zone}/daily", {"cron": f"{at.minute} {at.hour} * * *", "tz": zone}
        yield f"{zone}/often", {"cron": "15 */4 * * *", "tz": zone}
    yield "interval", {"every": EVERY}


def wanted(period: Period) -> set[str]:
    """The ids of all ticks after the start, by the clocks on the walls of each zone."""
    found = set[tuple[str, datetime]]()
    for name, at in DAILY.items():
        zone = ZoneInfo(name)
        for day in _days(period):
            found.add((f"{name}/daily", _instant(day, at, zone)))
            for hour in range(0, 24, 4):
                due = _instant(day, time(hour, 15), zone)
                if due.astimezone(zone).time() == time(hour, 15):  # else it is skipped
                    found.add((f"{name}/often", due))
    found |= {("interval", period.start + number * EVERY) for number in range(period.hours)}
    return {
        tick_id(name, round(due.timestamp() * 1000))
        for name, due in found
        if period.start < due < period.end
    }


def _days(period: Period) -> Iterator[date]:
    day = period.start.date() - timedelta(days=1)
    while day <= period.end.date() + timedelta(days=1):
        yield day
        day += timedelta(days=1)


def _instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """When it is that time for the first time on that day, or else right after the gap that skips it."""
    wall = datetime.combine(day, at, zone)
    instant = wall.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == wall.replace(tzinfo=None):
        return instant
    after = instant.astimezone(zone).utcoffset()
    while (instant - MINUTE).astimezone(zone).utcoffset() == after:
        instant -= MINUTE
    return instant


@attrs.define(kw_only=True)
class Report:
    """What came of a period. Instants are those of the store's clock, in ms since 1970."""

    created: list[tuple[str, int]] = attrs.field(factory=list)
    """Each task that came to be, and when."""
    started: list[tuple[str, int]] = attrs.field(factory=list)
    """Each run of such a task, and when it began."""
    unfinished: list[str] = attrs.field(factory=list)
    errors: list[str] = attrs.field(factory=list)
    processes: int = 0
    faults: int = 0
    operations: int = 0

    def wrong(self, period: Period) -> list[str]:
        """Each promise that was broken, in words."""
        counts, due = Counter(task_id for task_id, _ in self.created), wanted(period)
        ran = {task_id for task_id, _ in self.started}
        return [
            *(
                f"{task_id} is a task {count} times"
                for task_id, count in counts.items()
                if count > 1
            ),
            *(f"{task_id} never became a task" for task_id in sorted(due - counts.keys())),
            *(f"{task_id} is no tick" for task_id in sorted(counts.keys() - due)),
            *(
                f"{task_id} was created early"
                for task_id, at in self.created
                if _early(task_id, at)
            ),
            *(f"{task_id} started early" for task_id, at in self.started if _early(task_id, at)),
            *(f"{task_id} never ran" for task_id in sorted(counts.keys() - ran)),
            *(f"{task_id} has not ended" for task_id in self.unfinished),
            *(f"logged: {error}" for error in self.errors),
        ]


def _early(task_id: str, at: int) -> bool:
    due = due_in(task_id)
    return due is not None and at < due
