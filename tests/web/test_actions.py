"""Every action by real clicks, against the real admin API over a store in memory."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from kew import PerKey, QueueConfig, Rate, TaskQueueManager
from tests.web.conftest import BrowserPage

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Down(Exception):
    """What the downstream raises."""


def nothing(*args: object, **kwargs: object) -> None:
    """A task that works."""


def fails(*args: object, **kwargs: object) -> None:
    """A task that doesn't."""
    raise Down("the downstream is down")


async def waiting_queue(manager: TaskQueueManager, *ids: str) -> None:
    """A paused queue with these tasks."""
    await manager.create_queue(QueueConfig("mails", max_workers=3, max_retries=2))
    await manager.pause_queue("mails", note="Eve: a test")
    for task_id in ids:
        await manager.submit_task(task_id, "mails", "send", nothing, None, "to", html=True)


async def dead_queue(manager: TaskQueueManager, *ids: str) -> None:
    """A queue with these dead letters."""
    await manager.create_queue(QueueConfig("mails", max_circuit_breaker_failures=None))
    for task_id in ids:
        await manager.submit_task(task_id, "mails", "send", fails, None, "to")
    await are_dead(manager, len(ids))


async def are_dead(manager: TaskQueueManager, count: int) -> None:
    """Wait until so many tasks have failed for good."""
    async with asyncio.timeout(30):
        while len((await manager.dead_letters("mails")).tasks) < count:  # noqa: ASYNC110 - a poll
            await asyncio.sleep(0.01)


async def confirm(page: Page, verb: str) -> None:
    """Click the button of a dialog, and see the dialog close."""
    await page.get_by_role("dialog").get_by_role("button", name=verb, exact=True).click()
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def status(manager: TaskQueueManager) -> dict[str, Any]:
    return await manager.get_queue_status("mails")


async def test_pause_with_a_note_and_resume(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager
) -> None:
    await manager.create_queue(QueueConfig("mails"))
    page = (await browser_page("#/queue/mails", admin_app)).page
    await page.get_by_role("button", name="Pause…").click()
    await page.get_by_label("Note (who and why)").fill("Eve: <b>inventory</b>")
    await confirm(page, "Pause")
    await expect(page.locator(".head .state")).to_contain_text("“Eve: <b>inventory</b>”")
    assert (await status(manager))["pause_note"] == "Eve: <b>inventory</b>"
    await page.get_by_role("button", name="Resume").click()
    await expect(page.locator(".head .state")).to_have_text("idle")
    assert not (await status(manager))["paused"]


async def test_drain_and_resume_from_the_overview(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager
) -> None:
    await manager.create_queue(QueueConfig("mails"))
    page = (await browser_page("#/", admin_app)).page
    await page.get_by_label("Actions for mails").click()
    await page.get_by_role("button", name="Drain…").click()
    await confirm(page, "Drain")
    card = page.get_by_role("article").filter(has_text="mails: draining")
    await expect(card).to_be_visible()
    assert (await status(manager))["draining"]
    await card.get_by_role("button", name="Resume").click()
    await expect(card).to_have_count(0)
    assert not (await status(manager))["draining"]


async def test_a_purge_says_how_many_before_it_cancels_them(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager
) -> None:
    await waiting_queue(manager, "mail-1", "mail-2", "mail-3")
    page = (await browser_page("#/queue/mails", admin_app)).page
    await page.get_by_role("button", name="Purge…").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("3 waiting tasks will be cancelled")
    await expect(dialog).to_contain_text("mail-1")
    await dialog.get_by_role("button", name="Cancel", exact=True).click()
    assert (await status(manager))["queued_tasks"] == 3
    await page.get_by_role("button", name="Purge…").click()
    await expect(dialog).to_contain_text("3 waiting tasks")
    await confirm(page, "Cancel what waits")
    await expect(page.get_by_text("3 tasks of mails cancelled.").first).to_be_visible()
    assert (await status(manager))["queued_tasks"] == 0


