"""An operator's path by the command line alone: a downstream breaks under the example application, and is repaired."""

import asyncio

import pytest

from tests.support.commands import Printed
from tests.support.commands import kew as command
from tests.support.example_app import SECONDS, example_application, sign_up

PEOPLE = ("ada@example.org", "bob@example.org", "eve@example.org")


@pytest.fixture
async def application(clean_redis_url, tmp_path):
    """The example application on a Redis; its address, and the file that breaks its mail server."""
    outage = tmp_path / "outage"
    async with example_application(clean_redis_url, outage) as url:
        yield url, outage


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

    # All is well.
    first = await sign_up(url, "zoe@example.org")
    assert (await kew("task", "watch", first)).code == 0
    assert "All is well" in (await kew("status")).words

    # The mail server breaks. Ten failures in a row open the breaker, and one task has failed for good.
    outage.touch()
    tasks = [await sign_up(url, email) for email in PEOPLE]
    seen = await until("status", shows="circuit breaker has been open since")
    assert "ConnectionError: the mail server refuses connections" in seen.words
    assert "to fix it: kew breaker close emails" in seen.words

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
