"""Home: what needs a person and where the button leads, the state of both stores, and four charts."""

import ast
import inspect
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from redis import Redis
from sqlalchemy import insert

from dashboard.cards import CARDS, INCIDENTS, card_of
from dashboard.svg import HEIGHT, sparkline
from devtools.send import samples
from models.account import DEFAULT
from models.delivery import Delivery
from models.endpoint import Endpoint
from models.incident import KINDS, Incident
from models.reconciliation import Reconciliation
from operations import checks
from operations.checks import Finding
from operations.overview import charts
from runtime.database import Database
from runtime.queue import JobQueue
from runtime.redis import heartbeat
from runtime.signed_address import AddressSigner
from tests.dashboard.conftest import KEY, Client, OpenApp, client_of
from tests.worker.harness import AT, START, Harness
from tests.worker.observed_incidents import OBSERVED

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def test_what_needs_a_person_comes_with_a_button_that_leads_there(client: Client, sample_data: Harness) -> None:
    reader = client("read")
    page = reader.get("/").text
    heading = re.search(r"<h1>(\d+) things need attention</h1>", page)
    assert heading
    assert page.count('class="card need') == int(heading[1])
    assert "1 delivery is dead" in page
    assert "No worker runs for: inbox, outbox" in page
    assert "The scheduler is not running" in page
    for address in re.findall(r'<a class="button[^"]*" href="([^"]+)"', page):
        assert reader.get(address).status_code == 200
    assert '<a class="button main" href="/errors">See the errors</a>' in page
    assert 'href="/deliveries?status=dead"' in page


def test_each_check_has_its_own_words_in_both_languages() -> None:
    tree = ast.parse(inspect.getsource(checks))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding"]
    kinds = [call.args[2].value for call in calls if isinstance(call.args[2], ast.Constant)]
    kinds += [kind for kind, _command in checks.OBSERVED.values()]
    assert len(kinds) >= 15
    assert set(kinds) == set(CARDS)


def test_each_incident_has_a_name_in_both_languages() -> None:
    assert set(INCIDENTS) == set(KINDS)


def test_both_stores_the_queues_and_the_schedule_are_shown(
    client: Client, harness: Harness, redis: Redis, database: Database
) -> None:
    harness.deliver(samples.created("b1", START, AT))
    for task in heartbeat.TASKS:
        heartbeat.record(redis, task, datetime.now(UTC) + timedelta(minutes=5), timedelta(minutes=9))
    fingerprint = AddressSigner([KEY]).fingerprints("default")[0]
    with database.transaction() as session:
        now = datetime.now(UTC)
        Endpoint.save(session, fingerprint, "7", ["booking_created"], now, DEFAULT)
        session.add(Reconciliation(started_at=now, ended_at=now, hosts=2, appointments=312, missed=1))
    page = client("read").get("/").text
    assert page.count(">answers<") == 2
    assert "sweep in 4 min" in page
    assert ">registered<" in page
    assert "no delivery lately" in page
    assert "312 read" in page
    assert "<b>1 differed</b>" in page
    assert '<a href="/deliveries?status=pending">1</a>' in page


def test_the_charts_numbers_are_a_table_too(client: Client, sample_data: Harness) -> None:
    page = client("read").get("/").text
    assert page.count("<svg ") == 4
    assert page.count('role="img"') == 4
    assert "style=" not in page
    table = page.partition("The numbers as a table")[2].partition("</table>")[0]
    cells = [int(each) for each in re.findall(r'</time></td><td class="r">(\d+)</td>', table)]
    assert len(cells) == 48
    assert sum(cells) == len(sample_data.all(Delivery))


def test_the_window_shrinks_until_it_holds_few_enough(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "MAX_COUNTED", 5)
    now = datetime.now(UTC)
    ages = [*range(0, 50, 10), *range(100, 1000, 100)]
    row = dict(account="a", source="webhook", body=b"x", status="done", attempts=0)
    with harness.services.database.transaction() as session:
        for number, age in enumerate(ages):
            at = now - timedelta(minutes=age)
            times = dict(received_at=at - timedelta(milliseconds=40), due_at=at, ended_at=at)
            session.execute(insert(Delivery).values(id=f"{number:064x}", **row, **times))
    with harness.services.database.read_only() as session:
        found = charts.load_charts(session, now)
    assert found.window.length == timedelta(hours=1)
    assert (found.received.total, found.received.is_complete) == (5, False)
    assert found.durations.median == timedelta(milliseconds=40)
    assert found.processed.total == 5
    monkeypatch.setattr(charts, "MAX_COUNTED", 500)
    with harness.services.database.read_only() as session:
        found = charts.load_charts(session, now)
    assert found.window.length == timedelta(hours=24)
    assert (found.received.total, found.received.is_complete) == (len(ages), True)


