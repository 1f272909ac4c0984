"""The whole incident in a real browser: a hook breaks, 200 deliveries die, an operator mends and replays them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event, Thread

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from devtools.send import samples
from models import retryable
from models.booking import Booking
from models.delivery import Delivery
from models.intervention import Intervention
from operations.dashboard_login import LoginSigner
from operations.runs.executor import advance_runs
from runtime.redis import heartbeat
from tests.chromium import needs_chromium
from tests.dashboard import platform_hook
from tests.dashboard.browser import Visitor, served
from tests.dashboard.conftest import KEY, OpenApp
from tests.worker.harness import AT, Harness, soon

NUMBER = 200
SCREENS = (
    *("/deliveries", "/errors", "/bookings", "/notifications", "/hosts", "/reconcile"),
    *("/runs", "/live", "/audit", "/settings"),
)

pytestmark = [needs_chromium, pytest.mark.parametrize("database", ["sqlite"], indirect=True)]


@pytest.fixture
def broken(open_harness: Callable[..., Harness], monkeypatch: pytest.MonkeyPatch) -> Harness:
    """A platform whose hook broke: 200 deliveries are dead."""
    monkeypatch.setattr(retryable, "MAX_ATTEMPTS", 1)
    monkeypatch.setattr(platform_hook, "IS_BROKEN", [True])
    harness = open_harness(platform_hook="tests.dashboard.platform_hook:changed", webhook_keys=KEY)
    harness.add_user(external_id="4711", meetergo_user_id=samples.HOST_ID)
    harness.deliver(*(samples.created(f"b{number:03d}", soon(number), AT) for number in range(NUMBER)))
    harness.process_due()
    assert [row.status for row in harness.all(Delivery)] == ["dead"] * NUMBER
    return harness


@contextmanager
def scheduler_and_worker(harness: Harness) -> Iterator[None]:
    """Do what the scheduler and the worker do, in this process."""
    stop = Event()

    def work() -> None:
        while not stop.wait(0.25):
            now = datetime.now(UTC)
            heartbeat.record(harness.services.job_queue.redis, "runs", now, heartbeat.DEATH_WINDOW)
            advance_runs(harness.services, now)
            harness.process_due()

    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_an_operator_finds_mends_and_replays(
    broken: Harness, open_app: OpenApp, browser: webdriver.Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.screens.runs.DEFAULT_RATE", "100")
    with served(open_app) as url, scheduler_and_worker(broken):
        ada = Visitor(browser)
        browser.get(LoginSigner([KEY]).link(url, "Ada", "operate"))
        ada.sees("Ada (operate)", "200 deliveries are dead")
        ada.follows("See the errors")
        ada.sees("KeyError at tests/dashboard/platform_hook.py", "dead 200")
        ada.follows("200")
        ada.sees("booking_created", "dead")
        browser.find_element(By.CSS_SELECTOR, "tbody tr td a").send_keys(Keys.ENTER)
        ada.sees("What it is", "KeyError", "masked")
        platform_hook.IS_BROKEN[0] = False
        ada.follows("Errors")
        ada.follows("Replay…")
        ada.sees("200", "bookings change", "Reason")
        assert [row.status for row in broken.all(Delivery)] == ["dead"] * NUMBER
        ada.writes("reason", "hook repaired")
        ada.presses("Replay")
        ada.sees("Run 1", "handled")
        ada.sees("It has ended: everything is done.", "200 of 200")
        ada.follows("Home")
        assert "deliveries are dead" not in browser.find_element(By.TAG_NAME, "main").text
        ada.follows("Audit log")
        ada.sees("Ada", "hook repaired", "Run 1")
    assert len(broken.all(Booking)) == NUMBER
    assert {row.status for row in broken.all(Delivery)} == {"done"}
    acts = broken.all(Intervention)
    assert {(act.by, act.reason) for act in acts if act.kind == "replayed"} == {("Ada", "hook repaired (run 1)")}
    errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []


def test_without_a_script_and_in_german_at_360_pixels(
    broken: Harness, open_app: OpenApp, browser: webdriver.Chrome
) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    metrics = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    with served(open_app) as url:
        bruno = Visitor(browser)
        browser.get(LoginSigner([KEY]).link(url, "Bruno", "operate"))
        bruno.presses("Deutsch")
        bruno.sees("Zustellungen", "Abmelden")
        for path in ("/", *SCREENS, "/bookings/b001", "/runs/plan?kind=ignore&all=1&status=dead"):
            browser.get(url + path)
            widths = browser.execute_cdp_cmd("Page.getLayoutMetrics", {})
            assert widths["cssContentSize"]["width"] <= 360, path
        bruno.writes("reason", "Probe")
        platform_hook.IS_BROKEN[0] = False
        bruno.presses("Ignorieren")
        bruno.sees("Lauf 1", "0 von 200 behandelt")
        bruno.presses("Lauf abbrechen")
        bruno.sees("Abgebrochen von Bruno")
