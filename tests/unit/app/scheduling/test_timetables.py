"""Cron expressions in time zones: what clock changes do to ticks, walking ahead and back."""

import itertools
from datetime import UTC, datetime
from random import Random

import pytest

from kew import InvalidScheduleError, MissingExtraError
from kew.app.scheduling.timetables import Cron, exactly, instant_of, local, zone_of
from kew.domain.schedule import iso

DAY_MS = 86_400_000


def at(text: str) -> int:
    return instant_of(datetime.fromisoformat(text))


def ticks(expression: str, zone: str, start: str, count: int) -> list[str]:
    """The first ticks after a moment, in UTC."""
    times, instant, found = Cron(expression, zone_of(zone)), at(start), []
    for _ in range(count):
        after = times.after(instant)
        assert after is not None
        instant = after
        found.append(iso(instant))
    return found


@pytest.mark.parametrize(
    ("zone", "expression", "start", "expected"),
    [
        # 02:00 becomes 03:00: what is skipped comes right after the gap.
        (
            "Europe/Berlin",
            "30 2 * * *",
            "2026-03-28T00:00Z",
            ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
        ),
        # 03:00 becomes 02:00: what is repeated comes once.
        (
            "Europe/Berlin",
            "30 2 * * *",
            "2026-10-24T12:00Z",
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        ),
        (
            "America/New_York",
            "30 2 * * *",
            "2026-03-07T12:00Z",
            ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"],
        ),
        (
            "America/New_York",
            "30 1 * * *",
            "2026-10-31T12:00Z",
            ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"],
        ),
        # Half an hour: 02:00 becomes 02:30, and 02:00 becomes 01:30.
        (
            "Australia/Lord_Howe",
            "15 2 * * *",
            "2026-10-03T00:00Z",
            ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"],
        ),
        (
            "Australia/Lord_Howe",
            "45 1 * * *",
            "2026-04-04T00:00Z",
            ["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"],
        ),
        # December 30, 2011 is skipped: its tick comes right after the gap.
        (
            "Pacific/Apia",
            "0 9 * * *",
            "2011-12-29T00:00Z",
            ["2011-12-29T19:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T19:00:00Z"],
        ),
    ],
)
def test_fixed_hours_at_a_clock_change(zone: str, expression: str, start: str, expected: list[str]):
    assert ticks(expression, zone, start, len(expected)) == expected


@pytest.mark.parametrize(("day", "hours"), [("2026-03-28T23:00Z", 23), ("2026-10-24T22:00Z", 25)])
def test_wildcard_hours_go_by_elapsed_time(day: str, hours: int):
    found = ticks("0 * * * *", "Europe/Berlin", day, hours + 1)
    gaps = {at(b) - at(a) for a, b in itertools.pairwise(found)}
    assert gaps == {3_600_000}
    assert local(at(found[hours - 1]), zone_of("Europe/Berlin")).hour == 0


@pytest.mark.parametrize(
    ("zone", "around"),
    [
        ("Europe/Berlin", "2026-03-29T01:00Z"),
        ("Europe/Berlin", "2026-10-25T01:00Z"),
        ("America/New_York", "2026-11-01T06:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30Z"),
        ("Pacific/Apia", "2011-12-30T10:00Z"),
    ],
)
@pytest.mark.parametrize(
    "expression", ["15,45 1,2 * * *", "30 */3 * * *", "*/20 * * * *", "0 9 * * *"]
)
def test_the_last_tick_is_the_one_that_walking_ahead_meets_last(
    zone: str, around: str, expression: str
):
    times, middle = Cron(expression, zone_of(zone)), at(around)
    known, instant = list[int](), times.after(middle - 4 * DAY_MS)
    while instant is not None and instant < middle + 3 * DAY_MS:
        known.append(instant)
        instant = times.after(instant)
    assert known == sorted(set(known))
    random = Random(f"{zone} {around} {expression}")
    probes = [middle + random.randrange(-DAY_MS, DAY_MS) for _ in range(40)]
    for probe in [*probes, *known[len(known) // 2 :][:3]]:
        assert times.until(probe) == max(each for each in known if each <= probe)


def test_an_expression_that_never_matches_again_has_no_ticks():
    times = Cron("0 0 29 2 *", zone_of("UTC"))
    assert iso(times.after(at("2026-01-01T00:00Z")) or 0) == "2028-02-29T00:00:00Z"
    assert times.after(at("9995-01-01T00:00Z")) is None
    assert times.until(at("0001-01-01T00:00Z")) is None


@pytest.mark.parametrize("expression", ["", "* * * *", "61 * * * *", "0 9 * * noday", "0 0 31 2 *"])
def test_a_bad_expression_is_refused(expression: str):
    with pytest.raises(InvalidScheduleError, match="cron takes five fields"):
        Cron(expression, zone_of("UTC"))


@pytest.mark.parametrize("name", ["Europe/Atlantis", "", "../etc/passwd", None, 7])
def test_an_unknown_zone_is_refused(name: object):
    with pytest.raises(InvalidScheduleError, match="tz takes the name of a time zone"):
        zone_of(name)


def test_without_cronsim_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "cronsim", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'kew\[schedules\]'") as raised:
        Cron("0 9 * * *", zone_of("UTC"))
    assert (raised.value.library, raised.value.extra) == ("cronsim", "schedules")


def test_instants_and_moments_are_the_same():
    moment = datetime(2026, 11, 30, 9, tzinfo=UTC)
    assert local(instant_of(moment), zone_of("Asia/Tokyo")) == moment


@pytest.mark.parametrize(
    ("ms", "words"),
    [(300_000, "5 min"), (100_000, "1 min 40 s"), (DAY_MS + 1_500, "1 d 1 s 500 ms")],
)
def test_an_interval_is_said_without_rounding(ms: int, words: str):
    assert exactly(ms) == words
