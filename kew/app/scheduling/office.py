"""What people ask of schedules, and do to them."""

from __future__ import annotations

import dataclasses
from collections.abc import MutableSequence, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import attrs

from kew.app.lookups import MOST_IDS
from kew.app.ports import (
    Entropy,
    Find,
    ListedSchedules,
    ListSchedules,
    Processes,
    PutSchedule,
    SteerSchedule,
    Submit,
    TaskStore,
)
from kew.app.processes import read_report
from kew.app.repeat import ask
from kew.app.scheduling.overdue import next_due, overdue_since
from kew.app.scheduling.timetables import (
    checked_instant,
    following,
    in_words,
    instant_of,
    local,
    timetable,
    upcoming,
    zone_of,
)
from kew.domain.errors import (
    QueueDrainingError,
    QueueFullError,
    QueueNotFoundError,
    shown,
)
from kew.domain.holding import check_note
from kew.domain.requests import Group, Word
from kew.domain.schedule import (
    Schedule,
    ScheduleVerb,
    StoredSchedule,
    call_of,
    tick_id,
    tick_nonce,
)
from kew.domain.schedule_errors import InvalidScheduleError, ScheduleNotFoundError

MOST_NEXT: Final = 1_000
MOST_BACKFILLED: Final = 10_000
BACKFILLED_AT_ONCE: Final = 100


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleInfo:
    """A schedule as it is now. Durations in seconds; times are aware datetimes in the schedule's zone.

    `cron` or `every` says when; the other is None. `words`: the same for people, such as "Every 5 min". `source`:
    "code" for one that a decorator declares, "data" for one that was put. `undeclared`: code declared it once, and no
    process that works on its queue does now; it goes on until it is removed. `paused_time`: None unless it is paused;
    `note`: why. `next_time`: of the next tick, None if there is none. `last_time`, `last_task_id`: of the tick that was
    submitted last. `overdue`: the next tick should have been submitted minutes ago; `kew status` says why it was not.
    """

    name: str
    queue: str
    function: str
    cron: str | None
    every: float | None
    words: str
    tz: str
    overlap: str
    missed: str
    catch_up: float
    jitter: float
    start: datetime | None
    end: datetime | None
    source: str
    undeclared: bool
    paused_time: datetime | None
    note: str
    next_time: datetime | None
    last_time: datetime | None
    last_task_id: str | None
    overdue: bool = False

    @property
    def paused(self) -> bool:
        """It submits no ticks until it is resumed."""
        return self.paused_time is not None

    def next_times(self, n: int = 5) -> Sequence[datetime]:
        """When its next `n` ticks are due, from `next_time` on; none while it is paused."""
        if self.next_time is None:
            return []
        times = timetable(
            self.cron or "",
            round((self.every or 0) * 1000),
            self.tz,
            *(None if moment is None else instant_of(moment) for moment in (self.start, self.end)),
        )
        found = following(times, instant_of(self.next_time) - 1, n)
        return [local(due, _zone(self.tz)) for due in found]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, times as ISO 8601 text."""
        values = dataclasses.asdict(self)
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in values.items()
        }


def info_of(stored: StoredSchedule, now: int, *, undeclared: bool) -> ScheduleInfo:
    """A stored schedule as people see it at an instant."""
    schedule = stored.schedule
    zone = _zone(schedule.tz)
    return ScheduleInfo(
        name=schedule.name,
        queue=schedule.queue,
        function=schedule.call.function,
        cron=schedule.cron or None,
        every=schedule.every_ms / 1000 if schedule.every_ms else None,
        words=in_words(schedule),
        tz=schedule.tz,
        overlap=schedule.overlap.value,
        missed=schedule.missed.value,
        catch_up=schedule.catch_up_ms / 1000,
        jitter=schedule.jitter_ms / 1000,
        start=_moment(schedule.starts_at, zone),
        end=_moment(schedule.ends_at, zone),
        source="code" if schedule.by_code else "data",
        undeclared=schedule.by_code and undeclared,
        paused_time=_moment(stored.paused_at or None, zone),
        note=stored.note,
        next_time=_moment(next_due(stored), zone),
        last_time=_moment(stored.last_due or None, zone),
        last_task_id=stored.last_task_id or None,
        overdue=overdue_since(stored, now) is not None,
    )


def _zone(name: str) -> ZoneInfo:
    """The zone; UTC if this system doesn't know it."""
    try:
        return zone_of(name)
    except InvalidScheduleError:
        return ZoneInfo("UTC")


def _moment(instant: int | None, zone: ZoneInfo) -> datetime | None:
    return None if instant is None else local(instant, zone)


