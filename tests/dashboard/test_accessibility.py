"""Every screen as people meet it: light and dark, wide and narrow, by rules (axe) and in pictures for the docs."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.wait import WebDriverWait

from models import retryable
from models.delivery import Delivery
from models.notification import Notification
from operations.dashboard_login import LoginSigner
from tests.chromium import needs_chromium
from tests.dashboard import day, platform_hook
from tests.dashboard.browser import PATIENCE_SECONDS, SCREENSHOTS, served
from tests.dashboard.conftest import EXAMPLES, KEY, OpenApp, url_rules
from tests.worker.harness import Harness

AXE = Path(__file__).parent / "axe/node_modules/axe-core/axe.min.js"
LOOKS = {"light": 1240, "dark": 360}
"""Theme -> width in pixels: each screen is looked at in both."""
RULES_OF_LOOK = ["color-contrast", "scrollable-region-focusable", "target-size", "link-in-text-block"]
"""What a theme or a width can break; the second look tries these alone, since axe takes most of this test's time."""
SUBMIT = """
const form = document.createElement("form");
form.method = "post";
form.action = arguments[0];
for (const [name, value] of Object.entries(arguments[1])) {
  const input = document.createElement("input");
  [input.type, input.name, input.value] = ["hidden", name, value];
  form.append(input);
}
document.body.append(form);
form.submit();
"""
QUICK = {"resultTypes": ["violations"], "selectors": False, "iframes": False}
SERIOUS = ("serious", "critical")
PLANS = ("kind=replay&all=1&status=dead", "kind=ignore&all=1&status=dead", "target=notifications&kind=replay&all=1")
PICTURES = {"home": ("/", 1030), "plan": (f"/runs/plan?{PLANS[0]}", 640), "timeline": (f"/bookings/{day.STORY}", 660)}
"""Name -> address, and height in pixels of its picture in the docs."""
MAX_PICTURE_BYTES = 150_000

pytestmark = [needs_chromium, pytest.mark.parametrize("database", ["sqlite"], indirect=True)]


@pytest.fixture
def lived(open_harness: Callable[..., Harness], monkeypatch: pytest.MonkeyPatch) -> Harness:
    """A platform after a day, on which a hook broke and is repaired, but nothing has been replayed yet."""
    monkeypatch.setattr(retryable, "MAX_ATTEMPTS", 1)
    monkeypatch.setattr(platform_hook, "IS_BROKEN", [False])
    hook, key_ends = "tests.dashboard.platform_hook:changed", f"{datetime.now(UTC) + timedelta(days=52):%Y-%m-%d}"
    harness = open_harness(platform_hook=hook, webhook_keys=KEY, meetergo_api_key_expires=key_ends)
    day.live_through(harness)
    return harness


