"""Tasks on the page: finding them, and running one now, with the real admin API."""

from typing import Any

import pytest
from playwright.async_api import expect

from kew import QueueConfig, TaskQueueManager
from tests.web.conftest import BrowserPage
from tests.web.test_actions import nothing

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_task_that_waits_for_its_due_time_is_run_now(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager
) -> None:
    await manager.create_queue(QueueConfig("mails"), work=False)
    submit = manager.task(queue="mails")(nothing).options(task_id="mail-1", defer_by=3600)
    handle = await submit.submit()
    page = (await browser_page("#/task/mail-1", admin_app)).page
    await page.get_by_role("button", name="Run now").click()
    await expect(page.get_by_text("mail-1 is due now.").first).to_be_visible()
    await expect(page.get_by_role("button", name="Run now")).to_have_count(0)
    assert "deferred" not in [reason.code for reason in (await manager.explain(handle)).reasons]


async def test_tasks_are_found_by_type_and_time(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager
) -> None:
    await manager.create_queue(QueueConfig("mails"), work=False)
    for task_id, task_type in (("mail-1", "invoice"), ("mail-2", "welcome")):
        await manager.submit_task(task_id, "mails", task_type, nothing)
    page = (await browser_page("#/tasks?queue=mails", admin_app)).page
    first, second = (page.get_by_role("link", name=f"mail-{number}") for number in (1, 2))
    await expect(second).to_be_visible()
    await page.get_by_role("searchbox", name="Type").fill("invoice")
    await page.keyboard.press("Enter")
    await expect(second).to_have_count(0)
    await expect(first).to_be_visible()
    await page.get_by_label("Submitted until").fill("2026-01-01T00:00")
    await expect(page.get_by_text("No task fits")).to_be_visible()
    await page.get_by_role("button", name="Clear filters").click()
    await expect(second).to_be_visible()
    await expect(page.get_by_label("Submitted until")).to_have_value("")
