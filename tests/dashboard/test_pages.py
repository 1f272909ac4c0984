"""Every page is small, shows hostile text as text, and can be used without a mouse, a script or eyes."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, unquote, urlencode

import pytest
from flask import Flask
from sqlalchemy import String, select, update
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from dashboard.keyset import PAGE_SIZE
from dashboard.pages import visible
from devtools.send import samples
from models.account import DEFAULT
from models.attempt import FailedAttempt
from models.booking import Booking, BookingChange
from models.delivery import Delivery
from models.employee import Employee
from models.endpoint import Endpoint
from models.intervention import Intervention
from models.notification import Notification
from models.platform_user import PlatformUser
from models.reconciliation import Reconciliation
from models.run import Run
from operations.runs.store import NewRun, SelectedRow, start_run
from runtime.signed_address import AddressSigner
from tests.dashboard.conftest import EXAMPLES, KEY, Client, client_of, url_rules
from tests.worker.harness import AT, Harness, soon

MAX_BYTES = 60_000
MARKUP = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>{{7*191}}"
BIDI = "\u202egnp.exe\u2066"
HOSTILE = f"{MARKUP}{BIDI}" + "A" * 10_000
ROWS = 60
VOID = {"meta", "link", "input", "img", "br", "hr", "path", "rect"}


class Outline(HTMLParser):
    """What a screen reader needs of a page: tags with their attributes, and the texts of labels."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.unlabelled: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append((tag, values))
        is_field = tag in ("select", "textarea") or (tag == "input" and values.get("type") != "hidden")
        if is_field and "label" not in self.open and not values.get("aria-label"):
            self.unlabelled.append(str(values))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID, f"<{tag}/> is not closed"
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


ENUMERATIONS = {"status", "kind", "source", "target", "outcome"}
"""Columns that hold words of ours, which no one else writes."""
KEYS = {"key", "fingerprint", "mark", "sealed_with", "delivery_id", "booking_id", "claimed_by", "replayed_for"}
"""Columns that we compute."""
JSON_VALUES: dict[str, Any] = {
    "attendees": [{"email": f"{MARKUP}@example.com", "fullname": HOSTILE, "phone": MARKUP, MARKUP: BIDI}] * 30,
    "host_ids": [MARKUP, HOSTILE],
    "metadata": {MARKUP: HOSTILE},
    "before": {"meeting_name": f"x{HOSTILE}", "attendees": [], MARKUP: BIDI},
    "after": {"meeting_name": HOSTILE, "attendees": [{"fullname": HOSTILE}], MARKUP: HOSTILE},
    "selection": {"error": HOSTILE[:500], MARKUP: MARKUP},
    "channels": [MARKUP],
}
SHOWN = (Booking, BookingChange, Delivery, Employee, Endpoint, FailedAttempt, Intervention, Notification)
SHOWN_TOO = (PlatformUser, Reconciliation, Run)


def fill_with_hostile_text(session: Session) -> None:
    """Put hostile text into every column that holds text or JSON, of every table that a page shows."""
    for model in (*SHOWN, *SHOWN_TOO):
        table = model.__table__
        texts = [
            column
            for column in table.columns
            if isinstance(column.type, String) and column.name not in ENUMERATIONS | KEYS
            if not column.primary_key and not column.foreign_keys
        ]
        values = {name: JSON_VALUES[name] for name in JSON_VALUES if name in table.columns}
        for number, key in enumerate(session.execute(select(*table.primary_key)).all()):
            for column in texts:
                values[column.name] = f"{number}{MARKUP}{BIDI}{HOSTILE}"[: column.type.length or 10_000]
            is_row = (column == value for column, value in zip(table.primary_key, key, strict=True))
            session.execute(update(table).where(*is_row).values(values))


