"""Schedules: which ticks are due, which were missed, and what a store accepts. The contracts show the rest."""

import pickle
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from kew.domain.requests import Word
from kew.domain.schedule import (
    MOST_COUNTED,
    ON_TIME_MS,
    DuePlan,
    Intervals,
    Limited,
    Missed,
    Overlap,
    Schedule,
    StoredSchedule,
    Tick,
    TickCommit,
    call_of,
    committed,
    delay_of,
    due_in,
    iso,
    judge,
    missed_in,
    pause,
    plan,
    put,
    resume,
    tick_id,
    tick_nonce,
    tick_of,
)
from kew.domain.schedule_errors import MissingExtraError, ScheduleNotFoundError
from kew.domain.task import Submission, Task, TaskStatus

HOUR = 3_600_000
HOURLY = Intervals(HOUR)
CALL = Submission(id="", nonce="", task_type="t", function="f", payload=b"", priority=2)
NINE = 1_764_493_200_000  # 2025-11-30 09:00


def stored(after: int = NINE, *, paused_at: int = 0, **changes: Any) -> StoredSchedule:
    schedule = Schedule(name="hourly", queue="q", call=CALL, every_ms=HOUR, **changes)
    return StoredSchedule(schedule=schedule, edition="e", after=after, paused_at=paused_at)


def task(status: TaskStatus = TaskStatus.QUEUED, **changes: Any) -> Task:
    given: dict[str, Any] = {"ready_at": 0, "ticket": 1, "queued_at": NINE, **changes}
    call = attrs.evolve(CALL, id=tick_id("hourly", NINE), nonce=tick_nonce("e", 3))
    return Task(**{"call": call, "queue": "q", "status": status, **given})


# --- ids


def test_a_tick_has_the_id_of_its_schedule_and_its_instant():
    assert tick_id("a", NINE) == "a@2025-11-30T09:00:00Z"
    assert iso(NINE + 7) == "2025-11-30T09:00:00.007Z"


@pytest.mark.parametrize("due", [NINE, NINE + 7, 1, -5])
def test_the_due_time_is_read_from_the_id(due: int):
    assert due_in(tick_id("a@b", due)) == due


@pytest.mark.parametrize("task_id", ["a", "a@", "a@Z", "a@2025-11-30T09:00:00", "a@2025-13-30Z"])
def test_other_ids_have_no_due_time(task_id: str):
    assert due_in(task_id) is None


def test_the_nonce_says_how_many_ticks_were_missed():
    assert missed_in(tick_nonce("edition", 12)) == 12
    assert [missed_in(nonce) for nonce in ("", "n1", "tickx")] == [0, 0, 0]


def test_a_task_knows_which_tick_it_is():
    due = datetime(2025, 11, 30, 9, tzinfo=UTC)
    assert tick_of(task(started_at=NINE + 1500)) == Tick(name="hourly", due=due, late=1.5, missed=3)
    other = task(started_at=NINE + 250).moved(call=attrs.evolve(CALL, id="mine"))
    assert tick_of(other) == Tick(due=due, late=0.25)


def test_the_jitter_of_a_tick_is_always_the_same_and_that_of_others_differs():
    delays = [delay_of(tick_id("a", NINE + n * HOUR), 30_000) for n in range(100)]
    assert delays == [delay_of(tick_id("a", NINE + n * HOUR), 30_000) for n in range(100)]
    assert len(set(delays)) > 90
    assert min(delays) >= 0 and max(delays) <= 30_000  # noqa: PT018 - one range
    assert {delay_of(str(n), 1) for n in range(20)} == {0, 1}


def test_a_tick_is_deferred_by_its_jitter():
    schedule = stored(jitter_ms=30_000).schedule
    call = call_of(schedule, NINE, "n")
    assert (call.id, call.nonce) == (tick_id("hourly", NINE), "n")
    assert call.due_at == NINE + delay_of(call.id, 30_000)
    assert call_of(stored().schedule, NINE, "n").due_at is None


# --- when


def test_intervals_count_from_their_start():
    assert [HOURLY.after(NINE), HOURLY.until(NINE)] == [NINE + HOUR, NINE]
    odd = Intervals(HOUR, NINE + 7)
    assert [odd.after(NINE), odd.until(NINE)] == [NINE + 7, NINE + 7 - HOUR]
    assert [odd.after(NINE + 7), odd.until(NINE + 7)] == [NINE + 7 + HOUR, NINE + 7]


