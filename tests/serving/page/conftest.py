"""A server with its page, and Debian's Chromium to open it with."""

import os
import shutil
import threading
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

from serving import Predictor
from serving.server.__main__ import listening_socket, server
from serving.server.settings import ServerSettings

CHROMIUM = shutil.which("chromium")
QUIET = ("--disable-background-networking", "--disable-component-update", "--no-first-run")
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", *QUIET)
REFUSED = "the server responded with a status of 422 (Unprocessable Entity)"  # is shown as well


def _served(predictor: Predictor, **settings: object) -> Iterator[str]:
    """Serve a model in a thread; yield the address."""
    options = ServerSettings(port=0, **settings)
    with listening_socket(options.host, options.port) as listener:
        running = server(predictor, options, listener)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        while not running.started and thread.is_alive():
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        running.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def address(predictor: Predictor) -> Iterator[str]:
    """The address of a server of images and texts."""
    yield from _served(predictor)


@pytest.fixture(scope="module")
def key() -> str:
    """The key of the server at `locked_address`."""
    return "the key of the server"


@pytest.fixture(scope="module")
def locked_address(text_predictor: Predictor, key: str) -> Iterator[str]:
    """The address of a server of texts that asks for the key."""
    yield from _served(text_predictor, api_key=key)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; where there is none, the tests are skipped, but never in CI."""
    if CHROMIUM is None:
        reason = "the page is not tested: chromium is not installed (apt-get install chromium)"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Browser, address: str) -> Iterator[Page]:
    """The page in a tab of its own; it must ask nobody but its server, and log no error."""
    yield from opened(browser, address, width=1280, height=900)


@pytest.fixture
def narrow_tab(browser: Browser, address: str) -> Iterator[Page]:
    """The page on a telephone, by night."""
    yield from opened(browser, address, width=390, height=844, color_scheme="dark")


def opened(
    browser: Browser, address: str, *, width: int, height: int, color_scheme: str = "light"
) -> Iterator[Page]:
    """Yield the page in a tab of its own, and check afterwards whom it asked and what it logged."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=color_scheme
    )
    page = context.new_page()
    page.set_default_timeout(20_000)
    asked: list[str] = []
    logged: list[str] = []

    def note(request: Request) -> None:
        if not request.url.startswith(("data:", "blob:")):
            asked.append(request.url)

    page.on("request", note)
    page.on("pageerror", lambda error: logged.append(str(error)))
    page.on("console", lambda message: logged.append(message.text))
    page.goto(address)
    page.wait_for_selector("#accuracy option", state="attached")
    yield page
    context.close()
    assert asked and all(url.startswith(f"{address}/") for url in asked)
    assert [text for text in logged if not text.endswith(REFUSED)] == []