def test_a_line_stays_within_its_box() -> None:
    for numbers in ([], [0], [0, 0], [1, 2, 3], [5] * 60):
        drawing = sparkline(numbers)
        assert all(0 <= float(y) <= HEIGHT for y in re.findall(r",(\d+)", drawing.line))
        assert bool(drawing.line) == bool(numbers)


@ON_SQLITE
def test_home_says_which_store_is_down(open_app: OpenApp, harness: Harness) -> None:
    page = client_of(open_app(redis_url="redis://127.0.0.1:1/0"), "read").get("/")
    assert page.status_code == 200
    assert "Redis does not answer" in page.text
    app: Flask = open_app(database_url="postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    page = client_of(app, "read").get("/")
    assert page.status_code == 200
    assert "the database does not answer" in page.text
    assert "<svg" not in page.text


@ON_SQLITE
def test_home_says_that_redis_is_full(client: Client, redis: Redis) -> None:
    get = client("read").get
    redis.config_set("maxmemory", 1)
    try:
        page = get("/").text
    finally:
        redis.config_set("maxmemory", 0)
    assert "Redis cannot be written: OOM" in page
    assert "reads, does not write" in page


@ON_SQLITE
def test_webhooks_that_are_only_in_redis_are_counted(client: Client, harness: Harness, redis: Redis) -> None:
    JobQueue(redis).enqueue_store(("0" * 64, "default", "e30=", "", datetime.now(UTC).isoformat()))
    page = client("read").get("/").text
    assert "1 webhook is only in Redis" in page
    assert "Do not restart or empty Redis" in page


@ON_SQLITE
def test_what_is_broken_comes_before_what_is_late(client: Client, harness: Harness, redis: Redis) -> None:
    JobQueue(redis).enqueue_store(("0" * 64, "default", "e30=", "", datetime.now(UTC).isoformat()))
    page = client("read").get("/").text
    cards = [bool(late) for late in re.findall(r'<div class="card need( wait)?"', page)]
    assert set(cards) == {False, True}
    assert cards == sorted(cards)


@ON_SQLITE
@pytest.mark.parametrize(("days", "words"), [(6, "ends in 6 days"), (0, "ends today"), (-1, "has ended"), (90, "")])
def test_the_keys_days_left_are_counted(open_app: OpenApp, harness: Harness, days: int, words: str) -> None:
    last = (datetime.now(UTC) + timedelta(days=days)).date()
    page = client_of(open_app(meetergo_api_key_expires=last.isoformat()), "read").get("/").text
    assert (f"API key of meetergo {words}" in page) == bool(words)


@ON_SQLITE
def test_what_the_scheduler_has_noticed_has_a_card_in_both_languages(client: Client, harness: Harness) -> None:
    with harness.services.database.transaction() as session:
        for kind, details in OBSERVED.items():
            Incident.record_state(session, DEFAULT, kind, True, [], datetime.now(UTC), details)
    reader = client("read")
    page, german = (reader.get("/", headers={"Accept-Language": language}).text for language in ("en", "de"))
    for sentence in (
        "The webhook at meetergo posts to another address, at other.example",
        "2 bookings known only from reconcile, not from a webhook",
        "which is unusual",
        "meetergo refuses the API key: it has expired",
        "The certificate of inbox.example ends in 3 days",
        "1 host of meetergo is not a platform user",
        "2 bookings wait for an owner.",
    ):
        assert sentence in page
        assert sentence not in german


@ON_SQLITE
def test_home_speaks_german(client: Client, sample_data: Harness) -> None:
    page = client("read").get("/", headers={"Accept-Language": "de"}).text
    assert "Sachen erfordern Aufmerksamkeit" in page
    assert "Kein Worker läuft für" in page
    assert "need" not in re.sub(r'class="[^"]*"', "", page)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("kind", "values", "says"),
    [
        ("orphaned", {"number": 2, "queue": "old-inbox"}, "2 webhooks are in the queue old-inbox"),
        ("worker_died", {"number": 1, "queue": "inbox"}, "A worker of the inbox died 1 time"),
        ("registration", {"reason": "events", "events": ["booking_created"]}, "does not send: booking_created"),
        ("registration", {"reason": "gone"}, "meetergo has no webhook for our address any more"),
        ("registration", {"reason": "elsewhere", "host": "x.example"}, "another address, at x.example"),
        ("certificate", {"host": "x.example", "reason": "it is self-signed"}, "of x.example is not valid"),
        ("certificate", {"host": "x.example", "days": 0}, "of x.example ends today"),
        ("certificate", {"host": "x.example", "days": 5}, "of x.example ends in 5 days"),
        ("key", {"days": -1}, "has ended"),
        ("key", {"days": 0}, "ends today"),
        ("one that has no card", {}, "its own sentence"),
    ],
)
def test_what_needs_a_person_is_a_card(app: Flask, kind: str, values: dict[str, Any], says: str) -> None:
    with app.test_request_context():
        assert says in card_of(Finding("its own sentence", kind=kind, values=values), {}).what