@pytest.fixture
def hostile_data(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> Harness:
    """More rows than a page holds, with hostile text in every field that a page shows."""
    harness.add_user(external_id="1", meetergo_user_id=samples.HOST_ID)
    guest = {"id": "g1", "email": f'"{MARKUP[:20]}"@example.com', "fullname": HOSTILE}
    said = {"attendees": [guest], "meetingType": {"id": MARKUP, "meetingInfo": {"name": HOSTILE}}, MARKUP: HOSTILE}
    bodies = [samples.created(f"b{number}{MARKUP[:90]}", soon(number), AT, **said) for number in range(ROWS)]
    harness.deliver(*bodies, HOSTILE.encode(), b'{"webhookType": "%s", "data": 1}' % MARKUP[:60].encode())
    harness.process_due()
    harness.send_all()
    now = datetime.now(UTC)
    with harness.services.database.transaction() as session:
        rows = Delivery.get_for_update(session, [row.id for row in harness.all(Delivery)])
        sent = session.scalars(select(Notification).order_by(Notification.id)).all()
        for number, row in enumerate([*rows, *sent]):
            row.status, row.ended_at = ("pending", None) if number % 7 == 0 else ("dead", now)
            row.last_error = "x"
            FailedAttempt.record(session, row, now)
            Intervention.record(session, "replayed", row, now, by="x", reason="x")
        for _ in range(ROWS):
            start_run(session, NewRun("replay", "deliveries", "x", "x", [SelectedRow(rows[0].id, "", now)], {}), now)
        session.add(Reconciliation(started_at=now, ended_at=now))
        Endpoint.save(session, AddressSigner([KEY]).fingerprints("default")[0], "7", [], now, DEFAULT)
        session.flush()
        fill_with_hostile_text(session)
        monkeypatch.setitem(EXAMPLES, "delivery_id", rows[1].id)
        monkeypatch.setitem(EXAMPLES, "booking_id", str(rows[1].booking_id))
    (host,) = harness.all(PlatformUser)
    monkeypatch.setitem(EXAMPLES, "external_id", host.external_id)
    return harness


FORMS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("reveal", {"reason": MARKUP}),
    ("compare", {}),
    ("refresh", {"reason": MARKUP}),
    ("dry-run", {"host": HOSTILE}),
    ("find", {"name": HOSTILE}),
    ("erase", {"name": HOSTILE, "reason": MARKUP, "digest": MARKUP}),
    ("prune", {"reason": HOSTILE, "digest": MARKUP}),
    ("hosts/add", {"external_id": MARKUP, "timezone": HOSTILE, "reason": MARKUP}),
    ("hosts/change", {"external_id": HOSTILE, "reason": MARKUP}),
    ("hosts/forget", {"external_id": HOSTILE, "reason": MARKUP}),
    ("start", {"kind": "replay", "all": "1", "status": "dead", "reason": HOSTILE, "digest": MARKUP, "rate": MARKUP}),
    ("start", {"kind": "ignore", "target": "notifications", "all": "1", "reason": MARKUP, "digest": MARKUP}),
    ("send-again/start", {"since": "2h", "reason": HOSTILE, "digest": MARKUP, "rate": MARKUP}),
    ("send-again/start", {"since": MARKUP}),
    ("cancel", {}),
    ("accounts/add", {"name": MARKUP, "company_id": HOSTILE}),
    ("disable", {}),
    ("enable", {}),
    ("preferences", {"language": MARKUP}),
)
"""End of an address -> what is posted there. What succeeds redirects to a page that is looked at anyway."""


def answers(app: Flask) -> Iterator[tuple[str, TestResponse]]:
    """Yield path and answer of every page, of some that need a query string, and of every form."""
    people = client_of(app, "people", MARKUP)
    hostile = dict.fromkeys("account booking guest host error event error_is state tab by kind q map".split(), MARKUP)  # noqa: SIM905 - shorter
    queries = [
        "/deliveries?status=dead",
        "/runs/plan?kind=replay&all=1&status=dead",
        "/runs/plan?kind=ignore&all=1&status=dead",
        "/runs/plan?target=notifications&kind=replay&resend=1&superseded=1&all=1&status=all",
        "/runs/send-again?since=2h",
        "/notifications?status=dead",
        "/errors?of=notifications",
        "/bookings?tab=upcoming",
        *(f"/{name}?{urlencode(hostile)}" for name in ("bookings", "notifications", "hosts", "audit", "deliveries")),
        *(f"/{name}?{urlencode({'since': MARKUP})}" for name in ("bookings", "audit", "deliveries")),
        *(f"/bookings/{quote(MARKUP, safe='')}", f"/hosts/{quote(MARKUP)}", f"/deliveries/{quote(MARKUP, safe='')}"),
        f"/preferences?{urlencode({'back': '/' + MARKUP})}",
    ]
    rules = list(url_rules(app))
    for path in [*(path for _, method, path in rules if method == "GET"), *queries]:
        yield path, people.get(path, buffered=True)
    posted = [path for _, method, path in rules if method == "POST" and "logout" not in path]
    assert all(path.endswith(tuple(end for end, _ in FORMS)) for path in posted), posted
    for path in posted:
        for _, data in (form for form in FORMS if path.endswith(form[0])):
            yield f"POST {path}", people.post(path, data=data)


