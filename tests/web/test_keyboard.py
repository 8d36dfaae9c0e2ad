"""The page by keyboard, and what stays where it is while the data changes."""

import pytest
from playwright.async_api import expect

from tests.web.conftest import BrowserPage
from tests.web.invented import Invented

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_j_and_k_move_through_rows_and_enter_opens(browser_page: BrowserPage) -> None:
    opened = await browser_page("#/", Invented().app())
    page = opened.page
    await expect(page.get_by_role("link", name="payments", exact=True)).to_be_visible()
    for _ in range(3):
        await page.keyboard.press("j")
    await page.keyboard.press("k")
    await expect(page.get_by_role("link", name="reports", exact=True)).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1, name="reports")).to_be_visible()


async def test_a_slash_searches_and_escape_leaves(browser_page: BrowserPage) -> None:
    opened = await browser_page("#/", Invented().app())
    page = opened.page
    await expect(page.get_by_role("link", name="payments", exact=True)).to_be_visible()
    await page.keyboard.press("/")
    field = page.get_by_role("combobox", name="Search a task id, queue or type")
    await expect(field).to_be_focused()
    await page.keyboard.type("hook")
    await expect(page.get_by_role("option").first).to_have_text("webhooks queue")
    await page.keyboard.press("Escape")
    await expect(field).not_to_be_focused()
    await page.keyboard.press("/")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1, name="webhooks")).to_be_visible()


async def test_a_text_that_is_no_queue_is_looked_up_as_a_task(browser_page: BrowserPage) -> None:
    opened = await browser_page("#/", Invented().app())
    page = opened.page
    await expect(page.get_by_role("link", name="payments", exact=True)).to_be_visible()
    await page.keyboard.press("/")
    await page.keyboard.type("sync-acme-9917")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1, name="sync-acme-9917")).to_be_visible()
    await expect(page.get_by_text("Why it waits")).to_be_visible()


async def test_question_mark_lists_the_keys_and_g_goes(browser_page: BrowserPage) -> None:
    opened = await browser_page("#/", Invented().app())
    page = opened.page
    await expect(page.get_by_role("link", name="payments", exact=True)).to_be_visible()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.keyboard.press("g")
    await page.keyboard.press("p")
    await expect(page.get_by_role("heading", level=1, name="Processes")).to_be_visible()


async def test_focus_and_what_is_typed_survive_an_update(browser_page: BrowserPage) -> None:
    invented = Invented()
    opened = await browser_page("#/tasks?queue=crm-sync", invented.app())
    page = opened.page
    field = page.get_by_placeholder("Key")
    await field.focus()
    await page.keyboard.type("acm")
    async with page.expect_response("**/tasks?*"):
        pass
    await expect(field).to_be_focused()
    await expect(field).to_have_value("acm")


async def test_the_theme_follows_the_system_until_it_is_switched(
    browser_page: BrowserPage,
) -> None:
    opened = await browser_page("#/", Invented().app(), theme="dark")
    page = opened.page
    html = page.locator("html")
    await expect(html).to_have_attribute("data-theme", "dark")
    await page.get_by_role("button", name="Switch between light and dark").click()
    await expect(html).to_have_attribute("data-theme", "light")
    await page.reload()
    await expect(html).to_have_attribute("data-theme", "light")


async def test_with_reduced_motion_nothing_moves(browser_page: BrowserPage) -> None:
    opened = await browser_page("#/", Invented().app(), motion="reduce")
    page = opened.page
    await expect(page.get_by_role("link", name="payments", exact=True)).to_be_visible()
    moving = """[...document.querySelectorAll('*')].filter((each) => {
      const style = getComputedStyle(each);
      return style.animationName !== 'none' || style.transitionDuration !== '0s';
    }).length"""
    assert await page.evaluate(moving) == 0


async def test_the_stream_is_closed_while_the_page_is_hidden(browser_page: BrowserPage) -> None:
    opened = await browser_page("#/", Invented().app())
    page = opened.page
    live = page.locator(".live-line")
    await expect(live).to_have_text("live")
    hide = """(isHidden) => {
      Object.defineProperty(document, 'hidden', {configurable: true, get: () => isHidden});
      document.dispatchEvent(new Event('visibilitychange'));
    }"""
    async with page.expect_event("requestfailed", lambda request: "events" in request.url):
        await page.evaluate(hide, True)
    await expect(live).to_contain_text("last heard")
    async with page.expect_request("**/api/events"):
        await page.evaluate(hide, False)
    await expect(live).to_have_text("live")