def test_a_start_and_an_end_limit_the_ticks():
    times = Limited(HOURLY, NINE, NINE + 2 * HOUR)
    assert [times.after(0), times.after(NINE), times.after(NINE + HOUR)] == [
        NINE,
        NINE + HOUR,
        None,
    ]
    assert [times.until(NINE - 1), times.until(NINE), times.until(NINE + 9 * HOUR)] == [
        None,
        NINE,
        NINE + HOUR,
    ]
    always = Limited(HOURLY, None, None)
    assert (always.after(NINE), always.until(NINE)) == (NINE + HOUR, NINE)
    never = Limited(Never(), None, None)
    assert (never.after(0), never.until(0)) == (None, None)


class Never:
    """A timetable without ticks."""

    def after(self, instant: int) -> int | None:
        return None

    def until(self, instant: int) -> int | None:
        return None


def test_nothing_is_due_before_the_next_tick():
    assert plan(stored(), HOURLY, NINE + HOUR - 1) == DuePlan(next_at=NINE + HOUR)
    assert plan(stored(), Never(), NINE) == DuePlan()


def test_a_tick_is_due_from_its_instant_on():
    due = NINE + HOUR
    assert plan(stored(), HOURLY, due) == DuePlan(upto=due, submits=True, next_at=due + HOUR)


def test_a_paused_schedule_has_no_ticks():
    assert plan(stored(paused_at=1), HOURLY, NINE + HOUR) == DuePlan()


@pytest.mark.parametrize("missed", Missed)
def test_a_tick_that_is_less_than_a_minute_late_was_not_missed(missed: Missed):
    now = NINE + HOUR + ON_TIME_MS
    known = stored(missed=missed, catch_up_ms=0)
    assert plan(known, HOURLY, now).submits
    assert not plan(known, HOURLY, now + 1).submits


def test_of_several_ticks_the_last_is_submitted():
    now = NINE + 5 * HOUR + 1
    found = plan(stored(), HOURLY, now)
    assert found == DuePlan(upto=NINE + 5 * HOUR, submits=True, missed=4, next_at=NINE + 6 * HOUR)


