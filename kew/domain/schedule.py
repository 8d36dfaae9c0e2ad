"""A schedule as a value, and the rules of its ticks: which of them a process wants to submit, and what a store accepts.

A store remembers of a schedule up to which instant its ticks were dealt with (`after`). The next one follows from that
and from the timetable, so no process has to compute it before another one may. All instants are ms of the store's
clock.
"""

from __future__ import annotations

import enum
import zlib
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import attrs

from kew.domain.requests import Word
from kew.domain.task import Submission, Task

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ON_TIME_MS: Final = 60_000
"""A tick that is no later than this was not missed, if no other one is due since."""
MOST_COUNTED: Final = 1_000
"""As many missed ticks are counted; there may be more."""


class Overlap(enum.StrEnum):
    """What becomes of a tick that is due while the task of the one before has not ended.

    SKIP: it is passed over. ONE: it waits until that task has ended, and so do later ones, which become one task.
    ALLOW: it is submitted.
    """

    SKIP = "skip"
    ONE = "one"
    ALLOW = "allow"


class Missed(enum.StrEnum):
    """What becomes of ticks that no process could submit in time: none is made up for, the last one, or all."""

    SKIP = "skip"
    ONE = "one"
    ALL = "all"


@attrs.frozen(kw_only=True)
class Tick:
    """Which tick of a schedule a task is, for a parameter that is annotated with it.

    `due`: when, in UTC. `late`: how many seconds later the store started this attempt. `missed`: how many ticks before
    it were passed over, since no process could submit them in time (1,000 are counted). A task that was submitted
    otherwise was due when it was submitted, and its `name` is "".
    """

    name: str = ""
    due: datetime
    late: float = 0.0
    missed: int = 0


class ScheduleVerb(enum.StrEnum):
    """What people do to a schedule."""

    PAUSE = "pause"
    RESUME = "resume"
    REMOVE = "remove"


class Timetable(Protocol):
    """When a schedule's ticks are due."""

    def after(self, instant: int) -> int | None:
        """The first one that is later; None: there is none."""

    def until(self, instant: int) -> int | None:
        """The last one that is not later; None: there is none."""


@attrs.frozen(kw_only=True)
class Schedule:
    """What is to run, and when: by `cron`, in the zone `tz`, or every so many ms.

    `call` is what each tick submits, but for its id and nonce. `catch_up_ms`: how late a missed tick may be.
    `jitter_ms`: how much later a tick starts at most. `by_code`: a decorator declared it.
    """

    name: str
    queue: str
    call: Submission
    cron: str = ""
    every_ms: int = 0
    tz: str = "UTC"
    overlap: Overlap = Overlap.SKIP
    missed: Missed = Missed.ONE
    catch_up_ms: int = 86_400_000
    jitter_ms: int = 0
    starts_at: int | None = None
    ends_at: int | None = None
    by_code: bool = False

    @property
    def times(self) -> tuple[object, ...]:
        """What its instants follow from."""
        return self.cron, self.every_ms, self.tz, self.starts_at


@attrs.frozen(kw_only=True)
class StoredSchedule:
    """A schedule in a store. `edition` identifies what was put last.

    `after`: its ticks up to here were dealt with. `paused_at`: 0 unless it is paused; `note`: why. `last_due`: of the
    tick that was submitted last; 0: none was.
    """

    schedule: Schedule
    edition: str
    after: int
    paused_at: int = 0
    last_due: int = 0
    note: str = ""

    @property
    def last_task_id(self) -> str:
        """The id of the task that was submitted last; "": none was."""
        return tick_id(self.schedule.name, self.last_due) if self.last_due else ""


@attrs.frozen(kw_only=True)
class TickCommit:
    """What a process wants a store to do at once: deal with the ticks up to `upto`, and submit the task of that one.

    `edition` and `after` are those that it knows. `call` None: no task.
    """

    name: str
    edition: str
    after: int
    upto: int
    overlap: Overlap = Overlap.ALLOW
    call: Submission | None = None


