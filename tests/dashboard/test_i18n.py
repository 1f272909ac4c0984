"""Every text goes through the catalogue, and none lacks its German."""

import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from flask import Flask

from dashboard.i18n import GERMAN, german
from models.delivery import Delivery
from models.notification import Notification
from tests.dashboard.conftest import EXAMPLES, Client, client_of, url_rules
from tests.worker.harness import Harness

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
ROOT = Path(__file__).parent.parent.parent / "dashboard"
PLACEHOLDER = re.compile(r"%\((\w+)\)s")
TEXT_BETWEEN_TAGS = re.compile(r">([^<>{}]*[A-Za-z]{2}[^<>{}]*)<")
NOT_TRANSLATED = {
    "bin/inbox deliveries show",
    "bin/inbox runs show",
    "null",
    "· meetergo-inbox",
    "meetergo-inbox",
    "bin/inbox dashboard login --name NAME --role read|operate|people",
}


def texts() -> Iterator[tuple[str, int, str | tuple[str, ...]]]:
    """Yield file, line and text of every text that a reader may see."""
    found = extract_from_dir(
        str(ROOT),
        [("**.py", "python"), ("templates/**.html", "jinja2")],
        keywords={"_": None, "N_": None, "ngettext": (1, 2)},
    )
    for file, line, text, _comments, _context in found:
        yield file, line, text


def test_no_text_lacks_its_german() -> None:
    known = german()
    missing = {
        f"{file}:{line}: {text}"
        for file, line, text in texts()
        if (text not in known if isinstance(text, str) else not isinstance(known.get(text[0]), list))
    }
    assert not missing


def test_the_catalogue_holds_no_text_that_nobody_uses() -> None:
    used = {text if isinstance(text, str) else text[0] for _, _, text in texts()}
    assert set(german()) - used == set()


def test_no_text_is_translated_twice_in_different_ways() -> None:
    seen: dict[str, object] = {}
    for file in sorted(GERMAN.glob("*.json")):
        for text, translated in json.loads(file.read_text()).items():
            assert seen.setdefault(text, translated) == translated, f"{file.name}: {text}"


def test_german_keeps_the_placeholders() -> None:
    for text, translated in german().items():
        for form in [translated] if isinstance(translated, str) else translated:
            assert set(PLACEHOLDER.findall(form)) <= {*PLACEHOLDER.findall(text), "num"}, text
            assert form.strip(), text


def test_no_template_holds_a_text_outside_of_the_catalogue() -> None:
    bare = {
        f"{file.name}: {text.strip()}"
        for file in ROOT.glob("templates/**/*.html")
        for text in TEXT_BETWEEN_TAGS.findall(re.sub(r"{#.*?#}|{%.*?%}|{{.*?}}", "", file.read_text(), flags=re.DOTALL))
        if text.strip() not in NOT_TRANSLATED
    }
    assert not bare


@ON_SQLITE
def test_no_page_shows_a_german_reader_an_english_text(
    app: Flask, sample_data: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery, notification = sample_data.all(Delivery)[0], sample_data.all(Notification)[0]
    examples = {"delivery_id": delivery.id, "notification_id": str(notification.id), "booking_id": "b1"}
    for name, value in examples.items():
        monkeypatch.setitem(EXAMPLES, name, value)
    reader, english = client_of(app, "people"), {text for text in german() if len(text.split()) > 1}
    same = {text for text, translated in german().items() if text == translated}
    paths = [path for _, method, path in url_rules(app) if method == "GET"]
    for path in [
        *paths,
        "/runs/plan?kind=replay&all=1&status=dead",
        "/errors?of=notifications",
        "/bookings?tab=untimed",
    ]:
        response = reader.get(path, headers={"Accept-Language": "de"}, buffered=True)
        if response.mimetype == "text/html":
            shown = {unescape(each).strip() for each in re.findall(r">([^<>]+)<", response.text)}
            attributes = re.findall(r'(?:placeholder|aria-label|title|data-confirm)="([^"]+)"', response.text)
            assert not (shown | {unescape(each) for each in attributes}) & (english - same), path


@ON_SQLITE
def test_the_reader_chooses_a_language(client: Client) -> None:
    reader = client("read")
    assert "Zustellungen" in reader.get("/deliveries", headers={"Accept-Language": "de-AT,de;q=0.9"}).text
    assert "Zustellungen" not in reader.get("/deliveries", headers={"Accept-Language": "fr,en;q=0.5"}).text
    response = reader.post("/preferences", data={"language": "de", "back": "/deliveries?status=dead"})
    assert response.headers["Location"] == "/deliveries?status=dead"
    page = reader.get("/deliveries", headers={"Accept-Language": "en"}).text
    assert '<html lang="de"' in page
    assert "Zustellungen" in page


@ON_SQLITE
def test_preferences_lead_to_no_other_site(client: Client) -> None:
    for back in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nb: c"):
        assert client("read").post("/preferences", data={"back": back}).headers["Location"] == "/"
    assert client("read").post("/preferences", data={"language": "xx"}).status_code == 400
    assert client("read").post("/preferences", data={"zone": "../etc/passwd"}).status_code == 400


@ON_SQLITE
def test_times_are_in_the_readers_zone_with_utc_on_hover(client: Client, harness: Harness) -> None:
    harness.process(b"not json")
    reader = client("read")
    received = harness.all(Delivery)[0].received_at
    assert f'title="{received:%Y-%m-%d %H:%M:%S} UTC">' in reader.get("/deliveries").text
    reader.set_cookie("zone", "Asia/Kathmandu")
    page = reader.get("/deliveries").text
    assert f'title="{received:%Y-%m-%d %H:%M:%S} UTC">' in page
    assert "times in Asia/Kathmandu" in page
    reader.set_cookie("zone", "No/Where")
    assert "times in UTC" in reader.get("/deliveries").text
