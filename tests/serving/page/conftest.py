"""A server with its page, and Debian's Chromium to open it with."""

import threading
import time
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from helpers.browser import chromium, opened_tab
from playwright.sync_api import Browser, Page

from serving import Predictor
from serving.server.__main__ import listening_socket, server
from serving.server.settings import ServerSettings

# Is shown as well; what Python calls it depends on its version.
REFUSED = f"the server responded with a status of 422 ({HTTPStatus(422).phrase})"


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
    """Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def tab(browser: Browser, address: str) -> Iterator[Page]:
    """The page in a tab of its own; it must ask nobody but its server, and log no error."""
    yield from opened(browser, address, width=1280, height=900)


@pytest.fixture
def narrow_tab(browser: Browser, address: str) -> Iterator[Page]:
    """The page on a telephone, by night."""
    yield from opened(browser, address, width=390, height=844, color_scheme="dark")


def opened(browser: Browser, address: str, **look: object) -> Iterator[Page]:
    """Yield the page in a tab of its own, and check afterwards whom it asked and what it logged."""
    with opened_tab(browser, address, **look) as tab:
        tab.page.wait_for_selector("#accuracy option", state="attached")
        yield tab.page
    assert tab.asked and all(url.startswith(f"{address}/") for url in tab.asked)
    assert [text for text in tab.logged if not text.endswith(REFUSED)] == []
