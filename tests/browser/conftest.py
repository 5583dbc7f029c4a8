"""One world, one server and one browser for all tests of the dashboard; a page of its own for each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from dashboard_world import DashboardWorld, serving
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

Opened = Callable[..., Page]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> DashboardWorld:
    return DashboardWorld(tmp_path_factory.mktemp("dashboard"))


@pytest.fixture(scope="session")
def address(world: DashboardWorld) -> Iterator[str]:
    with serving(world) as found:
        yield found
    assert "fault in holdfast" not in world.log, world.log[-3000:]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of a module: as long as it lives, an event loop runs in this process, and DBOS, say, starts beside none."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, address: str, world: DashboardWorld) -> Iterator[Opened]:
    """`visit("ada")`: a page of a browser in which ada is signed in. At the end: no word in the console, no request to
    anybody else.
    """
    contexts: list[BrowserContext] = []
    said: list[str] = []
    foreign: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        refused = re.search(r"status of (4\d\d)", message.text)  # a page that says no is a page
        if message.type in ("error", "warning") and not refused:
            said.append(f"{message.text} ({message.location.get('url', '')})")

    def asked(request: Request) -> None:
        if not request.url.startswith((f"{address}/", "data:", "blob:")):
            foreign.append(request.url)

    def opened(person: str = "", **options: object) -> Page:
        context = browser.new_context(reduced_motion="reduce", **options)  # type: ignore[arg-type]
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", asked)
        if person:
            page.goto(f"{address}/login")
            page.get_by_label("API key or token").fill(world.keys[person])
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url(f"{address}/")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not foreign
    assert not said
