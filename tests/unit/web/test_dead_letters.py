"""Dead letters by HTTP."""

import logging

import pytest

from kew import QueueConfig, TaskQueueManager
from tests.unit.web.serving import served

LETTERS = "/api/queues/crm/dead-letters"


async def fails(number: int) -> None:
    raise ValueError(number)


async def breaks(number: int) -> None:
    raise KeyError(number)


@pytest.fixture
async def client():
    """Five tasks of `fails` and two of `breaks` failed."""
    async with TaskQueueManager("memory://") as manager:
        config = QueueConfig("crm", max_circuit_breaker_failures=None)
        await manager.create_queue(config, functions=[fails, breaks])
        for function, count in ((fails, 5), (breaks, 2)):
            submit = manager.task(queue="crm")(function)
            handles = [await submit.submit(number) for number in range(count)]
            for handle in handles:
                with pytest.raises(Exception, match="failed"):
                    await handle.result()
        await manager.pause_queue("crm")
        async with served(manager) as client:
            yield client


async def test_dead_letters_come_in_pages(client):
    seen, cursor = [], None
    while True:
        page = (
            await client.get(LETTERS, params={"limit": 3} | ({"cursor": cursor} if cursor else {}))
        ).json()
        seen += page["tasks"]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert len({task["task_id"] for task in seen}) == 7
    assert seen[0]["attempts"][0]["error_type"] == "KeyError"


@pytest.mark.parametrize(
    "params",
    [{"limit": 0}, {"limit": 501}, {"cursor": "x"}, {"limits": 3}, {"group": ""}, {"limit": "x"}],
)
async def test_an_invalid_question_is_refused(client, params):
    response = await client.get(LETTERS, params=params)
    assert response.status_code == 422


async def test_groups_are_named_counted_and_used_as_filters(client):
    groups = (await client.get("/api/queues/crm/dead-letter-groups")).json()["groups"]
    assert sorted(group["count"] for group in groups) == [2, 5]
    small = min(groups, key=lambda group: group["count"])
    page = (await client.get(LETTERS, params={"group": small["name"]})).json()
    assert len(page["tasks"]) == 2


async def test_a_preview_counts_and_shows_some_and_changes_nothing(client):
    for verb in ("replay", "purge"):
        answer = (await client.post(f"{LETTERS}/{verb}", json={"dry_run": True, "limit": 4})).json()
        assert (answer["count"], answer["more"], len(answer["sample"])) == (4, False, 4)
    assert len((await client.get(LETTERS)).json()["tasks"]) == 7


async def test_one_is_replayed_as_a_canary_then_the_group(client, caplog):
    caplog.set_level(logging.INFO, "kew")
    groups = (await client.get("/api/queues/crm/dead-letter-groups")).json()["groups"]
    name = max(groups, key=lambda group: group["count"])["name"]
    answer = await client.post(f"{LETTERS}/replay", json={"group": name, "limit": 1})
    assert answer.json() == {"replayed": 1}
    answer = await client.post(f"{LETTERS}/replay", json={"group": name, "every": 0.5})
    assert answer.json() == {"replayed": 4}
    line = [line for line in caplog.messages if line.startswith("admin: ")][-1]
    assert name in line
    assert "'every': 0.5" in line


async def test_dead_letters_are_purged(client):
    function = f"{__name__}:breaks"
    answer = await client.post(f"{LETTERS}/purge", json={"function": function})
    assert answer.json() == {"removed": 2}
    assert (await client.post(f"{LETTERS}/purge")).json() == {"removed": 5}
