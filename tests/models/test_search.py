"""A search returns exactly the matching rows, newest first."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from devtools.send import samples
from models.delivery import Delivery
from models.search import BookingSearch, RowSearch
from tests.worker.harness import AT, START, Harness, later


def search(harness: Harness, **criteria: Any) -> list[str | None]:
    with harness.services.database.read_only() as session:
        return [row.booking_id or row.last_error for row in session.scalars(RowSearch(**criteria).deliveries())]


@pytest.fixture
def desk_with_rows(harness: Harness) -> Harness:
    harness.add_user(external_id="4711", meetergo_user_id=samples.HOST_ID)
    bodies = [
        samples.created("b1", START, AT),
        samples.cancelled("b1", START, later(1)),
        samples.created("b2", START, AT, hosts=[], hostIds=["somebody-else"], meetingTypeId="another"),
        b"not json",
    ]
    for age, body in zip((4, 3, 2, 1), bodies, strict=True):
        (delivery_id,) = harness.deliver(body)
        with harness.services.database.transaction() as session:
            delivery = session.get_one(Delivery, delivery_id)
            delivery.received_at = delivery.due_at = datetime.now(UTC) - timedelta(hours=age)
    harness.process_due()
    return harness


MATCHING: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["the body is not JSON", "b2", "b1", "b1"]),
    ({"status": "dead"}, ["the body is not JSON"]),
    ({"event": "booking_created"}, ["b2", "b1"]),
    ({"booking_id": "b1"}, ["b1", "b1"]),
    ({"booking_id": "b1", "event": "booking_cancelled"}, ["b1"]),
    ({"platform_user": "4711"}, ["b1", "b1"]),
    ({"platform_user": "nobody"}, []),
    ({"error": "NOT json"}, ["the body is not JSON"]),
    ({"error": "not%json"}, []),
    ({"since": timedelta(hours=2, minutes=30)}, ["the body is not JSON", "b2"]),
    ({"until": timedelta(hours=2, minutes=30)}, ["b1", "b1"]),
]


def test_a_search_returns_the_matching_rows(desk_with_rows: Harness) -> None:
    for criteria, rows in MATCHING:
        ages = {name: datetime.now(UTC) - age for name, age in criteria.items() if isinstance(age, timedelta)}
        assert search(desk_with_rows, **criteria | ages) == rows, criteria


def test_notifications_are_found_by_their_kind(desk_with_rows: Harness) -> None:
    with desk_with_rows.services.database.read_only() as session:
        kinds = [row.kind for row in session.scalars(RowSearch(booking_id="b1").notifications())]
        cancelled = session.scalars(RowSearch(event="cancelled").notifications()).all()
    assert kinds == ["cancelled", "created"]
    assert [row.booking_id for row in cancelled] == ["b1"]


OF_PEOPLE: list[tuple[dict[str, Any], list[str]]] = [
    ({"guest": "JANE@"}, ["b1"]),
    ({"guest": "doe"}, ["b1", "b2"]),
    ({"guest": "Grüße"}, ["b2"]),
    ({"guest": "100%_/"}, ["b3"]),
    ({"guest": "email"}, []),
    ({"guest": "europe/berlin"}, []),
    ({"host": "4711"}, ["b1"]),
    ({"host": "HOST@example.com"}, ["b1"]),
    ({"host": "the ho"}, ["b1"]),
    ({"host": "4711", "guest": "john"}, []),
    ({"guest": "doe", "status": "cancelled"}, []),
]


def test_bookings_are_found_by_guest_and_host(harness: Harness) -> None:
    harness.add_user(external_id="4711", meetergo_user_id=samples.HOST_ID)
    other = {"hosts": [], "hostIds": ["nobody"]}
    guests = [{"email": "jane@example.com", "fullname": "Jane Doe", "timezone": "Europe/Berlin"}]
    harness.process(
        samples.created("b1", START, AT, attendees=guests),
        samples.created(
            "b2", START, AT, attendees=[{"email": "john@example.com", "fullname": "John Doe Grüße"}], **other
        ),
        samples.created("b3", START, AT, attendees=[{"email": "a@example.com", "fullname": "100%_/ sure"}], **other),
    )
    with harness.services.database.read_only() as session:
        for criteria, expected in OF_PEOPLE:
            found = session.scalars(BookingSearch(**criteria).bookings(session)).all()
            assert sorted(row.id for row in found) == expected, criteria


def test_a_part_of_a_hosts_name_is_compared_in_a_deterministic_collation() -> None:
    """Before version 18, PostgreSQL knows no LIKE in others, which a platform's column may have."""
    statement = BookingSearch(host="Jane").bookings(Session()).compile(dialect=postgresql.dialect())
    assert 'lower(meetergo_inbox.platform_users.name) COLLATE "C" LIKE' in str(statement)
