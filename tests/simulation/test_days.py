"""Whole processes with schedules, around each clock change; `python -m tests.simulation.days` takes all 100 days."""

from unittest.mock import patch

import pytest
from cronsim import CronSim

from kew.app.scheduling.elapsed_hours import ElapsedHours
from kew.domain import schedule as rules
from kew.domain.requests import Word
from kew.domain.schedule import Schedule, StoredSchedule
from tests.simulation.days import live_through
from tests.simulation.periods import CHANGES, HUNDRED, wanted

pytestmark = pytest.mark.no_cover


@pytest.mark.parametrize("zone", CHANGES)
def test_around_a_clock_change_each_tick_is_one_task_and_none_is_early(zone: str):
    report = live_through(0, CHANGES[zone])
    assert report.wrong(CHANGES[zone]) == []
    assert len(report.created) >= 6
    assert report.processes > 3, "some of them died"


def test_a_hundred_days_have_a_tick_on_each_day_of_each_zone():
    assert len(wanted(HUNDRED)) == 3143


def put_as_if_it_were_new(
    known: StoredSchedule | None, schedule: Schedule, edition: str, now: int
) -> tuple[StoredSchedule, Word]:
    """A process that restarts declares its schedules again: they would begin again."""
    after = now if known is None else schedule.starts_at or 0
    return StoredSchedule(schedule=schedule, edition=edition, after=after), Word.DONE


def test_a_tick_that_fires_twice_is_found():
    with patch.object(rules, "put", put_as_if_it_were_new):
        wrong = live_through(0, CHANGES["Europe/Berlin"]).wrong(CHANGES["Europe/Berlin"])
    assert any(" times" in each for each in wrong), wrong


def test_a_tick_that_is_lost_in_a_gap_is_found():
    period = CHANGES["Australia/Lord_Howe"]
    with patch.object(ElapsedHours, "advance_hour", CronSim.advance_hour):
        wrong = live_through(0, period).wrong(period)
    assert wrong == ["Australia/Lord_Howe/often@2011-10-01T17:15:00Z never became a task"]
