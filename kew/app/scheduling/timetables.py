"""When a schedule's ticks are due: intervals, and cron expressions in a time zone by the library cronsim (an extra)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from kew.domain.errors import TaskQueueError, shown
from kew.domain.schedule import EPOCH, Intervals, Limited, Schedule, Timetable
from kew.domain.schedule_errors import InvalidScheduleError, MissingExtraError

if TYPE_CHECKING:
    from cronsim import CronSim

FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 9990  # cronsim looks some years ahead


class Cron:
    """A cron expression in a time zone, by Debian's rules.

    A fixed hour that a clock change skips comes right after the gap, one that it repeats comes once; wildcard hours go
    by elapsed time.
    """

    def __init__(self, expression: str, zone: ZoneInfo) -> None:
        """Raises `InvalidScheduleError` or `MissingExtraError`."""
        simulator(expression, EPOCH)
        self._expression = expression
        self._zone = zone

    def after(self, instant: int) -> int | None:
        """The first tick that is later; None: there is none."""
        return next((found for found in self._ticks(instant) if found > instant), None)

    def until(self, instant: int) -> int | None:
        """The last tick that is not later; None: there is none.

        Near a clock change, walking back may pass over some, so that this walks ahead again from one that is earlier.
        """
        for earlier in self._ticks(instant + 1_000, is_reverse=True):
            found = self.after(earlier - 1)
            if found is None or found > instant:
                continue
            while (later := self.after(found)) is not None and later <= instant:
                found = later
            return found
        return None

    def _ticks(self, instant: int, *, is_reverse: bool = False) -> Iterator[int]:
        moment = local(instant, self._zone).replace(microsecond=0)
        if not 1 < moment.year < LAST_YEAR:
            return iter(())
        ticks = simulator(self._expression, moment, is_reverse=is_reverse)
        return (instant_of(found) for found in ticks)


def simulator(expression: str, moment: datetime, *, is_reverse: bool = False) -> CronSim:
    """The ticks of an expression from a moment on, by cronsim. Raises `InvalidScheduleError` or `MissingExtraError`."""
    try:
        from cronsim import CronSimError

        from kew.app.scheduling.elapsed_hours import ElapsedHours
    except ImportError as missing:
        raise MissingExtraError("cron schedules", "cronsim", "schedules") from missing
    try:
        return ElapsedHours(expression, moment, is_reverse)
    except CronSimError as error:
        raise InvalidScheduleError(
            f"cron takes five fields (minute, hour, day of month, month, day of week), such as '0 9 * * mon-fri', "
            f"not {shown(expression)}: {error}"
        ) from error


def local(instant: int, zone: ZoneInfo) -> datetime:
    """An instant (ms) in a time zone."""
    return (EPOCH + timedelta(milliseconds=instant)).astimezone(zone)


def instant_of(moment: datetime) -> int:
    """An aware datetime as an instant (ms)."""
    return (moment.astimezone(UTC) - EPOCH) // timedelta(milliseconds=1)


def checked_instant(name: str, moment: datetime) -> int:
    """As `instant_of`, for what a user gave as `name`. Raises `InvalidScheduleError` if it can't be computed with."""
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise InvalidScheduleError(f"{name} lies between the years {FIRST_YEAR} and {LAST_YEAR}")
    return instant_of(moment)


def zone_of(name: object) -> ZoneInfo:
    """The time zone of this name. Raises `InvalidScheduleError`."""
    try:
        return ZoneInfo(name)  # type: ignore[arg-type]  # or an error
    except Exception as error:
        raise InvalidScheduleError(
            f"tz takes the name of a time zone, such as 'Europe/Berlin', not {shown(name)}; on a system without time "
            "zones, install tzdata"
        ) from error


@lru_cache(maxsize=1024)
def timetable(
    cron: str, every_ms: int, tz: str, starts_at: int | None, ends_at: int | None
) -> Timetable:
    """When ticks are due that follow from these values of a `Schedule`. Raises as `times_of` does."""
    zone = zone_of(tz)
    times: Timetable = Cron(cron, zone) if cron else Intervals(every_ms, starts_at or 0)
    return times if starts_at is None and ends_at is None else Limited(times, starts_at, ends_at)


def times_of(schedule: Schedule) -> Timetable:
    """When its ticks are due. Raises `InvalidScheduleError` for what can't be, and `MissingExtraError`."""
    return timetable(
        schedule.cron, schedule.every_ms, schedule.tz, schedule.starts_at, schedule.ends_at
    )


def upcoming(schedule: Schedule, after: int, count: int, *, before: int | None = None) -> list[int]:
    """The next ticks after an instant, at most so many, and before another instant if one is given."""
    return following(times_of(schedule), after, count, before=before)


def following(times: Timetable, after: int, count: int, *, before: int | None = None) -> list[int]:
    """As `upcoming`, by a timetable."""
    found = list[int]()
    while len(found) < count:
        instant = times.after(after)
        if instant is None or (before is not None and instant >= before):
            break
        found.append(instant)
        after = instant
    return found


def in_words(schedule: Schedule) -> str:
    """When its ticks are due, for people: "At 09:00 on Monday through Friday", "Every 5 min".

    A cron expression stays as it is if this process can't read it.
    """
    if not schedule.cron:
        return f"Every {exactly(schedule.every_ms)}"
    try:
        return simulator(schedule.cron, EPOCH).explain()
    except TaskQueueError:
        return schedule.cron


UNITS: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s"), (1, "ms"))


def exactly(ms: int) -> str:
    """A duration without rounding: "5 min", "1 h 40 min"."""
    parts = list[str]()
    for size, unit in UNITS:
        count, ms = divmod(ms, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts)
