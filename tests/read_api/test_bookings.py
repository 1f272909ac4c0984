"""Bookings and hosts: the same JSON as elsewhere, in pages, with an ETag."""

from datetime import timedelta, timezone
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from sqlalchemy import inspect, text, update

from devtools.send import samples
from models.platform_user import PlatformUser
from read_api.schemas import BookingResource
from runtime.database import Database, schema_of
from tests.read_api.conftest import Book
from tests.worker.harness import START, Harness, later

BOOKINGS = "/api/v1/bookings"
IDS = [f"b{number}" for number in range(7)]


def follow(client: FlaskClient, path: str, **query: Any) -> list[list[dict[str, Any]]]:
    """Return all pages."""
    (name,) = {path.rpartition("/")[2]}
    pages, after = [], {}
    while True:
        response = client.get(path, query_string={**query, **after})
        assert response.status_code == 200, response.text
        pages.append(response.get_json()[name])
        if response.get_json()["next"] is None:
            return pages
        after = {"after": response.get_json()["next"]}


def ids_of(pages: list[list[dict[str, Any]]]) -> list[str]:
    return [each["id"] for page in pages for each in page]


def test_a_booking_has_the_columns_of_the_view(client: FlaskClient, database: Database, book: Book) -> None:
    book("b1")
    columns = {each["name"] for each in inspect(database.engine).get_columns("bookings_v1", schema_of(database.engine))}
    shown = client.get(f"{BOOKINGS}/b1").get_json()
    assert set(shown) == columns == BookingResource.__required_keys__
    assert shown["starts_at"] == START.isoformat()


def test_a_booking_is_found_by_whatever_id_it_has(client: FlaskClient, book: Book) -> None:
    ids = ["/", "a//b", "a/b", "a\nb\r\n", "a~b", "a?b#c%2F", "..", "\u202e"]
    book(*ids)
    assert sorted(ids_of(follow(client, BOOKINGS, limit=3))) == sorted(ids)
    assert [client.get(f"{BOOKINGS}/{quote(each, safe='')}").get_json()["id"] for each in ids] == ids
    assert client.get(f"{BOOKINGS}/a%00").status_code == 404


def test_a_plus_in_a_time_need_not_be_percent_encoded(client: FlaskClient, book: Book) -> None:
    book(*IDS)
    until = (START + timedelta(days=1)).astimezone(timezone(timedelta(hours=1))).isoformat()
    assert "+01:00" in until
    assert [each["id"] for each in client.get(f"{BOOKINGS}?until={until}").get_json()["bookings"]] == IDS[:1]


def test_pages_hold_each_booking_once(client: FlaskClient, book: Book) -> None:
    book(*IDS)
    pages = follow(client, BOOKINGS, limit=3)
    assert [len(page) for page in pages] == [3, 3, 1]
    assert ids_of(pages) == IDS
    since, until = START + timedelta(days=1), START + timedelta(days=5)
    assert ids_of(follow(client, BOOKINGS, limit=2, since=since.isoformat(), until=until.isoformat())) == IDS[1:5]


def test_filters(client: FlaskClient, book: Book, harness: Harness) -> None:
    harness.add_user(external_id="4711", meetergo_user_id="host-a")
    book("a1", "a2", host_ids=("host-a",))
    book("b1", "b2")
    harness.process(
        {**samples.cancelled("a2", START + timedelta(days=1), later(5)), "hostIds": ["host-a"], "hosts": []}
    )
    assert ids_of(follow(client, BOOKINGS, host="4711")) == ["a1", "a2"]
    assert ids_of(follow(client, BOOKINGS, host="nobody")) == []
    assert ids_of(follow(client, BOOKINGS, status="cancelled")) == ["a2"]
    assert ids_of(follow(client, BOOKINGS, status="confirmed", host="4711", limit=1)) == ["a1"]
    (page,) = follow(client, BOOKINGS, host="4711", status="confirmed")
    assert page[0]["external_id"] == "4711"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=x",
        "status=dead",
        "status=confirmed&status=cancelled",
        "since=yesterday",
        "after=x",
        "hots=1",
        "host=%00",
    ],
)
def test_a_parameter_that_cannot_be_read_is_refused(client: FlaskClient, query: str) -> None:
    response = client.get(f"{BOOKINGS}?{query}")
    assert (response.status_code, response.content_type) == (400, "application/problem+json")
    assert response.get_json()["detail"].startswith(query.partition("=")[0])


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_etag_changes_with_whatever_is_shown(
    client: FlaskClient, database: Database, book: Book, harness: Harness
) -> None:
    harness.add_user(external_id="4711", meetergo_user_id="host-a")
    book("b/1", host_ids=("host-a",))
    first = client.get(f"{BOOKINGS}/b/1")
    assert first.headers["ETag"].startswith('"1-')
    again = client.get(f"{BOOKINGS}/b/1", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    with database.transaction() as session:
        session.execute(update(PlatformUser).values(external_id="4712"))
    other = client.get(f"{BOOKINGS}/b/1", headers={"If-None-Match": first.headers["ETag"]})
    assert (other.status_code, other.get_json()["external_id"]) == (200, "4712")
    assert client.get(f"{BOOKINGS}/b2").status_code == 404
    assert client.post(f"{BOOKINGS}/b/1").status_code == 405


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_hosts_are_listed_without_their_channels(client: FlaskClient, harness: Harness) -> None:
    for number in range(3):
        harness.add_user(external_id=str(number), channels=["https://user:secret@example.com/hook"])
    pages = follow(client, "/api/v1/hosts", limit=2)
    assert [[host["external_id"] for host in page] for page in pages] == [["0", "1"], ["2"]]
    assert "secret" not in client.get("/api/v1/hosts").text


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_row_that_cannot_be_read_is_a_fault_that_quotes_nothing(
    client: FlaskClient, database: Database, book: Book
) -> None:
    book("b1")
    with database.transaction() as session:
        session.execute(text("UPDATE bookings SET attendees = '{' WHERE id = 'b1'"))
    response = client.get("/api/v1/bookings/b1")
    assert (response.status_code, response.content_type) == (500, "application/problem+json")
    assert response.get_json()["detail"] == "this is a fault of the service: see its log"
