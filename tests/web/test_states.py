"""What a page shows when there is nothing, when the server fails or falls silent, and when it may only read."""

from typing import Any

import pytest
from playwright.async_api import expect

from kew import QueueConfig, TaskQueueManager
from kew.web import admin
from tests.web.conftest import PHONE, WIDE, BrowserPage
from tests.web.invented import Invented
from tests.web.test_layout import overflow, serious

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("width", [WIDE, PHONE])
async def test_an_empty_namespace_says_what_to_do(browser_page: BrowserPage, width: int) -> None:
    opened = await browser_page("#/", Invented(empty=True).app(), width=width)
    page = opened.page
    await expect(page.get_by_text("No queues yet")).to_be_visible()
    await expect(page.get_by_text("create_queue")).to_be_visible()
    for path, text in (
        ("#/tasks", "No queues yet"),
        ("#/dead", "No dead letters"),
        ("#/schedules", "No schedules"),
        ("#/processes", "No process works here"),
    ):
        await opened.go(path)
        await expect(page.get_by_text(text).first).to_be_visible()
        assert await overflow(page) <= 0
        assert await serious(page) == []


async def test_a_server_that_fails_is_quoted_and_can_be_tried_again(
    browser_page: BrowserPage,
) -> None:
    invented = Invented(broken=True)
    opened = await browser_page("#/", invented.app(), expected=("503",))
    page = opened.page
    await expect(page.get_by_role("alert")).to_contain_text("The store doesn't answer")
    await expect(page.get_by_role("alert")).to_contain_text("refused the connection")
    assert await serious(page) == []
    invented.is_broken = False
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("link", name="payments", exact=True)).to_be_visible()


async def test_what_was_shown_stays_when_a_later_request_fails(browser_page: BrowserPage) -> None:
    invented = Invented()
    opened = await browser_page("#/queue/crm-sync", invented.app(), expected=("503",))
    page = opened.page
    await expect(page.get_by_text("is the bottleneck")).to_be_visible()
    invented.is_broken = True
    await expect(page.get_by_role("alert")).to_contain_text("The store doesn't answer")
    await expect(page.get_by_text("is the bottleneck")).to_be_visible()


async def test_an_unknown_queue_task_and_page_are_said_to_be_unknown(
    browser_page: BrowserPage,
) -> None:
    opened = await browser_page("#/queue/nowhere", Invented().app(), expected=("404",))
    await expect(opened.page.get_by_role("alert")).to_contain_text("there is no nowhere")
    await opened.go("#/nothing")
    await expect(opened.page.get_by_role("alert")).to_contain_text("No such page")


class Stuck(Invented):
    """Tasks of a queue wait for a function that no process knows."""

    def row(
        self, name: str, limit: int, used: int, waiting: int, most: int, **more: Any
    ) -> dict[str, Any]:
        if name == "nightly":
            return super().row(name, limit, used, 3, most, stuck_functions={"shop.old:report": 3})
        return super().row(name, limit, used, waiting, most, **more)


async def test_a_queue_names_the_function_that_no_process_knows(browser_page: BrowserPage) -> None:
    opened = await browser_page("#/queue/nightly", Stuck().app())
    verdict = opened.page.locator(".verdict")
    await expect(verdict).to_contain_text(
        "3 tasks wait for a function that no process knows: shop.old:report."
    )
    await expect(verdict).not_to_contain_text("Nothing holds it back")


async def test_a_process_with_many_long_tasks_names_some_and_counts_the_rest(
    browser_page: BrowserPage,
) -> None:
    invented = Invented()
    found = invented.processes()
    for process in found["processes"]:
        process["long_tasks"] *= 5
        for number, each in enumerate(process["long_tasks"]):
            process["long_tasks"][number] = {**each, "task_id": f"img-{number}"}
    invented.processes = lambda: found  # type: ignore[method-assign]
    page = (await browser_page("#/processes", invented.app())).page
    row = page.locator("[data-row]").nth(1)
    await expect(row).to_contain_text("img-2 has run for 41 s")
    await expect(row).to_contain_text("and 2 more")


