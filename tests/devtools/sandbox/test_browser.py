"""The page in a real browser: a developer books, moves and cancels, and watches the platform follow."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import ElementNotInteractableException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait
from urllib3 import PoolManager

from devtools.sandbox.server import Sandbox
from devtools.sandbox.state.seed import seed
from devtools.sandbox.timestamps import utc_now
from tests.chromium import needs_chromium
from tests.devtools.sandbox.conftest import Api, Endpoint

PATIENCE_SECONDS = 60


class Page:
    """A developer's view and actions. The page redraws its parts meanwhile, so each step is retried."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self._browser = browser
        drawn_anew = [StaleElementReferenceException, ElementNotInteractableException]
        self._wait = WebDriverWait(browser, PATIENCE_SECONDS, 0.05, ignored_exceptions=drawn_anew)

    def shows(self, *texts: str, where: str = "main") -> None:
        """Wait until all texts are visible."""
        self._wait.until(lambda browser: all(text in self._one(where).text for text in texts))

    def clicks(self, name: str, where: str = "main") -> None:
        """Wait for a button, and click it."""
        self._wait.until(lambda _: self._button(name, where)).click()

    def presses(self, name: str, where: str = "main") -> None:
        """Press a button by the keyboard alone."""
        self._wait.until(lambda _: self._button(name, where)).send_keys(Keys.ENTER)

    def writes(self, label: str, text: str) -> None:
        """Find a field by its label."""
        field = self._field(label)
        field.clear()
        field.send_keys(text)

    def chooses(self, label: str, text: str) -> None:
        """Wait for an option with this beginning, and select it."""
        self._wait.until(lambda _: self._takes(Select(self._field(label)), text))

    def _takes(self, choice: Select, text: str) -> bool:
        option = next((option.text for option in choice.options if option.text.startswith(text)), None)
        if option:
            choice.select_by_visible_text(option)
        return option is not None

    def _field(self, label: str) -> WebElement:
        named = self._wait.until(lambda _: self._labelled(label))
        return self._one("#" + str(named.get_attribute("for")))

    def _one(self, selector: str) -> WebElement:
        return self._browser.find_element(By.CSS_SELECTOR, selector)

    def _labelled(self, label: str) -> WebElement | None:
        return next((item for item in self._browser.find_elements(By.TAG_NAME, "label") if item.text == label), None)

    def _button(self, name: str, where: str) -> WebElement | None:
        buttons = self._browser.find_elements(By.CSS_SELECTOR, f"{where} button")
        return next((button for button in buttons if name in button.text and button.is_enabled()), None)


class Platform:
    """A minimal platform that follows the webhooks."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def bookings(self) -> list[dict[str, Any]]:
        rows: dict[str, dict[str, Any]] = {}
        for sent in map(json.loads, list(self._endpoint.received)):
            booking = sent.get("rescheduledAppointment", sent)
            rows[booking["id"]] = {
                "id": booking["id"],
                "status": "cancelled" if booking["isCancelled"] else "confirmed",
                "starts_at": datetime.fromisoformat(booking["start"]),
                "attendees": booking["attendees"],
                "revision": rows.get(booking["id"], {"revision": 0})["revision"] + 1,
            }
        return list(rows.values())


@needs_chromium
def test_a_developer_books_moves_and_cancels_and_watches_the_platform_follow(
    start: Callable[..., Sandbox], http: PoolManager, endpoint: Endpoint, browser: webdriver.Chrome
) -> None:
    meetergo = start(now=utc_now, platform_bookings=Platform(endpoint).bookings)
    seed(meetergo.accounts[0])
    api, page = Api(meetergo, http), Page(browser)
    browser.get(meetergo.url + "/")
    page.shows("None yet. Choose a time, and book one.", "None is registered yet.")
    api("POST /webhooks", {"endpoint": endpoint.url, "eventTypes": BOOKING_EVENTS})
    page.shows("booking_rescheduled", where="#webhooks")

    for name in ("First Guest", "Second Guest"):
        page.chooses("Meeting", "Group Session")
        page.writes("Guest's name", name)
        page.writes("Guest's e-mail", f"{name.replace(' ', '.')}@example.com")
        page.clicks("Later")
        page.clicks("10:00", where="#slots")
        page.presses("Book ", where="form")
        page.shows("Booked for", where="#notice")
        browser.refresh()
    page.shows("First Guest, Second Guest", "revision 2", "✓ in step", where="#appointments")

    page.clicks("Take out", where="#appointments")
    page.shows("First Guest left.", where="#notice")
    page.shows("Second Guest", "revision 3", "✓ in step", where="#appointments")

    page.clicks("Move", where="#appointments")
    page.clicks("14:00", where="#slots")
    page.clicks("Move to", where="form")
    page.shows("14:00", "revision 4", "✓ in step", where="#appointments")

    page.clicks("Cancel for all", where="#appointments")
    page.shows("cancelled, revision 5", "✓ in step", where="#appointments")
    page.shows("200 in", where="#deliveries")
    [appointment] = meetergo.appointments.values()
    assert appointment["isCancelled"]
    assert appointment["attendees"][0]["fullname"] == "Second Guest"
    assert browser.get_log("browser") == []


BOOKING_EVENTS = ["booking_created", "booking_rescheduled", "booking_cancelled"]