def screens(app: Flask, lived: Harness, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the address of every screen, with something to show."""
    dead = next(row for row in lived.all(Delivery) if row.status == "dead")
    unsent = next(row for row in lived.all(Notification) if row.status == "dead")
    examples = {"delivery_id": dead.id, "notification_id": str(unsent.id), "booking_id": day.STORY, "run_id": "3"}
    for name, value in examples.items():
        monkeypatch.setitem(EXAMPLES, name, value)
    for endpoint, method, path in url_rules(app):
        if method == "GET" and endpoint not in (
            "static",
            "health.health",
            "live.entries",
            "runs.plan",
            "send_again.plan",
        ):
            yield path
    yield from (f"/runs/plan?{query}" for query in PLANS)
    yield "/runs/send-again?since=2d"
    yield from ("/deliveries?status=dead", "/bookings?tab=upcoming", "/hosts?map=nobody", "/nowhere")


def answers_to_forms() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the address of every form, and what to post to it, for each page that answers it."""
    delivery, booking = f"/deliveries/{EXAMPLES['delivery_id']}", f"/bookings/{day.STORY}"
    why, old = {"reason": "to see how it looks"}, {"digest": "of another set"}
    everything = {"all": "1", "status": "dead"}
    notifications = everything | {"target": "notifications"}
    guest = {"email": "guest-1@example.com"}
    yield from ((f"{each}/reveal", fields) for each in (delivery, booking) for fields in (why, {}))
    yield from ((f"{booking}/compare", {}), (f"{booking}/refresh", why), ("/reconcile/dry-run", {"host": "nobody"}))
    yield from (("/runs/start", everything | {"kind": kind} | old | why) for kind in ("replay", "ignore"))
    yield from (("/runs/start", notifications | {"kind": kind}) for kind in ("replay", "ignore"))
    yield from (("/runs/send-again/start", {"since": "2d"}), ("/runs/send-again/start", {"since": "2d"} | old | why))
    yield from (
        ("/runs/start", everything | {"kind": "other"}),
        (f"/runs/{EXAMPLES['run_id']}/cancel", {}),
        ("/runs/99/cancel", {}),
    )
    yield from (("/hosts/add", {"external_id": "4711"} | why), ("/hosts/change", {}), ("/hosts/forget", why))
    yield from (("/people/prune", {}), ("/people/prune", why | old))
    yield from (("/people/find", guest), ("/people/find", {}), ("/people/erase", guest), ("/people/erase", guest | why))
    yield from ((f"/accounts/{act}", {"name": "acme"}) for act in ("add", f"{EXAMPLES['name']}/disable"))
    yield from ((f"/accounts/{EXAMPLES['name']}/enable", {}), ("/settings", {}), ("/logout", {}))


def post(browser: webdriver.Chrome, address: str, fields: dict[str, str]) -> None:
    """Send a form, and wait for the page that answers it."""
    page = browser.find_element(By.TAG_NAME, "html")
    browser.execute_script(SUBMIT, address, fields)
    WebDriverWait(browser, PATIENCE_SECONDS, 0.05).until(staleness_of(page))


def look(browser: webdriver.Chrome, theme: str, width: int, height: int = 900) -> None:
    features = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def violations(browser: webdriver.Chrome, rules: list[str]) -> list[str]:
    """Return what axe finds on this page: by these rules, by all of its own for none."""
    run = "axe.run(arguments[0]).then(arguments[1], error => arguments[1]({error: String(error)}))"
    only = {"runOnly": {"type": "rule", "values": rules}} if rules else {}
    found: dict[str, Any] = browser.execute_async_script(run, {**QUICK, **only})
    assert "violations" in found, found
    return [
        f"{each['id']}: {node['html'][:160]}"
        for each in found["violations"]
        if each["impact"] in SERIOUS
        for node in each["nodes"][:3]
    ]


@pytest.mark.skipif(not AXE.exists(), reason="axe is not here: npm ci --prefix tests/dashboard/axe")
def test_axe_finds_nothing_serious_on_any_screen(
    lived: Harness, open_app: OpenApp, browser: webdriver.Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = dict[str, list[str]]()
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": AXE.read_text()})
    with served(open_app) as url:
        browser.get(LoginSigner([KEY]).link(url, "Ada", "people"))
        paths = list(screens(open_app(), lived, monkeypatch))
        for theme, width in LOOKS.items():
            look(browser, theme, width)
            for path in paths:
                browser.get(url + path)
                size = browser.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
                assert size["width"] <= width, f"{path} is wider than {width} pixels"
                if problems := violations(browser, [] if theme == "light" else RULES_OF_LOOK):
                    found[f"{path} {theme} {width}"] = problems
    assert found == {}
    assert len(paths) >= 20


@pytest.mark.skipif(not AXE.exists(), reason="axe is not here: npm ci --prefix tests/dashboard/axe")
def test_axe_finds_nothing_serious_on_any_page_that_answers_a_form(
    lived: Harness, open_app: OpenApp, browser: webdriver.Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, titles = dict[str, list[str]](), set[str]()
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": AXE.read_text()})
    with served(open_app) as url:
        app = open_app()
        list(screens(app, lived, monkeypatch))
        posted = {path for _, method, path in url_rules(app) if method == "POST"} - {"/preferences"}
        forms = list(answers_to_forms())
        assert posted <= {path for path, _ in forms}, "each form is sent"
        for theme, width in LOOKS.items():
            look(browser, theme, width)
            link = LoginSigner([KEY]).link(url, "Ada", "people")
            browser.get(link)
            for path, fields in forms:
                post(browser, url + path, fields)
                titles.add(browser.title)
                assert "You are not logged in" not in browser.title or path == "/logout", path
                if problems := violations(browser, [] if theme == "light" else RULES_OF_LOOK):
                    found[f"POST {path} {fields} {theme} {width}"] = problems
            for path in (link.removeprefix(url), "/login?token=none"):
                browser.get(url + path)
                assert "You are not logged in" in browser.title
                found |= {path: problems} if (problems := violations(browser, [])) else {}
    assert found == {}
    assert len(titles) >= 12


@pytest.mark.skipif(not SCREENSHOTS, reason="DASHBOARD_SCREENSHOTS names no folder for pictures: make screenshots")
def test_pictures_for_the_docs(lived: Harness, open_app: OpenApp, browser: webdriver.Chrome) -> None:
    with served(open_app) as url:
        browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
        browser.get(LoginSigner([KEY]).link(url, "ada", "operate"))
        for name, (path, height) in PICTURES.items():
            look(browser, "light", 1240, height)
            browser.get(url + path)
            file = Path(SCREENSHOTS) / f"dashboard-{name}.png"
            browser.save_screenshot(str(file))
            assert file.stat().st_size < MAX_PICTURE_BYTES