async def test_the_breaker_is_closed_by_hand(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager
) -> None:
    await manager.create_queue(QueueConfig("mails", max_circuit_breaker_failures=1))
    await manager.record_failure("mails")
    page = (await browser_page("#/", admin_app)).page
    card = page.get_by_role("article").filter(has_text="mails: breaker open")
    await card.get_by_role("link", name="Show the failures").click()
    await expect(page.locator(".stage.holds")).to_contain_text("open")
    await page.get_by_role("button", name="Close breaker…").click()
    await confirm(page, "Close it")
    await expect(page.locator(".stage.holds")).to_have_count(0)
    assert (await status(manager))["circuit_breaker_status"] == "closed"
    history = page.get_by_role("list", name="History of the breaker").get_by_role("listitem")
    await expect(history.nth(0)).to_contain_text("closed")
    await expect(history.nth(0)).to_contain_text("by local")
    await expect(history.nth(1)).to_contain_text("failures in a row")


async def test_a_key_gets_limits_of_its_own_which_are_changed_and_removed(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager
) -> None:
    await manager.create_queue(QueueConfig("mails", per_key=PerKey(max_workers=5)))
    page = (await browser_page("#/queue/mails", admin_app)).page
    card = page.get_by_role("region", name="Limits of single keys")
    await expect(card).to_contain_text("None: every key has the limits")
    await card.get_by_role("button", name="Limit a key…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Key").fill("acme/eu")
    await dialog.get_by_label("max_workers").fill("two")
    await dialog.get_by_role("button", name="Put in force").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("takes a whole number")
    await dialog.get_by_label("max_workers").fill("2")
    await dialog.get_by_label("rate").fill("10/1:4")
    await dialog.get_by_label("Ends after (hours)").fill("1.5")
    await confirm(page, "Put in force")
    row = card.get_by_role("row").filter(has_text="acme/eu")
    await expect(row).to_contain_text("10 / s, burst 4")
    await expect(row).to_contain_text(re.compile(r"in 1:[23]\d"))
    (limit,) = await manager.key_limits("mails")
    assert (limit.key, limit.max_workers, limit.max_size) == ("acme/eu", 2, None)
    assert limit.rate == (Rate(10, burst=4),)
    await row.get_by_role("button", name="Change the limits of key acme/eu").click()
    await dialog.get_by_label("rate").fill("off")
    await dialog.get_by_label("max_size").fill("7")
    await confirm(page, "Put in force")
    await expect(row).to_contain_text("never")
    (limit,) = await manager.key_limits("mails")
    assert (limit.max_workers, limit.max_size, limit.rate) == (2, 7, ())
    await row.get_by_role("button", name="Remove the limits of key acme/eu").click()
    await expect(row).to_have_count(0)
    assert await manager.key_limits("mails") == []


async def test_a_setting_is_overridden_and_the_override_removed(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager
) -> None:
    await manager.create_queue(QueueConfig("mails", max_workers=3))
    page = (await browser_page("#/queue/mails", admin_app, expected=("/overrides",))).page
    await page.get_by_role("button", name="Override max_workers").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("max_workers").fill("none of them")
    await dialog.get_by_role("button", name="Put in force").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("takes a number")
    await dialog.get_by_label("max_workers").fill("0")
    await dialog.get_by_role("button", name="Put in force").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("max_workers")
    await dialog.get_by_label("max_workers").fill("7")
    await confirm(page, "Put in force")
    row = page.locator(".settings tr").filter(has_text="max_workers").first
    await expect(row.locator("td").nth(0)).to_have_text("3")
    await expect(row.locator("td").nth(1)).to_contain_text("7")
    await expect(row.locator(".who")).to_contain_text("local")
    assert (await manager.overrides("mails"))["max_workers"].value == 7
    await page.get_by_role("button", name="Remove the override of max_workers").click()
    await expect(row.locator("td").nth(1)).to_have_text("3")
    assert await manager.overrides("mails") == {}


async def test_a_rate_is_put_in_force_as_people_write_it(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager
) -> None:
    await manager.create_queue(QueueConfig("mails"))
    page = (await browser_page("#/queue/mails", admin_app)).page
    await page.get_by_role("button", name="Override rate").click()
    await page.get_by_role("dialog").get_by_label("rate").fill("100/60, 10/1")
    await confirm(page, "Put in force")
    await expect(page.locator(".stage").filter(has_text="Rate")).to_contain_text("100")
    rates = (await manager.overrides("mails"))["rate"].value
    assert [(rate.count, rate.per) for rate in rates] == [(100, 60.0), (10, 1.0)]