def test_a_tick_that_is_later_than_catch_up_is_passed_over():
    now = NINE + 5 * HOUR + HOUR // 2
    found = plan(stored(catch_up_ms=HOUR // 2 - 1), HOURLY, now)
    assert (found.upto, found.submits) == (NINE + 5 * HOUR, False)
    assert plan(stored(catch_up_ms=HOUR // 2), HOURLY, now).submits


def test_all_ticks_are_submitted_that_are_not_later_than_catch_up():
    now = NINE + 5 * HOUR + 1
    known = stored(missed=Missed.ALL, catch_up_ms=2 * HOUR + 1)
    due, missed = [], []
    while (found := plan(known, HOURLY, now)).upto is not None:
        assert found.submits
        due.append(found.upto)
        missed.append(found.missed)
        known = attrs.evolve(known, after=found.upto)
    assert due == [NINE + 3 * HOUR, NINE + 4 * HOUR, NINE + 5 * HOUR]
    assert missed == [2, 0, 0]


def test_all_ticks_with_no_time_to_catch_up_are_the_last_if_it_is_on_time():
    now = NINE + 5 * HOUR + 5
    found = plan(stored(missed=Missed.ALL, catch_up_ms=0), HOURLY, now)
    assert (found.upto, found.submits, found.missed) == (NINE + 5 * HOUR, True, 4)
    limited = Limited(HOURLY, None, NINE + 3 * HOUR)
    found = plan(stored(missed=Missed.ALL, catch_up_ms=0), limited, now)
    assert (found.upto, found.submits) == (NINE + 2 * HOUR, False)


def test_skipped_are_all_ticks_but_one_that_is_on_time():
    known = stored(missed=Missed.SKIP)
    assert plan(known, HOURLY, NINE + 5 * HOUR + 1).submits
    assert not plan(known, HOURLY, NINE + 5 * HOUR + HOUR // 2).submits


def test_not_more_than_a_thousand_missed_ticks_are_counted():
    found = plan(stored(), HOURLY, NINE + 5_000 * HOUR)
    assert (found.upto, found.missed) == (NINE + 5_000 * HOUR, MOST_COUNTED)


# --- what a store does


def test_a_schedule_begins_when_it_is_put():
    schedule = stored().schedule
    first, word = put(None, schedule, "e", NINE)
    assert (first, word) == (stored(), Word.DONE)
    assert put(first, schedule, "e2", NINE + 5) == (first, Word.SAME)


@pytest.mark.parametrize(
    ("change", "after"),
    [
        ({"overlap": Overlap.ALLOW}, NINE),
        ({"ends_at": 5}, NINE),
        ({"tz": "Europe/Berlin"}, NINE + 5),
        ({"starts_at": 5}, NINE + 5),
    ],
)
def test_with_other_times_it_begins_anew(change: dict[str, Any], after: int):
    changed = attrs.evolve(stored().schedule, **change)
    known, word = put(stored(), changed, "e2", NINE + 5)
    assert (known.schedule, known.edition, known.after, word) == (changed, "e2", after, Word.DONE)


def test_a_pause_keeps_its_beginning_and_a_resume_ends_it():
    paused, word = pause(stored(), "why", NINE + 5)
    assert (paused.paused_at, paused.note, word) == (NINE + 5, "why", Word.DONE)
    assert pause(paused, "why", NINE + 9) == (paused, Word.SAME)
    assert pause(paused, "else", NINE + 9)[0].paused_at == NINE + 5
    assert resume(paused, NINE + 9) == (stored(NINE + 9), Word.DONE)
    assert resume(stored(), 5) == (stored(), Word.SAME)


def commit(**changes: Any) -> TickCommit:
    given: dict[str, Any] = {"name": "hourly", "edition": "e", "after": NINE, "call": CALL}
    return TickCommit(**{"upto": NINE + HOUR, **given, **changes})


def test_a_tick_is_judged():
    due, before = NINE + HOUR, task()
    skip = Overlap.SKIP
    assert judge(None, commit(), None, due) is Word.MISSING
    assert judge(stored(), commit(edition="other"), None, due) is Word.STALE
    assert judge(stored(), commit(after=1), None, due) is Word.STALE
    assert judge(stored(), commit(upto=NINE), None, due) is Word.STALE
    assert judge(stored(paused_at=1), commit(), None, due) is Word.STALE
    assert judge(stored(), commit(), None, due - 1) is Word.AHEAD
    assert judge(stored(), commit(), before, due) is Word.DONE
    assert judge(stored(), commit(overlap=skip), before, due) is Word.BUSY
    assert judge(stored(), commit(overlap=skip), task(TaskStatus.FAILED), due) is Word.DONE
    assert judge(stored(), commit(overlap=skip), None, due) is Word.DONE
    assert judge(stored(), commit(overlap=skip, call=None), before, due) is Word.DONE


@pytest.mark.parametrize(
    ("word", "overlap", "moves", "is_last"),
    [
        (Word.DONE, Overlap.SKIP, True, True),
        (Word.SAME, Overlap.SKIP, True, True),
        (Word.DUPLICATE, Overlap.SKIP, True, False),
        (Word.LATE, Overlap.SKIP, True, False),
        (Word.BUSY, Overlap.SKIP, True, False),
        (Word.BUSY, Overlap.ONE, False, False),
        (Word.FULL, Overlap.SKIP, False, False),
        (Word.DRAINING, Overlap.SKIP, False, False),
        (Word.KEY_FULL, Overlap.SKIP, False, False),
        (Word.NO_QUEUE, Overlap.SKIP, False, False),
    ],
)
def test_what_a_refused_tick_leaves(word: Word, overlap: Overlap, moves: bool, is_last: bool):
    after = committed(stored(), commit(overlap=overlap), word)
    assert after.after == (NINE + HOUR if moves else NINE)
    assert after.last_due == (NINE + HOUR if is_last else 0)
    assert after.last_task_id == (tick_id("hourly", NINE + HOUR) if is_last else "")


def test_a_tick_that_is_passed_over_is_not_the_last_one():
    assert committed(stored(), commit(call=None), Word.DONE).last_due == 0


def test_the_errors_say_what_to_do():
    missing = MissingExtraError("cron schedules", "cronsim", "schedules")
    assert vars(pickle.loads(pickle.dumps(missing))) == vars(missing)
    assert "kew[schedules]" in str(MissingExtraError("cron schedules", "cronsim", "schedules"))
    assert "did you mean 'hourly'" in str(ScheduleNotFoundError("hourl", known=["hourly"]))