def pages(app: Flask) -> Iterator[tuple[str, str]]:
    """Yield path and text of every page."""
    for path, response in answers(app):
        assert response.status_code < 500, path
        if response.mimetype == "text/html" and response.status_code != 303:
            yield path, response.text


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_every_page_is_small_and_shows_hostile_text_as_text(hostile_data: Harness, app: Flask) -> None:
    seen = 0
    for path, text in pages(app):
        assert len(text.encode()) < MAX_BYTES, f"{path}: {len(text.encode())} bytes"
        assert "<script>alert" not in text, path
        assert "<img" not in text, path
        assert "1337" not in text, path
        assert "\u202e" not in text, path
        outline = Outline(text)
        assert outline.open == [], path
        assert outline.unlabelled == [], path
        is_whole = "<html" in text  # not the part of `live` that is polled
        assert outline.count("h1") == outline.count("main") == is_whole, path
        assert outline.count("table") == outline.count("caption"), path
        for tag, values in outline.tags:
            assert not any(name.startswith("on") or name == "style" for name in values), (path, tag, values)
            if tag == "script":
                assert str(values["src"]).startswith("/static/"), path
            if tag == "th":
                assert values.get("scope") or values.get("class") == "pick", path
            if tag in ("a", "form", "link", "script", "img"):
                target = str(values.get("href") or values.get("action") or values.get("src") or "/")
                assert target.startswith(("/", "?", "#")), (path, target)
                assert not target.startswith("//"), (path, target)
        seen += 1
    assert seen >= 45
    assert hostile_data.all(PlatformUser)
    assert len(hostile_data.all(Run)) == ROWS


@pytest.mark.parametrize("text", ["id\x1b[2J", "id\x1b[2J\u00e9"])
def test_a_control_character_is_shown_by_its_code(text: str) -> None:
    assert visible(text) == text.replace("\x1b", "\\x1b")
    assert visible("two\nlines\tand a tab") == "two\nlines\tand a tab"


