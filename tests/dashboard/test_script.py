"""What the script adds in a real browser: live renews itself, dialogs ask, times are local, a page is selected."""

from collections.abc import Callable

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from devtools.send import samples
from models.run import Run
from operations.dashboard_login import LoginSigner
from tests.chromium import needs_chromium
from tests.dashboard.browser import PATIENCE_SECONDS, Visitor, served
from tests.dashboard.conftest import KEY, OpenApp
from tests.operations.test_runs import die, start
from tests.worker.harness import AT, Harness, soon

pytestmark = [needs_chromium, pytest.mark.parametrize("database", ["sqlite"], indirect=True)]

QUICK = """
  window.rounds = 0; window.fetches = 0;
  const wait = window.setTimeout, load = window.fetch;
  window.setTimeout = (act, length) => { window.rounds += 1; return wait(act, length / 20); };
  window.fetch = (...what) => { window.fetches += 1; return load(...what); };
"""
"""Makes polling quick, and counts its rounds and requests."""
HIDE = "Object.defineProperty(document, 'hidden', {configurable: true, get: () => arguments[0]})"
"""Sets whether the page is hidden."""


def test_live_shows_what_happens_and_pauses_while_it_is_hidden(
    open_harness: Callable[..., Harness], open_app: OpenApp, browser: webdriver.Chrome
) -> None:
    harness = open_harness(webhook_keys=KEY)
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": QUICK})
    with served(open_app) as url:
        ada = Visitor(browser)
        browser.get(LoginSigner([KEY]).link(url, "Ada", "read"))
        browser.get(f"{url}/live")
        ada.sees("Nothing happened yet.")
        harness.process(samples.created("visible1", soon(1), AT))
        ada.sees("received", "visible1")
        browser.execute_script(HIDE, True)
        _rounds_pass(browser)
        asked = browser.execute_script("return fetches")
        harness.process(samples.created("hidden01", soon(2), AT))
        _rounds_pass(browser)
        assert browser.execute_script("return fetches") == asked
        assert "hidden01" not in browser.page_source
        browser.execute_script(HIDE, False)
        ada.sees("hidden01", "visible1")


def _rounds_pass(browser: webdriver.Chrome) -> None:
    """Wait until polling had its turn three times, so that a request that was under way has ended."""
    before = browser.execute_script("return rounds")
    WebDriverWait(browser, PATIENCE_SECONDS, 0.05).until(
        lambda page: page.execute_script("return rounds") >= before + 3
    )


def test_an_act_is_confirmed_and_a_page_selected_by_the_keyboard(
    harness: Harness, open_app: OpenApp, browser: webdriver.Chrome
) -> None:
    die(harness, 3)
    run = start(harness)
    browser.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Tokyo"})
    with served(open_app) as url:
        ada = Visitor(browser)
        browser.get(LoginSigner([KEY]).link(url, "Ada", "operate"))
        ada.sees("times in Asia/Tokyo")
        browser.get(f"{url}/deliveries")
        browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
        assert browser.switch_to.active_element.text == "Skip to content"
        browser.find_element(By.CSS_SELECTOR, "[data-select-all]").send_keys(Keys.SPACE)
        ada.sees("Replay selected… (3)")
        ada.presses("Replay selected")
        ada.sees("Replay: 3 deliveries")
        browser.get(f"{url}/runs/{run.id}")
        for answer, is_ended in (("No", False), ("Yes", True)):
            browser.find_element(By.CSS_SELECTOR, "form[data-confirm] button").send_keys(Keys.ENTER)
            ada.sees("Cancel this run? What it has done is not undone.")
            browser.find_element(By.XPATH, f"//dialog//button[.='{answer}']").send_keys(Keys.ENTER)
            ada.sees("Cancelled by Ada" if is_ended else "Cancel this run")
            assert bool(harness.all(Run)[0].ended_at) == is_ended
