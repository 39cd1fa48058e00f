"""Debian's Chromium, and a tab that notes what a page asks for and what it logs."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

CHROMIUM = shutil.which("chromium")
QUIET = ("--disable-background-networking", "--disable-component-update", "--no-first-run")
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", *QUIET)


@dataclass
class Tab:
    """A page, the addresses that it asked for, and what it logged."""

    page: Page
    asked: list[str] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)

    def note(self, request: Request) -> None:
        if not request.url.startswith(("data:", "blob:")):
            self.asked.append(request.url)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium; where there is none, the tests are skipped, but never in CI."""
    if CHROMIUM is None:
        reason = "the page is not tested: chromium is not installed (apt-get install chromium)"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield browser
        browser.close()


@contextmanager
def opened_tab(
    browser: Browser,
    address: str,
    *,
    width: int = 1280,
    height: int = 900,
    color_scheme: Literal["light", "dark"] = "light",
) -> Iterator[Tab]:
    """Open an address in a tab of its own."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=color_scheme
    )
    tab = Tab(context.new_page())
    tab.page.set_default_timeout(20_000)
    tab.page.on("request", tab.note)
    tab.page.on("pageerror", lambda error: tab.logged.append(str(error)))
    tab.page.on("console", lambda message: tab.logged.append(message.text))
    tab.page.goto(address)
    yield tab
    context.close()