async def test_a_queue_is_deleted_only_with_its_name(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager
) -> None:
    async with TaskQueueManager(manager.store_address) as other:
        await other.create_queue(QueueConfig("old"))
    page = (await browser_page("#/queue/old", admin_app, expected=("/queues/old",))).page
    await page.get_by_role("button", name="Delete…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Type the queue's name to confirm").fill("odl")
    await dialog.get_by_role("button", name="Delete the queue").click()
    await expect(dialog.get_by_role("alert")).to_have_text("The name doesn't match.")
    await dialog.get_by_label("Type the queue's name to confirm").fill("old")
    await confirm(page, "Delete the queue")
    await expect(page.get_by_text("No queues yet")).to_be_visible()
    assert await manager.get_queue_names() == []


async def test_a_task_is_found_explained_and_cancelled(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager
) -> None:
    await waiting_queue(manager, "mail-1")
    page = (await browser_page("#/tasks?queue=mails", admin_app)).page
    await page.get_by_role("link", name="mail-1").click()
    await expect(page.locator("pre").first).to_contain_text('"to",\n  html = true,')
    await expect(page.get_by_role("region", name="Why it waits")).to_contain_text("Eve: a test")
    await expect(page.locator(".when")).to_contain_text("not by itself")
    await page.get_by_role("button", name="Cancel…").click()
    await confirm(page, "Cancel the task")
    await expect(page.locator(".head .state")).to_have_text("cancelled")
    assert (await manager.get_task_status("mail-1")).status == "cancelled"
    await page.get_by_role("button", name="Replay", exact=True).click()
    await expect(page.locator(".head .state")).to_contain_text("waiting")
    assert (await manager.get_task_status("mail-1")).status == "queued"


async def test_chosen_tasks_are_cancelled_together_after_a_preview(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager
) -> None:
    await waiting_queue(manager, "mail-1", "mail-2", "mail-3")
    page = (await browser_page("#/tasks?queue=mails&state=waiting", admin_app)).page
    await page.get_by_label("Select all that are shown").check()
    await page.get_by_label("Select mail-2").uncheck()
    await expect(page.get_by_text("2 tasks chosen")).to_be_visible()
    await (
        page.get_by_role("group", name="What to do with the chosen tasks")
        .get_by_role("button", name="Cancel…")
        .click()
    )
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("2 tasks won't run")
    await confirm(page, "Cancel 2")
    await expect(page.get_by_role("link", name="mail-1")).to_have_count(0)
    await expect(page.get_by_role("link", name="mail-2")).to_be_visible()
    assert (await status(manager))["queued_tasks"] == 1


async def test_a_failed_task_shows_why_and_is_replayed_with_other_arguments(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager
) -> None:
    seen: list[object] = []

    @manager.task(queue="mails")
    async def send(address: str) -> None:
        seen.append(address)
        if address == "nobody":
            raise Down("no such mailbox")

    await manager.create_queue(QueueConfig("mails", max_circuit_breaker_failures=None))
    handle = await send.submit("nobody")
    await are_dead(manager, 1)
    page = (await browser_page(f"#/task/{handle.task_id}", admin_app)).page
    await expect(page.locator(".traceback")).to_contain_text('raise Down("no such mailbox")')
    await expect(page.locator(".timeline")).to_contain_text("no such mailbox")
    await page.get_by_role("button", name="Replay with…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Positional arguments: a JSON list").fill('["somebody"')
    await dialog.get_by_role("button", name="Replay", exact=True).click()
    await expect(dialog.get_by_role("alert")).to_contain_text("aren't valid JSON")
    await dialog.get_by_label("Positional arguments: a JSON list").fill('["somebody"]')
    await confirm(page, "Replay")
    await expect(page.locator(".head .state")).to_contain_text("completed")
    assert seen == ["nobody", "somebody"]