LONGEST = "\U000e0001" * 250
"""Of a character that takes the most bytes, in an address as in a text: ten times as many as others, or more."""


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_every_page_is_small_with_the_longest_ids_and_texts(
    harness: Harness, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"{number:04}{LONGEST}" for number in range(PAGE_SIZE + 1)]
    for each in ids:
        harness.add_user(external_id=each, meetergo_user_id=each, name=LONGEST, email=None)
    meeting = {"id": "t", "meetingInfo": {"name": LONGEST}}
    crowd = [{"id": f"g{number}", "email": f"{number}@example.com", "fullname": LONGEST} for number in range(400)]
    harness.deliver(
        *(samples.created(each, soon(1), AT, hosts=[], hostIds=[each], meetingType=meeting) for each in ids),
        *(samples.created(f"u{each}", soon(1), AT, hosts=[], hostIds=[f"u{each}"[:255]]) for each in ids[:31]),
        samples.created("crowded", soon(1), AT, attendees=crowd),
    )
    harness.process_due()
    now = datetime.now(UTC)
    with harness.services.database.transaction() as session:
        rows = session.scalars(select(Delivery).order_by(Delivery.booking_id)).all()
        sent = session.scalars(select(Notification).order_by(Notification.id)).all()
        for number, row in enumerate([*rows, *sent]):
            row.status, row.ended_at = ("pending", None) if number % 4 == 0 else ("dead", now)
            row.last_error = f"{number}{LONGEST * 10}"
            Intervention.record(session, "replayed", row, now, by=f"{number:04}{LONGEST}", reason=LONGEST * 4)
        for number in range(PAGE_SIZE + 1):
            FailedAttempt.record(session, rows[0], now)
            Intervention.record(session, "replayed", rows[0], now, by=LONGEST, reason=LONGEST * 4)
            rows[0].attempts = number
            start_run(
                session, NewRun("replay", "deliveries", LONGEST, LONGEST * 4, [SelectedRow("x", "", now)], {}), now
            )
        (crowded,) = (row.id for row in rows if row.booking_id == "crowded")
        monkeypatch.setitem(EXAMPLES, "delivery_id", rows[0].id)
        monkeypatch.setitem(EXAMPLES, "booking_id", ids[0])
        monkeypatch.setitem(EXAMPLES, "external_id", ids[0])
    people, query = client_of(app, "people", "A" * 100), "all=1&status=all"
    paths = [
        path
        for _, method, path in url_rules(app)
        if method == "GET" and not path.endswith(("/plan", "/send-again", "/login"))
    ]
    paths += [f"/{name}?status={status}" for name in ("deliveries", "notifications") for status in ("pending", "dead")]
    paths += [f"/bookings?tab={tab}" for tab in ("upcoming", "unhosted")]
    paths += [f"/runs/plan?kind={kind}&{query}" for kind in ("replay", "ignore")]
    paths += ["/runs/send-again?since=2h", "/errors?of=notifications", f"/deliveries/{crowded}", "/bookings/crowded"]
    paths += [f"/runs/plan?target=notifications&kind=replay&superseded=1&{query}", f"/audit?by={quote(ids[0])}"]
    for path in paths:
        response = people.get(path, buffered=True)
        assert response.status_code == 200, path
        assert len(response.data) < MAX_BYTES, f"{path}: {len(response.data)} bytes"
    seen, address = set[str](), "/bookings?tab=upcoming"
    while address:
        page = people.get(address).text
        seen |= {unquote(each) for each in re.findall('href="/bookings/([^"?]*)"', page)}
        following = re.search('rel="next" href="([^"]*)"', page)
        address = unescape(following[1]) if following else ""
    assert len(seen) == len(ids) + 32, "each booking is on one of the pages"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_each_page_leads_to_the_pages_of_what_it_shows(client: Client, sample_data: Harness) -> None:
    reader = client("operate")
    row = next(row for row in sample_data.all(Delivery) if row.booking_id == "b1" and row.status == "done")
    notification = next(each for each in sample_data.all(Notification) if each.delivery_id == row.id)
    booking, sent, delivery = "/bookings/b1", f"/notifications/{notification.id}", f"/deliveries/{row.id}"
    expected = {
        "/deliveries": {delivery, booking},
        delivery: {booking, sent, "/deliveries?booking=b1"},
        "/bookings": {booking, "/hosts/4711"},
        booking: {delivery, sent, "/hosts/4711", "/deliveries?booking=b1", "/notifications?booking=b1"},
        "/notifications": {sent, booking},
        sent: {booking, delivery, "/hosts/4711"},
        "/hosts/4711": {"/bookings?host=4711", "/deliveries?host=4711", "/notifications?host=4711"},
    }
    seen: set[str] = set()
    for path, links in expected.items():
        found = {str(values.get("href")) for tag, values in Outline(reader.get(path).text).tags if tag == "a"}
        assert links <= found, path
        seen |= found
    for address in seen - {"None", "#main"}:
        assert reader.get(address).status_code == 200, address


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_screens_are_in_order(client: Client) -> None:
    page = client("people").get("/preferences").text
    navigation = page.partition('<nav aria-label="Main">')[2].partition("</nav>")[0]
    names = (
        "Home Deliveries Errors Bookings Notifications Hosts Reconcile Runs Live Audit.log Accounts Settings People.*"
    )
    assert re.fullmatch(names.replace(" ", r"\s+"), re.sub(r"<[^>]*>", "", navigation).strip())


def test_our_own_script_is_short() -> None:
    from dashboard.pages import STATIC

    assert sum(len(file.read_text().splitlines()) for file in STATIC.glob("*.js")) <= 150
