"""Schedules by HTTP."""

import logging
from datetime import datetime, timedelta

import pytest

from tests.unit.web.serving import served

SCHEDULES = "/api/schedules"
NIGHTLY = f"{SCHEDULES}/nightly"
DAY = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-04T00:00:00+01:00"}


async def job() -> None: ...


@pytest.fixture
async def client(manager):
    await manager.schedules.put("often", job, every=300, queue="mails")
    await manager.schedules.put(
        "nightly", job, "30 2 * * mon-fri", tz="Europe/Berlin", queue="mails"
    )
    async with served(manager) as client:
        yield client


def times(row):
    return [datetime.fromisoformat(each) for each in row["next_times"]]


async def test_all_are_listed_with_their_next_ticks_in_their_zone_and_in_words(client):
    nightly, often = (await client.get(SCHEDULES)).json()["schedules"]
    assert (nightly["name"], nightly["words"]) == ("nightly", "At 02:30 on Monday through Friday")
    assert (often["name"], often["words"]) == ("often", "Every 5 min")
    assert len(nightly["next_times"]) == 5
    assert nightly["next_times"][0] == nightly["next_time"]
    assert {(each.hour, each.minute, each.weekday() < 5) for each in times(nightly)} == {
        (2, 30, True)
    }
    assert times(nightly)[0].utcoffset() in (timedelta(hours=1), timedelta(hours=2))
    assert {b - a for a, b in zip(times(often), times(often)[1:], strict=False)} == {
        timedelta(minutes=5)
    }


async def test_the_list_is_of_a_queue_and_has_as_many_ticks_as_are_asked_for(client):
    assert (await client.get(SCHEDULES, params={"queue": "crm"})).json() == {"schedules": []}
    rows = (await client.get(SCHEDULES, params={"queue": "mails", "next": 2})).json()["schedules"]
    assert [len(row["next_times"]) for row in rows] == [2, 2]
    for wrong in ({"next": 51}, {"next": "x"}, {"nxt": 1}, {"queue": ""}):
        assert (await client.get(SCHEDULES, params=wrong)).status_code == 422


async def test_one_is_paused_with_a_note_and_resumed(client, caplog):
    caplog.set_level(logging.INFO, "kew")
    paused = (await client.post(f"{NIGHTLY}/pause", json={"note": "ada: moves"})).json()
    assert (paused["note"], paused["next_time"], paused["next_times"]) == ("ada: moves", None, [])
    assert paused["paused_time"] is not None
    assert (await client.get(NIGHTLY)).json() == paused
    resumed = (await client.post(f"{NIGHTLY}/resume")).json()
    assert (resumed["note"], resumed["paused_time"], len(resumed["next_times"])) == ("", None, 5)
    lines = [line for line in caplog.messages if line.startswith("admin: ")]
    assert lines == [
        f"admin: token (127.0.0.1): POST '{NIGHTLY}/pause' {{'note': 'ada: moves'}}: done",
        f"admin: token (127.0.0.1): POST '{NIGHTLY}/resume': done",
    ]


async def test_its_task_is_submitted_now(client, manager):
    task_id = (await client.post(f"{NIGHTLY}/run")).json()["task_id"]
    assert task_id.startswith("nightly@")
    assert (await manager.get_task_status(task_id)).queue_name == "mails"


async def test_a_backfill_is_listed_before_it_is_done(client, manager, caplog):
    caplog.set_level(logging.INFO, "kew")
    preview = await client.post(f"{NIGHTLY}/backfill", json={**DAY, "dry_run": True})
    ids = ["nightly@2026-03-02T01:30:00Z", "nightly@2026-03-03T01:30:00Z"]
    assert preview.json() == {"count": 2, "task_ids": ids}
    assert (await manager.get_queue_status("mails"))["queued_tasks"] == 0
    assert (await client.post(f"{NIGHTLY}/backfill", json=DAY)).json() == preview.json()
    assert (await manager.get_queue_status("mails"))["queued_tasks"] == 2
    again = await client.post(f"{NIGHTLY}/backfill", json={**DAY, "dry_run": True})
    assert again.json() == {"count": 0, "task_ids": []}
    assert "'start': '2026-03-01T00:00:00+00:00'" in caplog.messages[-1]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {**DAY, "start": "2026-03-01T00:00:00"},
        {**DAY, "start": 1},
        {**DAY, "start": "monday"},
        {**DAY, "start": "0001-01-01T00:00:00+14:00"},
        {**DAY, "every": 3},
        {"start": "1971-01-01T00:00:00Z", "end": "2050-01-01T00:00:00Z"},
    ],
)
async def test_an_invalid_backfill_is_refused(client, manager, body):
    for dry_run in (False, True):
        url = f"{NIGHTLY}/backfill"
        assert (await client.post(url, json={**body, "dry_run": dry_run})).status_code == 422
    assert (await manager.get_queue_status("mails"))["queued_tasks"] == 0


async def test_a_queue_that_refuses_the_task_is_a_conflict(client, manager):
    await manager.drain_queue("mails")
    response = await client.post(f"{NIGHTLY}/run")
    assert (response.status_code, response.json()["code"]) == (409, "queue-draining")


async def test_one_is_removed(client):
    assert (await client.delete(NIGHTLY)).json() == {"removed": "nightly"}
    rows = (await client.get(SCHEDULES)).json()["schedules"]
    assert [row["name"] for row in rows] == ["often"]


async def test_a_name_that_there_is_not_gets_a_suggestion(client):
    for method, path in (
        ("GET", ""),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/run"),
        ("DELETE", ""),
    ):
        response = await client.request(method, f"{SCHEDULES}/nihgtly{path}")
        assert (response.status_code, response.json()["code"]) == (404, "schedule-not-found")
        assert "did you mean 'nightly'" in response.json()["detail"]


async def test_a_name_may_have_a_slash(client, manager):
    await manager.schedules.put("a/b", job, every=60, queue="mails")
    assert (await client.get(f"{SCHEDULES}/a%2Fb")).json()["name"] == "a/b"


async def test_without_leave_nothing_is_changed(client, manager):
    async with served(manager, allow_changes=False) as reader:
        assert len((await reader.get(SCHEDULES)).json()["schedules"]) == 2
        for path in ("/pause", "/resume", "/run", "/backfill"):
            response = await reader.post(f"{NIGHTLY}{path}")
            assert (response.status_code, response.json()["code"]) == (403, "read-only")
        assert (await reader.delete(NIGHTLY)).status_code == 403
    assert len(await manager.schedules.list()) == 2
    assert (await manager.get_queue_status("mails"))["queued_tasks"] == 0
