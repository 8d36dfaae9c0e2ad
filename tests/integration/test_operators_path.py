"""An operator's path by the command line alone: a downstream breaks under the example application, and is repaired."""

import asyncio
import os
import re
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.commands import Printed
from tests.support.commands import kew as command

ROOT = Path(__file__).parents[2]
READY = re.compile(r"running on (http://127\.0\.0\.1:\d+)")
SECONDS = 40.0
PEOPLE = ("ada@example.org", "bob@example.org", "eve@example.org")


@pytest.fixture
async def application(clean_redis_url, tmp_path):
    """The example application on a Redis; its address, and the file that breaks its mail server."""
    outage = tmp_path / "outage"
    environment = {"KEW_URL": clean_redis_url, "MAIL_OUTAGE": str(outage), "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", "examples.fastapi_app:app", "--port", "0"),
        cwd=ROOT,
        env={**os.environ, **environment, "MAIL_SECONDS": "0.01", "RETRY_SECONDS": "0.05"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    found = None
    async with asyncio.timeout(SECONDS):
        while not found:
            line = await process.stdout.readline()
            assert line, "the application has ended"
            found = READY.search(line.decode())
    draining = asyncio.create_task(process.stdout.read())
    yield found[1], outage
    process.terminate()
    await process.wait()
    await draining


async def test_an_operator_finds_repairs_and_replays_what_a_downstream_broke(
    application, clean_redis_url
):
    url, outage = application

    async def kew(*words: str) -> Printed:
        return await command(*words, url=clean_redis_url, KEW_NAMESPACE="signup")

    async def until(*words: str, shows: str) -> Printed:
        async with asyncio.timeout(SECONDS):
            while True:
                printed = await kew(*words)
                if shows in printed.words:
                    return printed

    async def sign_up(email: str) -> str:
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{url}/signup", params={"email": email})
        return str(answer.raise_for_status().json()["task_id"])

    # All is well.
    first = await sign_up("zoe@example.org")
    assert (await kew("task", "watch", first)).code == 0
    assert "All is well" in (await kew("status")).words

    # The mail server breaks. Ten failures in a row open the breaker, and one task has failed for good.
    outage.touch()
    tasks = [await sign_up(email) for email in PEOPLE]
    seen = await until("status", shows="circuit breaker has been open since")
    assert "ConnectionError: the mail server refuses connections" in seen.words
    assert "mend it: kew breaker close emails" in seen.words

    # Which task failed, and why?
    [group] = (await kew("dead", "groups", "emails", "--json")).lines
    assert group["count"] == 1
    letter = await kew("dead", "show", group["example"])
    assert "raise ConnectionError" in letter.out
    assert "attempt 4: failed" in letter.words

    # The mail server works again. What waits runs once the breaker is closed; the group is replayed.
    outage.unlink()
    assert (await kew("breaker", "close", "emails")).code == 0
    words = ("dead", "replay", "emails", "--group", group["name"])
    assert "1 dead letter of emails would be replayed" in (await kew(*words, "--dry-run")).words
    assert (await kew(*words, "--yes")).out == "1 dead letter of emails replayed.\n"

    # The queue drains.
    for task in tasks:
        watched = await kew("task", "watch", task, "--timeout", f"{SECONDS}s")
        assert watched.code == 0, watched.words
    await until("queue", "show", "emails", shows="waiting 0 of at most 1,000")
    assert "All is well" in (await kew("status")).words
    assert (await kew("dead", "ls", "emails", "--json")).out == ""
