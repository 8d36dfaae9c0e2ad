"""Queues by HTTP: the same values as by the manager."""

from datetime import timedelta
from urllib.parse import quote

import pytest

from kew import QueueConfig
from kew.web import models, reports
from kew.web.guard import SLASH


async def job(number: int = 0) -> None: ...


async def test_queues_are_listed_by_name_with_their_status(client, manager):
    await manager.create_queue(QueueConfig("crm"), work=False)
    answer = (await client.get("/api/queues")).json()
    assert [row["name"] for row in answer["queues"]] == ["crm", "mails"]
    assert answer["attention"] == []


async def test_what_needs_attention_most_comes_first(client, manager):
    await manager.pause_queue("mails")
    await manager.create_queue(QueueConfig("crm"), work=False)
    await manager.task(queue="crm")(job).submit()
    answer = (await client.get("/api/queues")).json()
    assert [(each["queue"], each["code"]) for each in answer["attention"]] == [
        ("crm", "no_process"),
        ("mails", "paused"),
    ]


async def test_a_queue_is_its_status(client, manager):
    answer = (await client.get("/api/queues/mails")).json()
    status = await manager.get_queue_status("mails")
    priorities = {str(key): value for key, value in status["queued_by_priority"].items()}
    assert {**answer, "now": None, "settings": None} == {
        **status,
        "queued_by_priority": priorities,
        "now": None,
        "settings": None,
    }
    assert set(models.QueueRow.model_fields) <= set(answer)


async def test_a_queue_is_paused_with_a_note_and_resumed(client, manager):
    answer = (await client.post("/api/queues/mails/pause", json={"note": "ada: disk full"})).json()
    assert (answer["paused"], answer["pause_note"]) == (True, "ada: disk full")
    answer = (await client.post("/api/queues/mails/resume")).json()
    assert answer["paused"] is False


async def test_an_invalid_note_is_refused(client, manager):
    for note in ("x" * 501, "two\nlines"):
        response = await client.post("/api/queues/mails/pause", json={"note": note})
        assert response.status_code == 422
    assert not (await manager.get_queue_status("mails"))["paused"]


async def test_a_task_is_its_info_and_its_explanation(client, manager):
    function = manager.task(queue="mails")(job)
    for task_id in ("a/b", "ä b", "a%2Fb", "x?y#z", "a/explain"):
        handle = await function.options(task_id=task_id).submit(1)
        path = f"/api/tasks/{quote(task_id, safe='')}"
        expected = {**dict(await handle.status()), "result_unreadable": None}
        assert (await client.get(path)).json() == expected
        answer = (await client.get(f"{path}/explain")).json()
        assert answer["task_id"] == task_id
        assert {**answer, "now": None} == {**(await manager.explain(handle)).to_dict(), "now": None}
        assert "no_process" in [reason["code"] for reason in answer["reasons"]]


def test_no_task_id_can_have_the_mark_of_a_slash():
    assert SLASH.encode("utf-8", "ignore") == b""


async def test_info_names_the_store_without_its_password(client, manager):
    info = (await client.get("/api/info")).json()
    assert info["store"] == "memory://"
    assert info["namespace"] == "kew"
    assert info["read_only"] is False
    assert info["who"] == {"name": "token", "may_change": True}


async def test_tasks_of_a_queue_come_in_pages_with_filters(client, manager):
    function = manager.task(queue="mails")(job)
    ids = [(await function.options(key=f"k{n % 2}").submit(n)).task_id for n in range(5)]
    path = "/api/queues/mails/tasks"
    first = (await client.get(path, params={"limit": 3})).json()
    rest = (await client.get(path, params={"limit": 3, "cursor": first["cursor"]})).json()
    assert sorted(task["task_id"] for page in (first, rest) for task in page["tasks"]) == sorted(
        ids
    )
    assert rest["cursor"] is None
    found = (await client.get(path, params={"key": "k1", "state": "waiting"})).json()
    assert sorted(task["task_id"] for task in found["tasks"]) == sorted([ids[1], ids[3]])


@pytest.mark.parametrize(
    "params", [{"state": "gone"}, {"limit": 0}, {"limit": 501}, {"cursor": "x"}, {"states": "x"}]
)
async def test_an_invalid_question_about_tasks_is_refused(client, params):
    assert (await client.get("/api/queues/mails/tasks", params=params)).status_code == 422


async def test_processes_are_listed_with_their_queues(client, manager):
    assert (await client.get("/api/processes")).json() == {"processes": []}
    await manager.create_queue(QueueConfig("crm"), functions=[job])
    [found] = (await client.get("/api/processes")).json()["processes"]
    assert [each["queue"] for each in found["queues"]] == ["crm"]
    assert set(found) == set(reports.ProcessRow.model_fields)


async def test_the_history_of_a_queue_has_a_point_for_each_minute(client, manager):
    await manager.task(queue="mails")(job).submit()
    answer = (await client.get("/api/queues/mails/history", params={"span": 600})).json()
    assert (answer["queue"], answer["step"], len(answer["points"])) == ("mails", 60, 10)
    assert sum(point["submitted"] for point in answer["points"]) == 1
    assert set(reports.HistoryPointRow.model_fields) <= set(answer["points"][-1])
    for span in (0, 10**9, "x"):
        response = await client.get("/api/queues/mails/history", params={"span": span})
        assert response.status_code == 422


async def test_tasks_are_found_by_their_type_and_the_time_of_their_submit(client, manager):
    for number, task_type in enumerate(("sell", "buy", "sell")):
        await manager.submit_task(f"t{number}", "mails", task_type, print)
    first, _, last = [
        (await manager.get_task_status(f"t{number}")).queued_time for number in range(3)
    ]

    async def found(**params):
        response = await client.get("/api/queues/mails/tasks", params=params)
        return sorted(task["task_id"] for task in response.json()["tasks"])

    assert await found(task_type="sell") == ["t0", "t2"]
    assert await found(task_type="sel") == []
    assert await found(submitted_since=first.isoformat()) == ["t0", "t1", "t2"]
    assert await found(submitted_until=first.isoformat()) == []
    late = (last + timedelta(seconds=1)).isoformat()
    assert await found(submitted_since=late) == []
    assert await found(submitted_until=late, task_type="buy") == ["t1"]
    for wrong in ("2026-03-01T00:00:00", "yesterday", "1", ""):
        params = {"submitted_since": wrong}
        assert (await client.get("/api/queues/mails/tasks", params=params)).status_code == 422
