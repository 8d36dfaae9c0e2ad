"""Planted secrets appear in no page, log, error, metric or command, while the store works and when it has gone.

The password of the Redis, the token of the admin API and the secret of the codec may appear nowhere, and the arguments
of tasks only where one task's own are asked for.
"""

import logging
from collections.abc import Iterable
from urllib.parse import quote

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from kew import PickleCodec, QueueConfig, TaskFailedError, TaskQueueManager
from kew.metrics import MetricsObserver
from kew.metrics.exporting import exposition
from tests.support.commands import kew
from tests.unit.web.serving import served

PASSWORD, SECRET, ARGUMENT = "canary-1/password", "canary-2-secret" * 3, "canary-3-argument"
TOKEN = "a-token-for-the-tests-alone"
COMMANDS = (
    *("status", "queue ls", "queue show mails", "stats", "stats mails", "process ls", "doctor"),
    *("task ls mails", "why w", "dead ls mails", "dead groups mails", "dead show f", "health"),
    *("key ls mails", "breaker show mails", "schedule ls", "queue purge mails --dry-run"),
    *("dead replay mails --dry-run", "task show nothing", "queue show nothing"),
)
PATHS = (
    *("info", "queues", "queues/mails", "queues/mails/tasks", "processes", "tasks/w"),
    *("queues/mails/dead-letters", "queues/mails/dead-letter-groups", "queues/mails/history"),
    *("queues/mails/breaker-history", "queues/mails/key-limits", "schedules", "tasks/w/explain"),
    *("openapi.json", "tasks/nothing", "queues/nothing", "nothing"),
)


async def echo(text: str) -> None: ...


async def fails(text: str) -> None:
    raise RuntimeError("it failed")


def hides(texts: Iterable[str], *secrets: str) -> list[str]:
    """The texts in which one of these secrets appears."""
    spelled = [each for secret in secrets for each in (secret, quote(secret, safe=""))]
    return [text for text in texts if any(each in text for each in spelled)]


async def pages(manager: TaskQueueManager, paths: Iterable[str] = PATHS) -> list[str]:
    async with served(manager) as client:
        found = [await client.get(f"/api/{path}") for path in paths]
    return [f"{each.url} {each.headers} {each.text}" for each in found]


async def printed(url: str, commands: Iterable[str] = COMMANDS) -> list[str]:
    found = []
    for words in commands:
        said = await kew(*words.split(), url=url)
        found.append(f"{words}: {said.out} {said.err}")
    return found


@pytest.mark.slow(6)
async def test_planted_secrets_appear_in_no_output(private_redis, caplog):
    caplog.set_level(logging.DEBUG)
    server = private_redis(requirepass=PASSWORD)
    registry = CollectorRegistry()
    observer = MetricsObserver(registry)
    manager = TaskQueueManager(server.url, codec=PickleCodec(SECRET), observer=observer)
    said = [repr(manager)]
    async with manager:
        await manager.create_queue(QueueConfig("mails", max_retries=0), functions=[echo, fails])
        submit = manager.task(queue="mails")
        await submit(echo).options(task_id="t").submit(ARGUMENT)
        failing = await submit(fails).options(task_id="f").submit(ARGUMENT)
        with pytest.raises(TaskFailedError) as raised:
            await failing.result(timeout=30)
        await manager.pause_queue("mails")
        await submit(echo).options(task_id="w").submit(ARGUMENT)
        said += [repr(raised.value), str(await manager.explain("w"))]
        said += [*await printed(server.url), *await pages(manager)]
        said += [(await exposition(manager)).decode(), generate_latest(registry).decode()]
        assert len([text for text in said if "mails" in text]) > 20, "it looked at real outputs"

        server.stop()
        said += [
            *await printed(server.url, ["status"]),
            *await pages(manager, ["queues"]),
        ]
        said.append((await exposition(manager, timeout=0.1)).decode())
    said += [record.getMessage() for record in caplog.records]
    said.append(caplog.text)
    assert hides(said, PASSWORD, SECRET, ARGUMENT, TOKEN) == []
