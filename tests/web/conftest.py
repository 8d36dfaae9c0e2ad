"""A real Chromium, and servers for it. All of it lives in one event loop, that of the session.

- `browser_page(path, app, ...)`: a page of a browser of its own, which has opened this path of this application;
- `admin`: the admin API over a manager in memory, which may change things.

Whatever a page logs as an error fails the test. One is no fault of the page: Chromium aborts the requests on their way
when the machine's network changes, for instance because another test starts a container. The page reads again, and what
it could not load is opened again here.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, Protocol

import attrs
import pytest
import pytest_asyncio
import uvicorn
from playwright.async_api import Browser, ConsoleMessage, Error, Page, async_playwright, expect

from kew import TaskQueueManager
from kew.web import admin

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ADVICE = (
    "These tests need Chromium: apt-get install chromium, or set KEW_TEST_CHROMIUM to its executable. "
    "Nothing is downloaded by Playwright itself."
)
WIDE, PHONE = 1440, 390
HEIGHT = {WIDE: 1000, PHONE: 844}
PATIENCE_MS = 60_000  # on a busy machine; a page that works needs a fraction of it
expect.set_options(timeout=PATIENCE_MS)
RELOADS = 5  # of a page, while the network changes
NETWORK_CHANGED = "ERR_NETWORK_CHANGED"
numbers = itertools.count()


def chromium() -> str:
    """The browser's executable."""
    found = os.environ.get("KEW_TEST_CHROMIUM") or shutil.which("chromium")
    if not found or not Path(found).exists():
        pytest.fail(ADVICE, pytrace=False)
    return found


@attrs.define(eq=False)
class Opened:
    """A page, what it logged as errors, and what it asked for from elsewhere."""

    page: Page
    base: str
    errors: list[str] = attrs.Factory(list)
    elsewhere: list[str] = attrs.Factory(list)
    expected: tuple[str, ...] = ()
    interrupted: int = 0  # requests that a change of the machine's network aborted

    def __attrs_post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self._on_console(message))
        self.page.on("request", lambda request: self._on_request(request.url))
        self.page.on("requestfailed", lambda request: self._on_failed_request(request.failure))

    def _on_console(self, message: ConsoleMessage) -> None:
        text = f"{message.text} {message.location['url']}"
        if message.type == "error" and not any(
            each in text for each in (*self.expected, NETWORK_CHANGED)
        ):
            self.errors.append(text)

    def _on_request(self, url: str) -> None:
        if not url.startswith((self.base, "data:", "blob:")):
            self.elsewhere.append(url)

    def _on_failed_request(self, failure: str | None) -> None:
        if NETWORK_CHANGED in (failure or ""):
            self.interrupted += 1

    async def go(self, path: str) -> Page:
        """Follow a link of the page's own, such as "#/tasks"."""
        interrupted = self.interrupted
        await self._navigate(self.page.goto(f"{self.base}/{path}"))
        for _ in range(RELOADS):
            if self.interrupted == interrupted:
                break
            interrupted = self.interrupted
            await self._navigate(self.page.reload())
        return self.page

    @staticmethod
    async def _navigate(navigation: Awaitable[object]) -> None:
        try:
            await navigation
        except Error as error:
            if NETWORK_CHANGED not in error.message:
                raise


class BrowserPage(Protocol):
    """Opens a path of an application. `expected`: errors in the console that belong to the test."""

    async def __call__(
        self,
        path: str,
        app: Any,
        *,
        width: int = WIDE,
        theme: Any = "light",
        expected: tuple[str, ...] = (),
        motion: Any = "no-preference",
        zone: str = "UTC",
    ) -> Opened: ...


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield launched
        await launched.close()


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """The address at which an application answers."""
    config = uvicorn.Config(
        app, port=0, log_level="critical", timeout_graceful_shutdown=0, ws="none", lifespan="off"
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
        if running.done():
            running.result()
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = server.force_exit = True
        await running


@pytest_asyncio.fixture(loop_scope="session")
async def browser_page(
    browser: Browser,
    manager: TaskQueueManager,  # which is shut down only once the pages are closed
) -> AsyncIterator[BrowserPage]:
    opened: list[Opened] = []
    addresses: dict[int, str] = {}
    async with contextlib.AsyncExitStack() as stack:

        async def open_page(
            path: str,
            app: Any,
            *,
            width: int = WIDE,
            theme: Any = "light",
            expected: tuple[str, ...] = (),
            motion: Any = "no-preference",
            zone: str = "UTC",
        ) -> Opened:
            if id(app) not in addresses:
                addresses[id(app)] = await stack.enter_async_context(served(app))
            context: Any = await browser.new_context(
                viewport={"width": width, "height": HEIGHT[width]},
                color_scheme=theme,
                reduced_motion=motion,
                timezone_id=zone,
            )
            context.set_default_timeout(PATIENCE_MS)
            stack.push_async_callback(context.close)
            page = Opened(await context.new_page(), addresses[id(app)], expected=expected)
            opened.append(page)
            await page.go(path)
            return page

        yield open_page
    for each in opened:
        assert not each.errors
        assert not each.elsewhere


@pytest_asyncio.fixture(loop_scope="session")
async def manager() -> AsyncIterator[TaskQueueManager]:
    """A manager in memory."""
    async with TaskQueueManager(f"memory://web-{next(numbers)}") as manager:
        yield manager


@pytest.fixture
def admin_app(manager: TaskQueueManager) -> Any:
    """The admin API over it, which may change things."""
    return admin(manager, loopback_only=True, allow_changes=True)
