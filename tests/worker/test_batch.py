"""A group: what is handled together ends as if each delivery had been handled alone, on SQLite and on PostgreSQL."""

import itertools
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from sqlalchemy import delete

from devtools.send import mix, samples
from meetergo.events import BookingEvent
from models.attempt import FailedAttempt
from models.booking import Booking, BookingChange
from models.delivery import Delivery
from models.notification import Notification
from models.platform_user import PlatformUser
from runtime.database import Database
from tests.models.test_booking import SEQUENCES
from tests.worker.harness import AT, START, Harness
from worker.inbox import batch, processor
from worker.inbox.context import HandlerContext
from worker.outbox.planner import NotificationPlanner

NOW = datetime(2024, 1, 20, tzinfo=UTC)
COUNT = 120
BAD = "b-bad"
COMPARED = (Booking, BookingChange, Notification)
TIMES = ("created_at", "updated_at", "at", "due_at", "ended_at")
"""When we happened to write it."""


@pytest.fixture
def harness(open_harness: Callable[..., Harness]) -> Harness:
    return open_harness(notify_default="log://")


def process_shuffled(harness: Harness, seed: int) -> dict[str, list[dict[str, Any]]]:
    """Works off a mix in one order, and reads what became of it."""
    bodies = mix.mix("batch", COUNT, NOW, Random(7))
    harness.deliver(*Random(seed).sample(bodies, len(bodies)))
    harness.process_due()
    return {
        rows.__tablename__: [content_of(row) for row in harness.all(rows)]
        for rows in (Booking, BookingChange, Notification)
    }


def content_of(row: Any) -> dict[str, Any]:
    """A row without its number and its times."""
    ours = {"id", "created_at", "updated_at", "at", "due_at", "ended_at"} - (
        {"id"} if isinstance(row, Booking) else set()
    )
    return {each.key: getattr(row, each.key) for each in type(row).__mapper__.column_attrs if each.key not in ours}


@pytest.mark.parametrize("seed", range(3))
def test_together_makes_the_same_rows_as_alone(
    harness: Harness, database: Database, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    harness.add_user(meetergo_user_id=samples.HOST_ID)
    together = process_shuffled(harness, seed)
    _empty(database)
    monkeypatch.setattr(processor, "MAX_GROUP", 1)
    alone = process_shuffled(harness, seed)
    for table in together:
        assert sorted(together[table], key=repr) == sorted(alone[table], key=repr)
    assert len(together["booking_changes"]) > COUNT / 2


def _empty(database: Database) -> None:
    with database.engine.begin() as connection:
        for rows in (*reversed(COMPARED), Delivery):
            connection.execute(delete(rows))


def process_in_every_order(harness: Harness) -> dict[str, list[dict[str, Any]]]:
    """A booking for each order of each story; the first bodies of all of them together, then the second ones."""
    orders = [order for story in SEQUENCES.values() for order in itertools.permutations(story)]
    for step in range(max(map(len, orders))):
        told = [(f"order-{number}", order[step]) for number, order in enumerate(orders) if step < len(order)]
        harness.deliver(*(json.loads(json.dumps(body).replace('"b1"', f'"{name}"')) for name, body in told))
        harness.process_due()
    return {each.__tablename__: [content_of(row) for row in harness.all(each)] for each in (Booking, BookingChange)}


def test_in_every_order_together_knows_what_alone_knows_seen_or_not(
    harness: Harness, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = process_in_every_order(harness)
    _empty(database)
    monkeypatch.setattr(processor, "MAX_GROUP", 1)
    alone = process_in_every_order(harness)
    for table in together:
        assert sorted(together[table], key=repr) == sorted(alone[table], key=repr)


@pytest.fixture(params=["handler", "planner", "database"])
def failure(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something fails for one booking, at one of the places where it can."""
    handler, owed = batch.HANDLERS["booking_created"], NotificationPlanner.rows_for

    def fails(context: HandlerContext, event: BookingEvent) -> Iterator[BookingChange]:
        yield from handler(context, event)
        if event.booking_id == BAD:
            raise RuntimeError("this one")

    def returns_bad_rows(
        self: NotificationPlanner, session: Any, change: BookingChange, resolver: Any
    ) -> Iterator[dict[str, Any]]:
        for row in owed(self, session, change, resolver):
            yield row | ({"key": None} if change.booking_id == BAD else {})

    def breaks(
        self: NotificationPlanner, session: Any, change: BookingChange, resolver: Any
    ) -> Iterator[dict[str, Any]]:
        if change.booking_id == BAD:
            raise RuntimeError("this one")
        return owed(self, session, change, resolver)

    if request.param == "handler":
        monkeypatch.setitem(batch.HANDLERS, "booking_created", fails)
    else:
        monkeypatch.setattr(NotificationPlanner, "rows_for", breaks if request.param == "planner" else returns_bad_rows)


@pytest.mark.usefixtures("failure")
def test_who_fails_in_a_batch_fails_alone_and_leaves_nothing(harness: Harness) -> None:
    names = [f"b{number}" for number in range(10)]
    harness.deliver(*(samples.created(name, START, AT) for name in [*names[:5], BAD, *names[5:]]))
    harness.process_due()
    statuses = {row.booking_id: (row.status, row.attempts) for row in harness.all(Delivery)}
    assert statuses == {**dict.fromkeys(names, ("done", 0)), BAD: ("pending", 1)}
    assert {row.id for row in harness.all(Booking)} == {*names}
    assert {row.booking_id for row in harness.all(BookingChange)} == {*names}
    assert {row.booking_id for row in harness.all(Notification)} == {*names}
    assert len(harness.all(FailedAttempt)) == 1


def test_two_changes_of_one_booking_in_a_batch_tell_each_what_was_true_then(harness: Harness) -> None:
    life = mix._moved("b1", datetime(2024, 1, 15, 8, tzinfo=UTC), NOW)  # their ids are in this order
    harness.deliver(*life)
    harness.process_due()
    told = [
        (row.kind, row.payload["booking"]["starts_at"], row.payload["booking"]["revision"])
        for row in harness.all(Notification)
    ]
    assert [(kind, revision) for kind, _, revision in told] == [("created", 1), ("rescheduled", 2)]
    assert told[0][1] < told[1][1]


def test_the_owner_of_each_booking_of_a_batch_is_its_own_host(harness: Harness) -> None:
    with harness.services.database.transaction() as session:
        session.add_all(
            PlatformUser(external_id=str(number), meetergo_user_id=f"host-{number}", name="The host")
            for number in range(3)
        )
    bodies = [samples.created(f"b{number}", START, AT) | {"hostIds": [f"host-{number}"]} for number in range(4)]
    harness.deliver(*bodies)
    harness.process_due()
    users = {user.id: user.meetergo_user_id for user in harness.all(PlatformUser)}
    owners = {row.id: users.get(row.platform_user_id) for row in harness.all(Booking)}
    assert owners == {"b0": "host-0", "b1": "host-1", "b2": "host-2", "b3": None}