@attrs.frozen(kw_only=True)
class DuePlan:
    """What to do for a schedule: deal with its ticks up to `upto` and submit that one if `submits`, or wait.

    `upto` None: nothing is due. `next_at` None: no tick will be due. `missed`: how many ticks before it are passed
    over.
    """

    upto: int | None = None
    submits: bool = False
    missed: int = 0
    next_at: int | None = None


# --- ids


def iso(instant: int) -> str:
    """An instant as text: 2026-11-30T09:00:00Z, with ms if there are any."""
    text = (EPOCH + timedelta(milliseconds=instant)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{instant % 1000:03}Z" if instant % 1000 else f"{text}Z"


def tick_id(name: str, due: int) -> str:
    """The id of a tick's task."""
    return f"{name}@{iso(due)}"


def due_in(task_id: str) -> int | None:
    """The due time in the id of a tick's task; None: it is no such id."""
    _, at, text = task_id.rpartition("@")
    if not at or not text.endswith("Z"):
        return None
    try:
        return (datetime.fromisoformat(text) - EPOCH) // timedelta(milliseconds=1)
    except ValueError:
        return None


def tick_nonce(edition: str, missed: int) -> str:
    """The nonce of a tick's submit, which also says how many ticks before it were passed over."""
    return f"{edition}tick{missed}"


def missed_in(nonce: str) -> int:
    """How many ticks were passed over, by a tick's nonce; 0 for any other one."""
    _, is_tick, count = nonce.rpartition("tick")
    return int(count) if is_tick and count.isdecimal() else 0


def tick_of(task: Task) -> Tick:
    """Which tick a running task is."""
    due = due_in(task.id)
    name = "" if due is None else task.id.rpartition("@")[0]
    due = task.queued_at if due is None else due
    return Tick(
        name=name,
        due=EPOCH + timedelta(milliseconds=due),
        late=max(0, task.started_at - due) / 1000,
        missed=missed_in(task.call.nonce),
    )


def delay_of(task_id: str, jitter_ms: int) -> int:
    """How much later than its due time a tick starts (0 to `jitter_ms`): always the same for one id."""
    return zlib.crc32(task_id.encode()) * (jitter_ms + 1) >> 32


def call_of(schedule: Schedule, due: int, nonce: str) -> Submission:
    """What a tick submits."""
    task_id = tick_id(schedule.name, due)
    due_at = due + delay_of(task_id, schedule.jitter_ms) if schedule.jitter_ms else None
    return attrs.evolve(schedule.call, id=task_id, nonce=nonce, due_at=due_at)


# --- when


@attrs.frozen
class Intervals:
    """Every so many ms, counted from `start`."""

    every_ms: int
    start: int = 0

    def after(self, instant: int) -> int | None:
        """The first one that is later."""
        return self.start + ((instant - self.start) // self.every_ms + 1) * self.every_ms

    def until(self, instant: int) -> int | None:
        """The last one that is not later."""
        return self.start + (instant - self.start) // self.every_ms * self.every_ms


@attrs.frozen
class Limited:
    """A timetable from `start` on and before `end`, each None without one."""

    times: Timetable
    start: int | None
    end: int | None

    def after(self, instant: int) -> int | None:
        """The first one that is later; None: there is none."""
        if self.start is not None and instant < self.start:
            instant = self.start - 1
        found = self.times.after(instant)
        return None if found is None or self._has_ended(found) else found

    def until(self, instant: int) -> int | None:
        """The last one that is not later; None: there is none."""
        if self.end is not None and instant >= self.end:
            instant = self.end - 1
        found = self.times.until(instant)
        return None if found is None or (self.start is not None and found < self.start) else found

    def _has_ended(self, instant: int) -> bool:
        return self.end is not None and instant >= self.end


def plan(stored: StoredSchedule, times: Timetable, now: int) -> DuePlan:
    """What to do for a schedule now.

    Of several ticks that are due all but the last were missed, and the last too if it is late by more than
    `ON_TIME_MS`.
    """
    first = times.after(stored.after)
    if stored.paused_at or first is None or first > now:
        return DuePlan(next_at=None if stored.paused_at else first)
    schedule = stored.schedule
    second = times.after(first)
    last = first if second is None or second > now else max(first, times.until(now) or 0)
    catch_up_ms = 0 if schedule.missed is Missed.SKIP else schedule.catch_up_ms
    earliest = now - catch_up_ms
    due = last
    if schedule.missed is Missed.ALL and first < last:
        found = times.after(max(stored.after, earliest - 1))
        due = last if found is None else min(found, last)
    submits = due >= earliest or now - due <= ON_TIME_MS
    missed = _count(times, stored.after, due)
    return DuePlan(upto=due, submits=submits, missed=missed, next_at=times.after(due))


def _count(times: Timetable, after: int, before: int) -> int:
    """How many ticks lie between two instants, at most `MOST_COUNTED`."""
    count, instant = 0, times.after(after)
    while instant is not None and instant < before and count < MOST_COUNTED:
        count, instant = count + 1, times.after(instant)
    return count


# --- what a store does


def put(
    known: StoredSchedule | None, schedule: Schedule, edition: str, now: int
) -> tuple[StoredSchedule, Word]:
    """Replace the known schedule with this one. If its times differ, it starts over: nothing was missed.

    It stays paused. DONE or SAME.
    """
    if known is None:
        return StoredSchedule(schedule=schedule, edition=edition, after=now), Word.DONE
    if known.schedule == schedule:
        return known, Word.SAME
    after = known.after if known.schedule.times == schedule.times else now
    return attrs.evolve(known, schedule=schedule, edition=edition, after=after), Word.DONE


def pause(known: StoredSchedule, note: str, now: int) -> tuple[StoredSchedule, Word]:
    """Submit no ticks until it is resumed. DONE, or SAME if it is paused with this note."""
    if known.paused_at and known.note == note:
        return known, Word.SAME
    return attrs.evolve(known, paused_at=known.paused_at or now, note=note), Word.DONE


def resume(known: StoredSchedule, now: int) -> tuple[StoredSchedule, Word]:
    """Go on with the next tick: what was due meanwhile was not missed. DONE, or SAME if it isn't paused."""
    if not known.paused_at:
        return known, Word.SAME
    return attrs.evolve(known, paused_at=0, note="", after=now), Word.DONE


def judge(known: StoredSchedule | None, commit: TickCommit, before: Task | None, now: int) -> Word:
    """Whether a tick may be submitted. `before`: the task of the tick before, if the store has it.

    MISSING: there is no such schedule. STALE: it isn't what the process believes, or it is paused. AHEAD: the tick is
    due later. BUSY: the task of the tick before has not ended. DONE: it may.
    """
    if known is None:
        return Word.MISSING
    is_current = known.edition == commit.edition and known.after == commit.after
    if not is_current or known.paused_at or commit.upto <= known.after:
        return Word.STALE
    if commit.upto > now:
        return Word.AHEAD
    if commit.call is None or commit.overlap is Overlap.ALLOW:
        return Word.DONE
    return Word.BUSY if before is not None and not before.is_terminal else Word.DONE


LATER: Final = frozenset({Word.FULL, Word.KEY_FULL, Word.DRAINING, Word.NO_QUEUE})
"""Refusals of a submit after which the same tick is to be tried again."""


def committed(known: StoredSchedule, commit: TickCommit, word: Word) -> StoredSchedule:
    """The schedule after a tick, given what became of its submit.

    A queue that has no room, or takes nothing, delays the tick. One that can't be submitted, or whose id is in use, is
    dealt with. A tick that waits for the one before it (ONE) stays due.
    """
    if word in LATER or (word is Word.BUSY and commit.overlap is Overlap.ONE):
        return known
    is_in = commit.call is not None and word in (Word.DONE, Word.SAME)
    return attrs.evolve(known, after=commit.upto, last_due=commit.upto if is_in else known.last_due)
