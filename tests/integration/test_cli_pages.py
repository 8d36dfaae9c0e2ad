"""The commands in the pages about the command line run, and print what the pages show.

A line of dots in a page stands for any lines, dots in a line for any text, and blanks for any number of them.
"""

import asyncio
import re
import shlex
from pathlib import Path

import pytest

from kew import QueueConfig
from tests.support import jobs
from tests.support.commands import kew

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = ("my-queue-is-stuck.md", "cli.md")


async def ship(order: int) -> None:
    """Known to no process."""


async def hang() -> None:
    """Wait for ever."""
    await asyncio.Event().wait()


def commands_of(page: str) -> list[tuple[str, str]]:
    """The commands of a page in their order, each with what it prints there."""
    found = []
    for block in BLOCK.findall((DOCS / page).read_text()):
        for part in block.split("$ kew ")[1:]:
            words, _, printed = part.partition("\n")
            found.append((words, printed))
    return found


def pattern_of(printed: str) -> re.Pattern[str]:
    lines = []
    for line in printed.splitlines():
        if line.strip() == "...":
            lines.append(r"(?:.*\n)*?")
        else:
            pieces = [r"\s+".join(map(re.escape, each.split())) for each in line.split("...")]
            lines.append(r"\s*" + r".*?".join(pieces) + r"[^\n]*\n")
    return re.compile("".join(lines))


@pytest.fixture
async def scene(managers, clean_redis_url):
    """The queues that the pages speak of, in trouble."""
    manager = await managers(clean_redis_url)
    mails = QueueConfig("mails", max_workers=1, max_retries=0, max_circuit_breaker_failures=3)
    await manager.create_queue(mails, functions=[jobs.refuse])
    for number in range(1, 4):
        await manager.submit_task(f"mail-{number}", "mails", "mail", jobs.refuse, None, "smtp-1")
    async with asyncio.timeout(30):
        while (await manager.get_queue_status("mails"))["breaker"]["state"] != "open":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await manager.create_queue(QueueConfig("reports"), work=False)
    await manager.pause_queue("reports", "ada: the database is being moved")
    await manager.submit_task("report-1", "reports", "report", jobs.echo, None)
    await manager.create_queue(QueueConfig("thumbnails", max_size=3), work=False)
    for number in range(1, 4):
        await manager.submit_task(f"thumb-{number}", "thumbnails", "thumb", jobs.echo, None)
    await manager.create_queue(QueueConfig("videos", max_workers=1), functions=[hang])
    for number in range(1, 3):
        await manager.submit_task(f"video-{number}", "videos", "video", hang, None)
    submitting = await managers(clean_redis_url)
    await manager.create_queue(QueueConfig("orders"))
    submitting.register(ship, name="shop.jobs:ship")
    for number in range(1, 3):
        await submitting.submit_task(f"order-{number}", "orders", "order", ship, None, number)
    async with asyncio.timeout(30):
        while not (await manager.get_queue_status("orders"))["stuck_functions"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return manager


@pytest.mark.parametrize("page", PAGES)
async def test_the_commands_of_a_page_print_what_it_shows(page, scene, clean_redis_url):
    commands = commands_of(page)
    assert commands
    for words, printed in commands:
        done = await kew(*shlex.split(words, comments=True), KEW_URL=clean_redis_url)
        assert done.code == 0, f"kew {words}: {done.err}"
        assert pattern_of(printed).match(done.out), (
            f"kew {words} printed\n{done.out}\nnot\n{printed}"
        )
