"""Steering a queue by HTTP, and what its page shows of its settings."""

import logging
from datetime import timedelta

import pytest

from kew import QueueConfig, Rate
from kew.domain.overrides import SETTING_OF
from kew.web import models, requests


async def job(number: int = 0) -> None: ...


QUEUE = "/api/queues/mails"


async def test_a_queue_shows_its_settings_in_force_beside_those_of_the_code(client, manager):
    answer = (
        await client.put(
            f"{QUEUE}/overrides",
            json={"max_workers": 2, "rate": {"count": 100, "per": 60}, "task_timeout": 1.5},
        )
    ).json()
    assert answer == {**(await client.get(QUEUE)).json(), "now": answer["now"]}
    assert answer["overrides"]["max_workers"]["by"] == "token"
    settings = answer["settings"]
    assert settings["max_workers"] == {"value": 2, "declared": 10, "overridden": True}
    assert settings["rate"] == {
        "value": [{"count": 100, "per": 60.0, "burst": None}],
        "declared": [],
        "overridden": True,
    }
    assert settings["task_timeout"] == {"value": 1.5, "declared": None, "overridden": True}
    assert settings["max_dead_letters"] == {"value": None, "declared": None, "overridden": False}
    assert settings["retry_delay"] == {"value": 1.0, "declared": 1.0, "overridden": False}
    assert set(models.QueueDetail.model_fields) <= set(answer)


async def test_every_setting_of_the_store_is_shown_in_the_units_of_the_configuration(manager):
    config = QueueConfig("all", max_size=7, task_ttl=90, rate=Rate(5, per=2, burst=1))
    await manager.create_queue(config, work=False)
    shown = await manager.queue("all").settings()
    for name, setting in shown.items():
        if name not in ("task_timeout", "rate") and not name.startswith("per_key."):
            assert setting["value"] == setting["declared"] == getattr(config, name), name
    assert shown["rate"]["value"] == [{"count": 5, "per": 2.0, "burst": 1}]


async def test_overrides_are_removed_one_by_one_or_all(client, manager):
    await manager.set_overrides("mails", max_workers=2, max_retries=3, retry_delay=2)
    answer = (await client.delete(f"{QUEUE}/overrides/max_workers")).json()
    assert set(answer["overrides"]) == {"max_retries", "retry_delay"}
    answer = (await client.delete(f"{QUEUE}/overrides")).json()
    assert answer["overrides"] == {}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"max_worker": 2},
        {"self": 2},
        {"queue_name": 2},
        {"max_size": 0},
        {"lease": 2},
        {"max_workers": "2"},
        {"max_workers": 0},
        {"max_workers": None},
        {"max_workers": 10**30},
        {"retry_delay": [1]},
        {"rate": 7},
        {"rate": {"count": 1, "by": 2}},
        {"rate": {"per": 2}},
        {"rate": [{"count": 0}]},
        {"rate": [[1, 2, 3]]},
        {"rate": [{"count": 1}] * 5},
        {"max_workers": 2, "max_retries": -1},
    ],
)
async def test_an_invalid_override_is_refused_and_none_is_stored(client, manager, values):
    response = await client.put(f"{QUEUE}/overrides", json=values)
    assert response.status_code == 422, response.text
    assert await manager.overrides("mails") == {}


def test_all_that_can_be_overridden_can_be_so_by_http():
    assert set(requests.OverridesBody.model_fields) == set(SETTING_OF)


async def test_a_rate_can_be_several_or_none(client, manager):
    await client.put(f"{QUEUE}/overrides", json={"rate": [{"count": 1}, {"count": 9, "per": 60}]})
    assert (await manager.overrides("mails"))["rate"].value == (Rate(1), Rate(9, per=60))
    await client.put(f"{QUEUE}/overrides", json={"rate": None})
    assert (await manager.overrides("mails"))["rate"].value == ()


async def test_an_unknown_override_gets_a_suggestion(client):
    response = await client.put(f"{QUEUE}/overrides", json={"max_worker": 2})
    assert "did you mean 'max_workers'" in response.json()["detail"]


async def test_a_queue_is_drained_with_a_note_and_resumed(client):
    answer = (await client.post(f"{QUEUE}/drain", json={"note": "moving"})).json()
    assert (answer["draining"], answer["drain_note"]) == (True, "moving")
    assert (await client.post(f"{QUEUE}/resume")).json()["draining"] is False


async def test_what_waits_is_purged(client, manager):
    function = manager.task(queue="mails")(job)
    for _ in range(3):
        await function.submit()
    assert (await client.post(f"{QUEUE}/purge")).json() == {"cancelled": 3}
    assert (await manager.get_queue_status("mails"))["queued_tasks"] == 0


