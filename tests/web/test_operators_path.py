"""An operator's path in the browser, on a real Redis: a downstream breaks under the example application."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from kew import TaskQueueManager
from kew.web import admin
from tests.support.example_app import example_application, sign_up
from tests.web.conftest import BrowserPage
from tests.web.test_actions import confirm

pytestmark = pytest.mark.asyncio(loop_scope="session")

PEOPLE = ("ada@example.org", "bob@example.org", "eve@example.org")


async def test_an_operator_sees_understands_and_repairs_what_a_downstream_broke(
    browser_page: BrowserPage, clean_redis_url: str, tmp_path: Path
) -> None:
    outage = tmp_path / "outage"
    app = admin(clean_redis_url, namespace="signup", loopback_only=True, allow_changes=True)
    async with example_application(clean_redis_url, outage) as url:
        opened = await browser_page("#/", app)
        page = opened.page

        # All is well.
        row = page.locator("[data-row]").filter(has_text="emails")
        await expect(row).to_contain_text("idle")
        await expect(page.get_by_role("article")).to_have_count(0)

        # The mail server breaks: ten failures in a row open the breaker. It shows by itself.
        outage.touch()
        tasks = [await sign_up(url, email) for email in PEOPLE]
        card = page.get_by_role("article").filter(has_text="emails: breaker open")
        await expect(card).to_contain_text("the mail server refuses connections")
        await card.get_by_role("link", name="Show the failures").click()
        await expect(page.locator(".stage.holds")).to_contain_text("Breaker")

        # Somebody closes the breaker too soon: the others fail for good, too.
        await page.get_by_role("button", name="Close breaker…").click()
        await confirm(page, "Close it")
        dead = page.get_by_role("region", name="Dead letters")
        await expect(dead.locator(".badge")).to_have_text("3")

        # Why? The group says where, a letter says how.
        await dead.get_by_role("link", name="Show why").click()
        group = page.get_by_role("listitem").filter(has_text="ConnectionError").first
        await expect(group.locator(".group-count")).to_have_text("3")
        await group.locator(".group-what code").last.click()
        await expect(page.locator(".traceback").first).to_contain_text("raise ConnectionError")
        await expect(page.locator(".timeline")).to_contain_text("Attempt 4")

        # The mail server works again: one goes first, then the group.
        outage.unlink()
        await page.go_back()
        await group.get_by_role("button", name="Replay one").click()
        await expect(group.locator(".canary")).to_contain_text("completed")
        await group.get_by_role("button", name="Replay the other 2…").click()
        await expect(page.get_by_role("dialog")).to_contain_text("2 dead letters will wait again")
        await confirm(page, "Replay them")
        await expect(page.get_by_text("No dead letters in emails")).to_be_visible()

        # It drains.
        await page.get_by_role("link", name="Overview", exact=True).click()
        await expect(row).to_contain_text("idle")
        await expect(row.locator(".meter")).to_have_text("0")
        await expect(page.get_by_role("article")).to_have_count(0)
        async with TaskQueueManager(clean_redis_url, namespace="signup") as manager:
            for task in tasks:
                assert (await manager.get_task_status(task)).status == "completed"
        await page.goto("about:blank")
        await app.close()
