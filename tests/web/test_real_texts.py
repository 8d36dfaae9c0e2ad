"""Hostile texts through the real admin API: what users can put into the store shows as text, and runs nothing."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import expect
from starlette.applications import Starlette
from starlette.routing import Mount

from kew import QueueConfig, TaskQueueManager
from kew.web import admin
from tests.web.conftest import BrowserPage
from tests.web.test_actions import are_dead
from tests.web.test_layout import overflow

pytestmark = pytest.mark.asyncio(loop_scope="session")

HURT = '<img src=x onerror="window.hurt=1"></script><script>window.hurt=1</script>' + "W" * 80

NAME = "<script/>" + "W" * 80  # as hostile as the name of a schedule can be


def fails(*args: object, **kwargs: object) -> None:
    """A task whose error is hostile, too."""
    raise ValueError(HURT)


async def test_hostile_notes_ids_types_keys_arguments_and_errors_are_texts(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager
) -> None:
    await manager.create_queue(QueueConfig("mails", max_circuit_breaker_failures=None))
    await manager.submit_task(HURT, "mails", HURT, fails, None, HURT, note={HURT: HURT})
    await are_dead(manager, 1)
    await manager.pause_queue("mails", note=HURT)
    await manager.schedules.put(NAME, fails, every=60, queue="mails")
    await manager.schedules.pause(NAME, note=HURT)
    opened = await browser_page("#/", admin_app)
    page = opened.page
    await expect(page.locator("[data-row]")).to_contain_text("paused")
    await page.get_by_role("link", name="Tasks", exact=True).click()
    await page.locator(".row-link").first.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(HURT)
    await expect(page.locator("pre").first).to_contain_text("onerror")
    await expect(page.locator(".traceback")).to_contain_text("</script><script>")
    assert await overflow(page) <= 0
    for path in ("#/queue/mails", "#/dead", "#/tasks?queue=mails", "#/processes", "#/schedules"):
        await opened.go(path)
        await expect(page.locator(".loading")).to_have_count(0)
        assert await overflow(page) <= 0, path
    await page.locator(".row-link").first.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(NAME)
    await expect(page.locator(".head .state")).to_contain_text(HURT)
    assert await overflow(page) <= 0
    assert await page.evaluate("window.hurt") is None
    assert await page.locator("main img, main script").count() == 0


async def test_the_page_works_below_the_path_where_a_host_mounts_it(
    browser_page: BrowserPage, manager: TaskQueueManager
) -> None:
    await manager.create_queue(QueueConfig("mails"))
    app = admin(manager, token="a-token-that-is-long-enough-for-this", allow_changes=True)
    host = Starlette(routes=[Mount("/admin", app)])
    opened = await browser_page("admin/", host, expected=("401",))
    page = opened.page
    await page.get_by_label("Token").fill("a-token-that-is-long-enough-for-this")
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="mails", exact=True).click()
    await page.get_by_role("button", name="Pause…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Pause", exact=True).click()
    await expect(page.locator(".head .state")).to_contain_text("paused")
    await page.reload()
    await expect(page.locator(".head .state")).to_contain_text("paused")