async def test_one_dead_letter_goes_first_and_the_group_follows(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager
) -> None:
    is_down = True

    async def call(number: int) -> None:
        if is_down:
            raise Down(f"no answer to {number}")

    await manager.create_queue(QueueConfig("mails", max_circuit_breaker_failures=None))
    for number in range(5):
        await manager.submit_task(f"mail-{number}", "mails", "send", call, None, number)
    await are_dead(manager, 5)
    page = (await browser_page("#/dead", admin_app)).page
    group = page.get_by_role("listitem").filter(has_text="Down")
    await expect(group.locator(".group-count")).to_have_text("5")

    await group.get_by_role("button", name="Replay one").click()
    await expect(group.locator(".canary")).to_contain_text("the cause is still there")
    is_down = False
    await group.get_by_role("button", name="Replay one").click()
    await expect(group.locator(".canary")).to_contain_text("completed")
    await group.get_by_role("button", name="Replay the other 4…").click()
    await expect(page.get_by_role("dialog")).to_contain_text("4 dead letters will wait again")
    await confirm(page, "Replay them")
    await expect(page.get_by_text("No dead letters", exact=True)).to_be_visible()
    for number in range(5):
        assert (await manager.get_task_status(f"mail-{number}")).status == "completed"


async def test_dead_letters_are_read_and_purged_with_a_preview(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager
) -> None:
    await dead_queue(manager, "mail-1", "mail-2")
    page = (await browser_page("#/dead?queue=mails", admin_app)).page
    await page.get_by_role("link", name="Show them").click()
    await expect(page.locator(".letters")).to_contain_text("the downstream is down")
    await expect(page.locator(".traceback")).to_contain_text("raise Down")
    await page.get_by_role("button", name="Purge…").click()
    await expect(page.get_by_role("dialog")).to_contain_text(
        "2 dead letters will be removed for good"
    )
    await confirm(page, "Remove for good")
    await expect(page.get_by_text("No dead letters in mails")).to_be_visible()
    assert (await manager.dead_letters("mails")).tasks == ()


async def test_all_dead_letters_of_a_queue_are_replayed(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager
) -> None:
    await dead_queue(manager, "mail-1", "mail-2")
    await manager.pause_queue("mails")
    page = (await browser_page("#/dead?queue=mails", admin_app)).page
    await page.get_by_role("button", name="Replay all…").click()
    await expect(page.get_by_role("dialog")).to_contain_text("2 dead letters will wait again")
    await confirm(page, "Replay them")
    await expect(page.get_by_text("No dead letters in mails")).to_be_visible()
    assert (await status(manager))["queued_tasks"] == 2


async def test_a_process_is_listed_with_its_queues(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager
) -> None:
    await manager.create_queue(QueueConfig("mails"))
    page = (await browser_page("#/processes", admin_app)).page
    row = page.locator("[data-row]").first
    await expect(row).to_contain_text("working")
    await row.get_by_role("link", name="mails").click()
    await expect(page.get_by_role("heading", level=1, name="mails")).to_be_visible()


async def test_an_error_of_the_server_stays_in_the_dialog(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager
) -> None:
    await manager.create_queue(QueueConfig("mails"))
    opened = await browser_page("#/queue/mails", admin_app, expected=("409",))
    page = opened.page
    await page.get_by_role("button", name="Delete…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Type the queue's name to confirm").fill("mails")
    await dialog.get_by_role("button", name="Delete the queue").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("mails")
    await dialog.get_by_role("button", name="Cancel", exact=True).click()
    assert await manager.get_queue_names() == ["mails"]


async def test_what_happens_elsewhere_appears_by_itself(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager
) -> None:
    page = (await browser_page("#/", admin_app)).page
    await expect(page.get_by_text("No queues yet")).to_be_visible()
    await waiting_queue(manager, "mail-1")
    row = page.locator("[data-row]").filter(has_text="mails")
    await expect(row).to_contain_text("“Eve: a test”")
    await expect(row.locator(".meter")).to_have_text("1")


async def test_the_overview_shows_what_a_queue_completes(
    browser_page: BrowserPage, admin_app: Any, manager: TaskQueueManager
) -> None:
    await manager.create_queue(QueueConfig("mails"))
    for number in range(3):
        await manager.submit_task(f"mail-{number}", "mails", "send", nothing)
    for number in range(3):
        await manager.handle(f"mail-{number}").result(timeout=30)
    page = (await browser_page("#/", admin_app)).page
    tile = page.locator(".tile").filter(has_text="Completed, last hour")
    await expect(tile.locator(".figure")).to_have_text("3")
    row = page.locator("[data-row]").filter(has_text="mails")
    await expect(row.locator("[data-label=Now]")).not_to_have_text("0/min")
