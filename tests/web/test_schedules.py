"""Schedules on the page, by clicks, with the real admin API."""

from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from kew import QueueConfig, TaskQueueManager
from tests.web.conftest import BrowserPage
from tests.web.invented import Invented
from tests.web.test_actions import confirm

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def job() -> None: ...


@pytest_asyncio.fixture(loop_scope="session")
async def schedule(manager: TaskQueueManager) -> str:
    """A schedule of a queue on which no process works."""
    await manager.create_queue(QueueConfig("mails"), work=False)
    await manager.schedules.put("nightly", job, "30 2 * * *", queue="mails", tz="UTC")
    return "nightly"


async def waiting(manager: TaskQueueManager) -> list[str]:
    """The ids of the tasks that wait."""
    return [task.task_id for task in (await manager.queue("mails").tasks()).tasks]


async def test_it_is_paused_with_a_note_and_resumed(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager, schedule: str
) -> None:
    page = (await browser_page("#/schedules", admin_app)).page
    row = page.locator("[data-row]", has_text=schedule)
    await expect(row).to_contain_text("At 02:30 every day")
    await page.get_by_label(f"Actions for {schedule}").click()
    await row.get_by_role("button", name="Pause…").click()
    await page.get_by_label("Note (who and why)").fill("Eve: <i>sums</i>")
    await confirm(page, "Pause")
    await expect(row.locator(".state")).to_have_text("paused, “Eve: <i>sums</i>”")
    assert (await manager.schedules.get(schedule)).note == "Eve: <i>sums</i>"
    await row.get_by_role("link", name=schedule, exact=True).click()
    await expect(page.get_by_text("None while it is paused.")).to_be_visible()
    await page.get_by_role("button", name="Resume").click()
    await expect(page.locator(".head .state")).to_have_text("active")
    await expect(page.locator("tbody tr")).to_have_count(10)
    assert not (await manager.schedules.get(schedule)).paused


async def test_its_task_is_submitted_now(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager, schedule: str
) -> None:
    page = (await browser_page(f"#/schedule/{schedule}", admin_app)).page
    await page.get_by_role("button", name="Run now").click()
    await expect(page.get_by_text("is submitted.").first).to_be_visible()
    [task_id] = await waiting(manager)
    await expect(page.get_by_text(f"{task_id} is submitted.").first).to_be_visible()


async def test_a_backfill_shows_what_it_will_submit(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager, schedule: str
) -> None:
    opened = await browser_page(f"#/schedule/{schedule}", admin_app)
    page = opened.page
    await page.get_by_role("button", name="Backfill…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("From").fill("2026-03-04T00:00")
    await dialog.get_by_label("Until").fill("2026-03-01T00:00")
    await dialog.get_by_role("button", name="Preview").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("the earlier one first")
    await dialog.get_by_label("From").fill("2026-03-01T00:00")
    await dialog.get_by_label("Until").fill("2026-03-03T00:00")
    await dialog.get_by_role("button", name="Preview").click()
    await expect(dialog).to_contain_text("2 tasks will be submitted.")
    await expect(dialog).to_contain_text("nightly@2026-03-01T02:30:00Z")
    assert await waiting(manager) == []
    await confirm(page, "Submit them")
    await expect(page.get_by_text("2 tasks of nightly submitted.").first).to_be_visible()
    assert await waiting(manager) == [f"nightly@2026-03-0{day}T02:30:00Z" for day in (1, 2)]


async def test_it_is_removed(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager, schedule: str
) -> None:
    gone = (f"/schedules/{schedule}",)  # the page may read it once more before it leaves it
    page = (await browser_page(f"#/schedule/{schedule}", admin_app, expected=gone)).page
    await page.get_by_role("button", name="Remove…").click()
    await confirm(page, "Remove the schedule")
    await expect(page.get_by_text("No schedules")).to_be_visible()
    assert await manager.schedules.list() == []


async def times_of(page: Page, name: str) -> list[str]:
    """The cells of the next run: here, and in UTC."""
    row = page.locator("[data-row]", has_text=name)
    here = await row.locator(".next .nowrap").first.inner_text()
    return [here, await row.locator(".utc").inner_text()]


async def test_the_next_run_is_in_the_time_of_the_browser_and_in_utc(
    browser_page: BrowserPage,
) -> None:
    opened = await browser_page("#/schedules", Invented().app(), zone="Asia/Tokyo")
    page = opened.page
    await expect(page.get_by_text("times are in Asia/Tokyo")).to_be_visible()
    here, utc = await times_of(page, "nightly-report")
    hour = int(utc.removesuffix(":30 UTC")[-2:])
    assert hour in (0, 1)  # 02:30 in Berlin
    assert here.endswith(f"at {hour + 9:02}:30")
