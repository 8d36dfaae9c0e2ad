"""Every page, at the width of a desk and of a phone, light and dark, with invented data."""

from urllib.parse import quote

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.web.conftest import PHONE, WIDE, BrowserPage
from tests.web.invented import Invented

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGES = {
    "overview": ("#/", "Overview"),
    "queue": ("#/queue/crm-sync", "crm-sync"),
    "tasks": ("#/tasks?queue=crm-sync", "Tasks"),
    "task": ("#/task/sync-acme-9917", "sync-acme-9917"),
    "dead-letters": (
        "#/dead?queue=payments&group=ConnectTimeout%40shop.payments.charge%3Acharge",
        "Dead letters",
    ),
    "schedules": ("#/schedules", "Schedules"),
    "schedule": ("#/schedule/nightly-report", "nightly-report"),
    "processes": ("#/processes", "Processes"),
}
HOSTILE = (
    "</script><img src=x onerror=\"window.hurt='img'\"><svg onload=window.hurt='svg'>"
    "<script>window.hurt='script'</script>{{7*7}}${window.hurt='template'}\u202e\u0000\u2028"
    + "W"
    * 120
)


async def settled(page: Page, heading: str) -> None:
    """Wait until the page shows its data."""
    await expect(page.get_by_role("heading", level=1, name=heading, exact=True)).to_be_visible()
    await expect(page.locator(".loading")).to_have_count(0)
    await expect(page.locator(".live-line")).to_contain_text("live")


async def overflow(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    width: int = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return width


@pytest.mark.parametrize("width", [WIDE, PHONE])
@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_every_page_fits_its_window_and_has_no_serious_findings(
    browser_page: BrowserPage, theme: str, width: int
) -> None:
    app = Invented().app()
    opened = await browser_page("#/", app, width=width, theme=theme)
    for path, heading in PAGES.values():
        await opened.go(path)
        await settled(opened.page, heading)
        assert await overflow(opened.page) <= 0, path
        assert await serious(opened.page) == [], path


async def test_the_pages_with_tables_fit_a_tablet(browser_page: BrowserPage) -> None:
    opened = await browser_page("#/", Invented().app())
    for name in ("overview", "tasks", "schedules"):
        path, heading = PAGES[name]
        await opened.go(path)
        await settled(opened.page, heading)
        for width in (768, 700):
            await opened.page.set_viewport_size({"width": width, "height": 1024})
            assert await overflow(opened.page) <= 0, (path, width)


async def serious(page: Page) -> list[str]:
    """What axe finds, without what is minor or moderate."""
    found = await Axe().run(page)
    return [
        f"{each['id']}: {[node['target'] for node in each['nodes']]}"
        for each in found.response["violations"]
        if each["impact"] in ("serious", "critical")
    ]


async def test_the_navigation_of_a_phone_shows_the_page_that_is_open(
    browser_page: BrowserPage,
) -> None:
    opened = await browser_page("#/processes", Invented().app(), width=PHONE)
    await settled(opened.page, "Processes")
    box = await opened.page.locator("nav [aria-current]").bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= PHONE


@pytest.mark.parametrize("width", [WIDE, PHONE])
async def test_hostile_texts_run_nothing_and_break_no_layout(
    browser_page: BrowserPage, width: int
) -> None:
    opened = await browser_page("#/", Invented(hostile=HOSTILE).app(), width=width)
    page = opened.page
    for path, heading in PAGES.values():
        await opened.go(path.split("&group")[0])
        await settled(page, heading)
        assert await overflow(page) <= 0, path
        assert await page.evaluate("window.hurt") is None, path
        assert await page.locator("main img, main script").count() == 0, path
    await opened.go(f"#/task/{quote(HOSTILE, safe='')}")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("</script><img src=x")
    assert await overflow(page) <= 0
    assert await page.evaluate("window.hurt") is None


async def test_dialogs_fit_a_phone_even_with_hostile_texts(browser_page: BrowserPage) -> None:
    opened = await browser_page("#/task/pay-1", Invented(hostile=HOSTILE).app(), width=PHONE)
    page = opened.page
    await page.get_by_role("button", name="Replay with…").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("Positional arguments: a JSON list")).to_be_visible()
    box = await dialog.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE
    assert await page.evaluate("window.hurt") is None
