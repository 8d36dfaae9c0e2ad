"""What a program says of a schedule, checked, as a value to be stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypedDict, TypeVar

import attrs

from kew.app.scheduling.timetables import checked_instant, times_of, zone_of
from kew.domain.backoff import LONGEST_DELAY, as_seconds, is_within
from kew.domain.errors import shown
from kew.domain.schedule import Missed, Overlap, Schedule
from kew.domain.schedule_errors import InvalidScheduleError
from kew.domain.suggestions import did_you_mean, taking
from kew.domain.task import PINNED, Submission

NAME: Final = re.compile(r"[\w.:/<>-]{1,100}", re.ASCII)
CATCH_UP: Final = 86_400.0
SHORTEST: Final = 0.1
FIELDS: Final = 5  # cronsim takes six, too, the first for seconds
E = TypeVar("E", Overlap, Missed)


class Timing(TypedDict, total=False):
    """What may be said of a schedule beside its cron expression or interval; durations in seconds or as timedeltas."""

    tz: str
    overlap: Literal["skip", "one", "allow"] | Overlap
    missed: Literal["skip", "one", "all"] | Missed
    catch_up: float | timedelta
    jitter: float | timedelta
    start: datetime | None
    end: datetime | None


TIMING: Final = tuple(Timing.__annotations__)


def check_timing(timing: Mapping[str, object]) -> None:
    """Raise TypeError for an option that `Timing` doesn't have."""
    for name in timing:
        if name not in TIMING:
            meant = did_you_mean(name, TIMING)
            raise TypeError(
                f"put() has no option {name!r}{taking(TIMING, meant)}; those of the task belong to @manager.task"
            )


def _args(value: Any) -> tuple[object, ...]:
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise InvalidScheduleError(
            f"args takes a sequence of arguments, such as args=('acme',), not {shown(value)}"
        )
    return tuple(value)


def _kwargs(value: Any) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise InvalidScheduleError(
            f"kwargs takes a mapping of names to arguments, such as {{'full': True}}, not {shown(value)}"
        )
    return dict(value)


@attrs.frozen(kw_only=True)
class Declaration:
    """A schedule that a program declares: of which function, with which arguments, and when."""

    name: str
    queue: str
    function: Any
    task_type: str
    cron: str | None
    every: float | timedelta | None
    args: tuple[object, ...] = attrs.field(default=(), converter=_args)
    kwargs: dict[str, object] = attrs.field(default=None, converter=_kwargs)
    timing: Timing = attrs.field(factory=Timing)

    def check(self) -> None:
        """Raise `InvalidScheduleError` for what can't be."""
        call = Submission(
            id=self.name, nonce="", task_type="", function="", payload=b"", priority=1
        )
        self.schedule(call, by_code=True)

    def schedule(self, call: Submission, *, by_code: bool) -> Schedule:
        """The value to be stored. Raises `InvalidScheduleError`."""
        name: object = self.name
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise InvalidScheduleError(
                "a schedule's name has 1 to 100 letters, digits, and . _ - : / < >, not "
                f"{shown(self.name)}"
            )
        if call.function.startswith(PINNED):
            raise InvalidScheduleError(
                f"schedule {self.name!r}: other processes can't find a closure, lambda or bound method; schedule a "
                "function of a module, or register it under a name"
            )
        return _schedule(self, call, by_code=by_code)


def _schedule(said: Declaration, call: Submission, *, by_code: bool) -> Schedule:
    timing, cron = said.timing, _cron(said.cron)
    if (said.cron is None) is (said.every is None):
        raise InvalidScheduleError(
            f"schedule {said.name!r}: give a cron expression or every=seconds, one of them"
        )
    schedule = Schedule(
        name=said.name,
        queue=said.queue,
        call=call,
        cron=cron,
        every_ms=0 if said.every is None else _ms("every", said.every, SHORTEST),
        tz=_tz(timing.get("tz", "UTC")),
        overlap=_one_of(Overlap, "overlap", timing.get("overlap", Overlap.SKIP)),
        missed=_one_of(Missed, "missed", timing.get("missed", Missed.ONE)),
        catch_up_ms=_ms("catch_up", timing.get("catch_up", CATCH_UP)),
        jitter_ms=_ms("jitter", timing.get("jitter", 0.0)),
        starts_at=_instant("start", timing.get("start")),
        ends_at=_instant("end", timing.get("end")),
        by_code=by_code,
    )
    first, last = schedule.starts_at, schedule.ends_at
    if first is not None and last is not None and last <= first:
        raise InvalidScheduleError(
            f"schedule {said.name!r}: it would have no tick, since its end is not after its start"
        )
    times_of(schedule)
    return schedule


def _cron(value: object) -> str:
    """A cron expression with single blanks; "" for none."""
    if value is None:
        return ""
    if not isinstance(value, str) or not value.strip():
        raise InvalidScheduleError(f"cron takes text such as '0 9 * * mon-fri', not {shown(value)}")
    fields = value.split()
    if len(fields) != FIELDS:
        raise InvalidScheduleError(
            f"cron takes five fields (minute, hour, day of month, month, day of week), such as '0 9 * * mon-fri', "
            f"not {shown(value)}; for seconds, give every="
        )
    return " ".join(fields)


def _tz(value: str) -> str:
    return zone_of(value).key


def _one_of(kind: type[E], name: str, value: Any) -> E:
    try:
        return kind(value)
    except ValueError:
        legal = ", ".join(repr(each.value) for each in kind)
        raise InvalidScheduleError(f"{name} is one of {legal}, not {shown(value)}") from None


def _ms(name: str, value: object, least: float = 0.0) -> int:
    seconds: Any = as_seconds(value)  # type: ignore[arg-type]  # whatever a user gave
    if not is_within(seconds, least, LONGEST_DELAY):
        more = f", at least {least:g}" if least else ""
        raise InvalidScheduleError(f"{name} takes seconds or a timedelta{more}, not {shown(value)}")
    return round(float(seconds) * 1000)


def _instant(name: str, value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InvalidScheduleError(
            f"{name} takes an aware datetime, such as datetime(2027, 1, 1, tzinfo=UTC), not {shown(value)}"
        )
    return checked_instant(name, value)