async def test_a_key_is_measured_by_its_own_limit(browser_page: BrowserPage) -> None:
    opened = await browser_page("#/queue/crm-sync", Invented().app())
    keys = opened.page.get_by_label("Busiest keys").get_by_role("row")
    await expect(keys.filter(has_text="acme")).to_contain_text("2/2")  # its own
    await expect(keys.filter(has_text="umbrella")).to_contain_text("1/1")  # as the queue declares


async def test_the_page_says_when_it_last_heard_from_a_server_that_has_gone_silent(
    browser_page: BrowserPage,
) -> None:
    opened = await browser_page("#/", Invented().app(), expected=("ERR_",))
    page = opened.page
    await expect(page.locator(".live-line")).to_have_text("live")
    await page.route("**/api/**", lambda route: route.abort())
    await page.clock.install()
    await page.evaluate("window.dispatchEvent(new Event('offline'))")
    await page.clock.fast_forward(40_000)
    await expect(page.locator(".live-line")).to_contain_text("last heard")
    await expect(page.locator(".live-line")).to_contain_text("s ago")


async def test_a_page_that_may_only_read_offers_no_changes(
    browser_page: BrowserPage, manager: TaskQueueManager
) -> None:
    opened = await browser_page("#/queue/crm-sync", Invented(read_only=True).app())
    page = opened.page
    await expect(page.get_by_text("read-only", exact=True)).to_be_visible()
    await expect(page.get_by_text("is the bottleneck")).to_be_visible()
    for name in ("Pause…", "Drain…", "Purge…", "Override", "Replay", "Cancel…"):
        await expect(page.get_by_role("button", name=name)).to_have_count(0)
    await opened.go("#/dead?queue=payments")
    await expect(page.get_by_role("button", name="Replay one")).to_have_count(0)
    await opened.go("#/schedules")
    await expect(page.get_by_role("link", name="nightly-report", exact=True)).to_be_visible()
    await expect(page.get_by_label("Actions for nightly-report")).to_have_count(0)
    await opened.go("#/schedule/nightly-report")
    await expect(page.get_by_text("Next runs", exact=True)).to_be_visible()
    await expect(page.get_by_role("button", name="Run now")).to_have_count(0)


async def test_arguments_and_results_can_be_kept_from_the_page(
    browser_page: BrowserPage, manager: TaskQueueManager
) -> None:
    app = admin(manager, loopback_only=True, show_payloads=False)
    await manager.create_queue(QueueConfig("mails"))
    await manager.submit_task("mail-1", "mails", "send", str, None, "s3cret")
    assert await manager.handle("mail-1").result(timeout=30) == "s3cret"
    await manager.pause_queue("mails")
    await manager.submit_task("mail-2", "mails", "send", str, None, "s3cret")
    opened = await browser_page("#/task/mail-1", app)
    page = opened.page
    await expect(page.get_by_text("This admin page shows no results.")).to_be_visible()
    await opened.go("#/task/mail-2")
    await expect(page.get_by_text("This admin API doesn't show them.")).to_be_visible()
    assert "s3cret" not in await page.content()


async def test_a_token_is_asked_for_and_kept_from_scripts(
    browser_page: BrowserPage, manager: TaskQueueManager
) -> None:
    app = admin(manager, token="a-long-enough-token-for-this-test-1234", allow_changes=True)
    opened = await browser_page("#/", app, expected=("401",))
    page = opened.page
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert await serious(page) == []
    await page.get_by_label("Token").fill("wrong")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("alert")).to_have_text("This token isn't valid.")
    await page.get_by_label("Token").fill("a-long-enough-token-for-this-test-1234")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    stored = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    assert "a-long" not in await page.evaluate(stored)


async def test_the_progress_of_a_task_is_a_bar_with_its_message(browser_page: BrowserPage) -> None:
    opened = await browser_page("#/task/crm-0", Invented().app())
    row = opened.page.locator("dl.facts div", has_text="Progress")
    await expect(row).to_contain_text("40 %")
    await expect(row).to_contain_text("page 12 of 30")
    await expect(row.locator(".meter .fill")).to_be_visible()
    saved = opened.page.locator("dl.facts div", has_text="Checkpoint")
    await expect(saved).to_contain_text("1.2 KiB, saved by attempt 2")
    assert await overflow(opened.page) <= 0
    assert await serious(opened.page) == []
