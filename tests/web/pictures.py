"""Redraw the pictures of docs/web, with invented data: `python -m tests.web.pictures`.

Pillow, if it is installed, makes the files smaller.
"""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, async_playwright, expect

from tests.web.conftest import FLAGS, PHONE, WIDE, chromium, served
from tests.web.invented import Invented

TARGET = Path(__file__).parents[2] / "docs" / "web"
GROUP = "group=ConnectTimeout%40shop.payments.charge%3Acharge"
PICTURES = {
    "overview": ("#/", 1044),
    "queue": ("#/queue/crm-sync", 1110),
    "breaker": ("#/queue/payments", 960),
    "tasks": ("#/tasks?queue=crm-sync", 760),
    "task": ("#/task/sync-acme-9917", 1010),
    "dead-letters": (f"#/dead?queue=payments&{GROUP}", 680),
    "schedules": ("#/schedules", 600),
    "schedule": ("#/schedule/nightly-report", 760),
    "processes": ("#/processes", 480),
}
ON_A_PHONE = ("overview", "queue", "task", "schedules")
COLORS = 256


async def draw(browser: Browser, base: str, name: str, theme: Any, width: int) -> None:
    """One picture."""
    path, height = PICTURES[name]
    is_phone = width == PHONE
    context = await browser.new_context(
        viewport={"width": width, "height": 844 if is_phone else height},
        color_scheme=theme,
        reduced_motion="reduce",
        timezone_id="Europe/Berlin",
        device_scale_factor=1.5 if is_phone else 1,
    )
    page = await context.new_page()
    await page.goto(f"{base}/{path}")
    await expect(page.locator(".loading")).to_have_count(0)
    await expect(page.locator(".live-line")).to_contain_text("live")
    await page.evaluate("document.fonts.ready")
    file = TARGET / f"{name}{'-phone' if is_phone else ''}-{theme}.png"
    await page.screenshot(path=file)
    await context.close()
    _make_small(file)


def _make_small(file: Path) -> None:
    try:
        image: Any = importlib.import_module("PIL.Image")
    except ImportError:
        return
    few = (
        image.open(file).convert("RGB").quantize(COLORS, method=1, kmeans=2, dither=0)
    )  # keeps rare colors
    few.save(file, optimize=True)


async def main() -> None:
    """All of them."""
    TARGET.mkdir(exist_ok=True)
    async with served(Invented().app()) as base, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        for theme in ("light", "dark"):
            for name in PICTURES:
                await draw(browser, base, name, theme, WIDE)
            for name in ON_A_PHONE:
                await draw(browser, base, name, theme, PHONE)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