async def test_what_waits_is_counted_first_and_purged_by_function(client, manager):
    await manager.task(queue="mails")(job).submit()
    wanted = {"function": f"{__name__}:job", "dry_run": True}
    assert (await client.post(f"{QUEUE}/purge", json=wanted)).json() == {"count": 1}
    other = {"function": "other:job"}
    assert (await client.post(f"{QUEUE}/purge", json=other)).json() == {"cancelled": 0}
    assert (await manager.get_queue_status("mails"))["queued_tasks"] == 1


async def test_a_breaker_is_opened(client):
    answer = (await client.post(f"{QUEUE}/open-breaker")).json()
    assert answer["circuit_breaker_status"] == "open"


async def test_a_breaker_has_a_history(client, manager):
    await client.post(f"{QUEUE}/open-breaker")
    await manager.reset_breaker("mails", by="ada")
    changes = (await client.get(f"{QUEUE}/breaker-history")).json()["changes"]
    assert [(each["state"], each["cause"], each["by"]) for each in changes] == [
        ("closed", "operator", "ada"),
        ("open", "operator", "token"),
    ]
    assert (await client.get("/api/queues/none/breaker-history")).status_code == 404


async def test_a_breaker_is_closed(client, manager):
    for _ in range(3):
        await manager.record_failure("mails")
    assert (await client.get(QUEUE)).json()["circuit_breaker_status"] == "open"
    answer = (await client.post(f"{QUEUE}/reset-breaker")).json()
    assert answer["circuit_breaker_status"] == "closed"


async def test_a_queue_of_this_process_is_in_use_and_another_is_deleted(client, manager):
    response = await client.delete(QUEUE)
    assert (response.status_code, response.json()["code"]) == (409, "queue-in-use")
    assert (await client.delete("/api/queues/crm")).status_code == 404


async def test_a_task_that_waits_for_its_due_time_is_run_now(client, manager, caplog):
    caplog.set_level(logging.INFO, "kew")
    handle = await manager.task(queue="mails")(job).options(task_id="a/b", defer_by=60).submit(1)
    assert (await client.post("/api/tasks/a%2Fb/run")).json() == {"due": True}
    info = await handle.status()
    assert info.due_time - info.queued_time < timedelta(seconds=60)
    assert caplog.messages[-1].endswith("POST '/api/tasks/a/b/run': done")
    await handle.cancel()
    assert (await client.post("/api/tasks/a%2Fb/run")).json() == {"due": False}
    assert (await client.post("/api/tasks/nothing/run")).status_code == 404


async def test_a_task_is_cancelled_and_replayed(client, manager):
    handle = await manager.task(queue="mails")(job).options(task_id="a/b").submit(1)
    path = "/api/tasks/a%2Fb"
    answer = await client.post(f"{path}/replay", json={"args": [2]})
    assert (answer.status_code, answer.json()["code"]) == (409, "not-failed")
    assert (await client.post(f"{path}/cancel")).json() == {"cancelled": True}
    assert (await handle.status()).status == "cancelled"
    answer = await client.post(f"{path}/replay", json={"args": ["x"]})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-task")
    answer = await client.post(f"{path}/replay", json={"args": [2], "kwargs": {}})
    assert answer.json() == {"replayed": True}
    assert (await handle.status()).status == "queued"


async def test_a_task_of_a_draining_queue_is_not_replayed(client, manager):
    handle = await manager.task(queue="mails")(job).submit()
    await handle.cancel()
    await manager.drain_queue("mails")
    response = await client.post(f"/api/tasks/{handle.task_id}/replay")
    assert (response.status_code, response.json()["code"]) == (409, "queue-draining")


async def test_unreadable_tasks_are_listed_and_a_readable_one_is_not_removed_as_such(
    client, manager
):
    handle = await manager.task(queue="mails")(job).submit()
    path = f"{QUEUE}/unreadable-tasks"
    assert (await client.get(path)).json() == {"task_ids": []}
    assert (await client.delete(f"{path}/{handle.task_id}")).json() == {"removed": False}
    assert (await handle.status()).status == "queued"


async def test_a_dead_letter_alone_is_purged(client, manager):
    handle = await manager.task(queue="mails")(job).submit()
    answer = await client.post(f"/api/tasks/{handle.task_id}/purge")
    assert answer.json() == {"removed": False}
    assert (await client.post("/api/tasks/nothing/purge")).status_code == 404
