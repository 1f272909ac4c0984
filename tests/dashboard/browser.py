"""A real browser before the dashboard: what an operator sees, follows, presses and writes, and pictures of it."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from selenium import webdriver
from selenium.common.exceptions import (
    NoSuchElementException,
    StaleElementReferenceException,
    TimeoutException,
    WebDriverException,
)
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait
from werkzeug.serving import make_server

from tests.dashboard.conftest import OpenApp

PATIENCE_SECONDS = 60
SCREENSHOTS = os.environ.get("DASHBOARD_SCREENSHOTS", "")
"""A folder to write pictures to: `make screenshots` writes those of the docs."""


class Visitor:
    """An operator before a browser."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self.browser = browser
        # While one page gives way to the next, an element can be missing or belong to the former page.
        between_pages = (NoSuchElementException, StaleElementReferenceException)
        self._wait = WebDriverWait(browser, PATIENCE_SECONDS, 0.1, ignored_exceptions=between_pages)

    def sees(self, *texts: str) -> None:
        try:
            self._wait.until(lambda browser: all(text in self._body() for text in texts))
        except TimeoutException:
            pytest.fail(f"{texts} not in {self._body()[:2000]}")

    def _body(self) -> str:
        return self.browser.find_element(By.TAG_NAME, "body").text

    def follows(self, text: str) -> None:
        """Follow a link by the keyboard alone."""
        self._act(By.PARTIAL_LINK_TEXT, text, lambda link: link.send_keys(Keys.ENTER))

    def presses(self, text: str) -> None:
        """Press a button by the keyboard alone."""
        path = f"//button[contains(normalize-space(.), '{text}')]"
        self._act(By.XPATH, path, lambda button: button.send_keys(Keys.ENTER))

    def _act(self, by: str, value: str, act: Callable[[WebElement], None]) -> None:
        """Act on the element as soon as it is there, and wait until the page has gone.

        A click does not wait for the page that it leads to, and the next look would still see this one.
        """
        page = self.browser.find_element(By.TAG_NAME, "html")
        self._wait.until(lambda browser: act(browser.find_element(by, value)) or True)
        self._wait.until(lambda _: has_gone(page))

    def writes(self, name: str, text: str) -> None:
        field = self.browser.find_element(By.NAME, name)
        field.clear()
        field.send_keys(text)

    def photographs(self, name: str) -> None:
        if SCREENSHOTS:
            self.browser.save_screenshot(str(Path(SCREENSHOTS) / f"{name}.png"))


def has_gone(element: WebElement) -> bool:
    """Return whether another page has taken the place of the element's."""
    try:
        element.is_enabled()
    except StaleElementReferenceException:
        return True
    except WebDriverException as error:  # it gave way while chromedriver looked at it
        if "does not belong to the document" not in str(error.msg):
            raise
        return True
    return False


@contextmanager
def served(open_app: OpenApp) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, open_app(), threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