class ScheduleOffice:
    """Reads the schedules of a namespace, and changes them."""

    def __init__(self, store: TaskStore, entropy: Entropy) -> None:
        self._store = store
        self._entropy = entropy

    async def put(self, schedule: Schedule) -> None:
        """Keep it in place of the one of its name."""
        await ask(self._store, PutSchedule(schedule, self._entropy.identity()))

    async def list(self, queue: str | None = None) -> Sequence[ScheduleInfo]:
        """All of them, or those of a queue, by name."""
        listed = await self._listed()
        found = [it for it in listed.schedules if queue in (None, it.schedule.queue)]
        return await self._infos(found, listed.now_ms)

    async def stored(self, *queues: str) -> Sequence[StoredSchedule]:
        """As the store has them, of these queues at least; of all without any."""
        return (await ask(self._store, ListSchedules(queues))).schedules

    async def get(self, name: str) -> ScheduleInfo:
        """One of them. Raises `ScheduleNotFoundError`."""
        stored, now = await self._find(name)
        return (await self._infos([stored], now))[0]

    async def next(self, name: str, count: int) -> Sequence[datetime]:
        """Its next ticks, as if it weren't paused. Raises `ScheduleNotFoundError`."""
        if type(count) is not int or not 0 < count <= MOST_NEXT:
            raise InvalidScheduleError(f"from 1 to {MOST_NEXT} ticks, not {shown(count)}")
        stored, now = await self._find(name)
        schedule = stored.schedule
        after = max(stored.after, now) if stored.paused_at else stored.after
        return [local(due, _zone(schedule.tz)) for due in upcoming(schedule, after, count)]

    async def steer(self, name: str, verb: ScheduleVerb, note: str = "") -> None:
        """Pause, resume or remove it. Raises `ScheduleNotFoundError`."""
        if verb is ScheduleVerb.PAUSE:
            check_note(note)
        stored, _ = await self._find(name)
        word = await ask(self._store, SteerSchedule(stored.schedule.queue, name, verb, note))
        if word is Word.MISSING and verb is not ScheduleVerb.REMOVE:
            raise ScheduleNotFoundError(name)

    async def run_now(self, name: str) -> str:
        """Submit its task now, beside its ticks: the task's id. Raises as `backfill` does."""
        stored, now = await self._find(name)
        schedule = attrs.evolve(stored.schedule, jitter_ms=0)
        await self._submit(schedule, [now])
        return tick_id(name, now)

    async def backfill(
        self, name: str, start: datetime, end: datetime, *, dry_run: bool = False
    ) -> Sequence[str]:
        """Submit the ticks from `start` on and before `end`, whose ids are free: these ids.

        Raises `ScheduleNotFoundError`, `InvalidScheduleError`, and `QueueFullError`, `QueueDrainingError` or
        `QueueNotFoundError`, whose `accepted` are the ids that were submitted. `dry_run`: only find the ids.
        """
        stored, _ = await self._find(name)
        first, last = _checked("start", start), _checked("end", end)
        if last < first:
            raise InvalidScheduleError("the end of the time to backfill lies before its start")
        dues = upcoming(stored.schedule, first - 1, MOST_BACKFILLED + 1, before=last)
        if len(dues) > MOST_BACKFILLED:
            raise InvalidScheduleError(
                f"more than {MOST_BACKFILLED} ticks lie between these times: backfill in parts"
            )
        if dry_run:
            return await self._free([tick_id(name, due) for due in dues])
        return await self._submit(stored.schedule, dues)

    async def _free(self, ids: Sequence[str]) -> Sequence[str]:
        """Those of the ids that no task has."""
        free = list[str]()
        for first in range(0, len(ids), MOST_IDS):
            piece = ids[first : first + MOST_IDS]
            found = await ask(self._store, Find(list(piece)))
            free += (task_id for task_id, task in zip(piece, found, strict=True) if task is None)
        return free

    async def _submit(self, schedule: Schedule, dues: Sequence[int]) -> Sequence[str]:
        nonce = tick_nonce(self._entropy.identity(), 0)
        accepted: MutableSequence[str] = []
        for first in range(0, len(dues), BACKFILLED_AT_ONCE):
            calls = [
                call_of(schedule, due, nonce) for due in dues[first : first + BACKFILLED_AT_ONCE]
            ]
            groups = tuple(Group(submissions=(call,)) for call in calls)
            answer = await ask(self._store, Submit(schedule.queue, groups))
            for call, outcome in zip(calls, answer.outcomes, strict=True):
                if outcome.word in (Word.DONE, Word.SAME):
                    accepted.append(call.id)
            for outcome in answer.outcomes:
                _check(schedule, outcome.word, accepted)
        return accepted

    async def _listed(self) -> ListedSchedules:
        return await ask(self._store, ListSchedules())

    async def _find(self, name: str) -> tuple[StoredSchedule, int]:
        listed = await self._listed()
        for stored in listed.schedules:
            if stored.schedule.name == name:
                return stored, listed.now_ms
        raise ScheduleNotFoundError(name, known=[it.schedule.name for it in listed.schedules])

    async def _infos(self, found: Sequence[StoredSchedule], now: int) -> Sequence[ScheduleInfo]:
        """Which of those that code declared are still declared is said by the processes that live."""
        declared, worked = set[str](), set[str]()
        if any(each.schedule.by_code for each in found):
            for process in await ask(self._store, Processes()):
                report = read_report(process.report)
                declared.update(report.schedules if report else ())
                worked.update(process.queues)
        return [
            info_of(
                it, now, undeclared=it.schedule.name not in declared and it.schedule.queue in worked
            )
            for it in found
        ]


def _checked(name: str, value: object) -> int:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InvalidScheduleError(f"{name} takes an aware datetime, not {shown(value)}")
    return checked_instant(name, value)


def _check(schedule: Schedule, word: Word, accepted: Sequence[str]) -> None:
    match word:
        case Word.DONE | Word.SAME | Word.DUPLICATE:
            return
        case Word.FULL:
            raise QueueFullError(schedule.queue, 0, accepted)
        case Word.DRAINING:
            raise QueueDrainingError(schedule.queue, accepted)
        case Word.NO_QUEUE:
            raise QueueNotFoundError(schedule.queue, accepted)
        case _:
            raise InvalidScheduleError(
                f"schedule {schedule.name!r}: its queue refuses the task ({word.value})"
            )
