"""A search finds what it describes, newest first, and nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devtools.send import samples
from models.delivery import Delivery
from models.search import RowSearch
from tests.worker.desk import AT, START, Desk, later


def found(desk: Desk, **wanted: Any) -> list[str | None]:
    with desk.office.database.reading() as session:
        return [row.booking_id or row.last_error for row in session.scalars(RowSearch(**wanted).deliveries())]


@pytest.fixture
def busy(desk: Desk) -> Desk:
    desk.add_user(external_id="4711", meetergo_user_id=samples.HOST_ID)
    bodies = [
        samples.created("b1", START, AT),
        samples.cancelled("b1", START, later(1)),
        samples.created("b2", START, AT, hosts=[], hostIds=["somebody-else"], meetingTypeId="another"),
        b"not json",
    ]
    for age, body in zip((4, 3, 2, 1), bodies, strict=True):
        (delivery_id,) = desk.deliver(body)
        with desk.office.database.transaction() as session:
            delivery = session.get_one(Delivery, delivery_id)
            delivery.received_at = delivery.due_at = datetime.now(UTC) - timedelta(hours=age)
    desk.work_off()
    return desk


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [
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
    ],
)
def test_a_search_finds_what_it_describes(busy: Desk, wanted: dict[str, Any], rows: list[str]) -> None:
    ages = {name: datetime.now(UTC) - age for name, age in wanted.items() if isinstance(age, timedelta)}
    assert found(busy, **wanted | ages) == rows


def test_notifications_are_found_by_their_news(busy: Desk) -> None:
    with busy.office.database.reading() as session:
        kinds = [row.kind for row in session.scalars(RowSearch(booking_id="b1").notifications())]
        cancelled = session.scalars(RowSearch(event="cancelled").notifications()).all()
    assert kinds == ["cancelled", "created"]
    assert [row.booking_id for row in cancelled] == ["b1"]
