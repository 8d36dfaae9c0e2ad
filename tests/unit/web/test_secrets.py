"""What must not be seen: arguments and results that the host hides, and secrets anywhere else."""

import logging

import pytest

from kew import PickleCodec, QueueConfig, TaskQueueManager
from kew.web import admin
from tests.unit.web.serving import client_of, served

CANARY = "canary-5f1c"


async def echo(text: str, *, other: str = "") -> str:
    return text


@pytest.fixture
async def done():
    """A manager whose task `t` has completed, and whose task `w` waits."""
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("mails"), functions=[echo])
        submit = manager.task(queue="mails")(echo)
        handle = await submit.options(task_id="t").submit(CANARY)
        await handle.result()
        await manager.pause_queue("mails")
        await submit.options(task_id="w").submit(CANARY, other=CANARY)
        yield manager


async def test_arguments_and_results_are_shown_unless_the_host_hides_them(done):
    async with served(done) as client:
        assert (await client.get("/api/tasks/t")).json()["result"] == CANARY
        answer = (await client.get("/api/tasks/w/arguments")).json()
        assert (answer["args"], answer["kwargs"]) == ([CANARY], {"other": CANARY})


PATHS = [
    *("/api/info", "/api/queues", "/api/queues/mails", "/api/queues/mails/tasks"),
    *("/api/queues/mails/dead-letters", "/api/queues/mails/history", "/api/processes"),
    *("/api/tasks/t", "/api/tasks/w", "/api/tasks/t/explain", "/api/tasks/w/explain"),
    *("/api/tasks/t/arguments", "/api/tasks/w/arguments", "/api/openapi.json", "/"),
]


def hides_all(task, values):
    return None


def is_broken(task, values):
    raise ZeroDivisionError


@pytest.mark.parametrize(
    "options", [{"show_payloads": False}, {"redact": hides_all}, {"redact": is_broken}]
)
async def test_hidden_arguments_and_results_appear_nowhere(done, options, caplog):
    caplog.set_level(logging.DEBUG)
    async with served(done, **options) as client:
        for path in PATHS:
            assert CANARY not in (await client.get(path)).text
        assert (await client.get("/api/tasks/t")).json()["redacted"] is True
        replayed = await client.post("/api/tasks/w/replay", json={"args": [CANARY], "kwargs": {}})
        assert CANARY not in replayed.text
        wrong = await client.post("/api/tasks/w/replay", json={"args": CANARY, CANARY[:6]: CANARY})
        assert CANARY not in wrong.text
    assert CANARY not in caplog.text


async def test_a_rule_of_the_host_replaces_what_is_shown(done):
    def masks(task, values):
        assert task.task_id in ("t", "w")
        return {name: "***" if value == CANARY else value for name, value in values.items()} | (
            {"kwargs": {"other": "***"}} if "kwargs" in values else {}
        )

    async with served(done, redact=masks) as client:
        assert (await client.get("/api/tasks/t")).json()["result"] == "***"
        answer = (await client.get("/api/tasks/w/arguments")).json()
        assert answer["kwargs"] == {"other": "***"}


async def test_a_result_that_this_process_cannot_read_does_not_hide_its_task():
    url = "memory://unreadable-results"
    codec = PickleCodec("a secret of thirty-two bytes or more")
    async with TaskQueueManager(url, codec=codec) as writer, TaskQueueManager(url) as reader:
        await writer.create_queue(QueueConfig("mails"), functions=[echo])
        handle = await writer.task(queue="mails")(echo).options(task_id="p").submit("x")
        await handle.result()
        async with served(reader) as client:
            answer = (await client.get("/api/tasks/p")).json()
            assert (answer["status"], answer["result"]) == ("completed", None)
            assert answer["result_unreadable"]


async def test_secrets_of_the_deployment_appear_in_no_response_and_no_log(caplog):
    caplog.set_level(logging.DEBUG)
    url = f"redis://ops:{CANARY}@127.0.0.1:1/0?client_name=x"
    token = f"{CANARY}-and-more-of-the-token"
    app = admin(url, token=token, allow_changes=True)
    requests = [
        *(("GET", path) for path in PATHS),
        *(("GET", path) for path in ("/api/nothing", "/api/events", "/static/js/main.js")),
        *(("POST", path) for path in ("/api/session", "/api/queues/mails/pause", "/api/info")),
    ]
    async with client_of(app) as client:
        for headers in (
            {},
            {"Authorization": f"Bearer {token}"},
            {"Authorization": f"Bearer {CANARY}"},
            {"Cookie": f"kew_session={CANARY}"},
        ):
            for method, path in requests:
                body = {"token": token if headers else CANARY} if path == "/api/session" else {}
                if path == "/api/events" and headers.get("Authorization", "").endswith(token):
                    continue  # a stream: test_feed.py
                json = body if method == "POST" else None
                response = await client.request(method, path, headers=headers, json=json)
                assert CANARY not in response.text
                assert CANARY not in str(response.headers)
    assert CANARY not in caplog.text
    assert CANARY not in repr(app)
