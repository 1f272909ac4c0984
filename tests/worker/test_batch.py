"""A group: what is handled together ends as if each delivery had been handled alone, on SQLite and on PostgreSQL."""

import gc
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from devtools.send import mix, samples
from meetergo.events import BookingEvent
from meetergo_inbox import BookingSnapshot, ChangeSnapshot
from models.attempt import FailedAttempt
from models.booking import Booking, BookingChange
from models.delivery import Delivery
from models.notification import Notification
from models.platform_user import PlatformUser
from runtime.database import Database
from tests.models.test_booking import SEQUENCES
from tests.worker.harness import AT, START, Harness
from worker import hook
from worker.inbox import batch, processor
from worker.inbox.handlers import HandlerContext
from worker.inbox.processor import BATCH
from worker.outbox.planner import NotificationPlanner
from worker.pool import GC_THRESHOLD

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


def test_many_notifications_are_written_in_parts_and_are_the_same(
    harness: Harness, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.add_user(meetergo_user_id=samples.HOST_ID)
    together = process_shuffled(harness, seed=0)
    _empty(database)
    monkeypatch.setattr(batch, "MAX_NOTIFICATIONS", 3)
    insert, sizes = Notification.insert_new, list[int]()

    def count(session: Session, rows: Sequence[dict[str, Any]]) -> int:
        sizes.append(len(rows))
        return insert(session, rows)

    monkeypatch.setattr(Notification, "insert_new", count)
    in_parts = process_shuffled(harness, seed=0)
    assert max(sizes) == 3
    for table in together:
        assert sorted(together[table], key=repr) == sorted(in_parts[table], key=repr)


def _empty(database: Database) -> None:
    with database.engine.begin() as connection:
        for rows in (*reversed(COMPARED), Delivery):
            connection.execute(delete(rows))


def process_in_every_order(harness: Harness) -> dict[str, list[dict[str, Any]]]:
    """A booking for each order of each story; the first bodies of all of them together, then the second ones."""
    orders = [order for story in SEQUENCES.values() for order in itertools.permutations(story)]
    for step in range(max(map(len, orders))):
        sent = [(f"order-{number}", order[step]) for number, order in enumerate(orders) if step < len(order)]
        harness.deliver(*(json.loads(json.dumps(body).replace('"b1"', f'"{name}"')) for name, body in sent))
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
    handler, rows_for = batch.HANDLERS["booking_created"], NotificationPlanner.rows_for

    def fails(context: HandlerContext, event: BookingEvent) -> Iterator[BookingChange]:
        yield from handler(context, event)
        if event.booking_id == BAD:
            raise RuntimeError("this one")

    def returns_bad_rows(
        self: NotificationPlanner, session: Any, change: BookingChange, *others: Any
    ) -> Iterator[dict[str, Any]]:
        for row in rows_for(self, session, change, *others):
            yield row | ({"key": None} if change.booking_id == BAD else {})

    def breaks(
        self: NotificationPlanner, session: Any, change: BookingChange, *others: Any
    ) -> Iterator[dict[str, Any]]:
        if change.booking_id == BAD:
            raise RuntimeError("this one")
        return rows_for(self, session, change, *others)

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
    sent = [
        (row.kind, row.payload["booking"]["starts_at"], row.payload["booking"]["revision"])
        for row in harness.all(Notification)
    ]
    assert [(kind, revision) for kind, _, revision in sent] == [("created", 1), ("rescheduled", 2)]
    assert sent[0][1] < sent[1][1]


def test_no_garbage_is_collected_within_a_batch(harness: Harness) -> None:
    """A collection looks through all that the batch has loaded and made, and finds next to nothing."""
    bodies = mix.mix("batch", BATCH, NOW, Random(7))
    harness.process(*bodies[:20])  # what is built and cached only once
    harness.deliver(*bodies[20:])
    gc.collect()
    before, threshold = gc.get_stats()[0]["collections"], gc.get_threshold()
    gc.set_threshold(GC_THRESHOLD)
    try:
        harness.services.inbox.process_due()
    finally:
        gc.set_threshold(*threshold)
    assert gc.get_stats()[0]["collections"] == before
    assert any(delivery.status == "done" for delivery in harness.all(Delivery)[20:])


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


CALLED: list[str] = []
FAILING: set[str] = set()


def note_call(session: Session, booking: BookingSnapshot, change: ChangeSnapshot) -> None:
    """Check that the change and the booking are written, and that the session shows what is written."""
    CALLED.append(booking.id)
    newest = select(BookingChange.revision).where(BookingChange.booking_id == booking.id)
    written = session.scalar(newest.order_by(BookingChange.revision.desc()).limit(1))
    assert written == booking.revision == change.revision
    assert session.scalar(select(Booking.status).where(Booking.id == booking.id)) == booking.status
    assert session.get_one(Booking, booking.id).revision == booking.revision
    if booking.id in FAILING:
        raise RuntimeError("this one")


@pytest.fixture
def hooked(open_harness: Callable[..., Harness]) -> Harness:
    CALLED.clear()
    FAILING.clear()
    return open_harness(notify_default="log://", platform_hook=f"{__name__}:note_call")


def test_a_hook_is_called_once_for_each_change_and_sees_it_written(hooked: Harness) -> None:
    hooked.deliver(*mix._moved("b1", datetime(2024, 1, 15, 8, tzinfo=UTC), NOW))
    hooked.deliver(samples.created("b2", START, AT))
    hooked.process_due()
    assert sorted(CALLED) == ["b1", "b1", "b2"]
    assert sorted((row.booking_id, row.revision) for row in hooked.changes()) == [("b1", 1), ("b1", 2), ("b2", 1)]
    assert sorted(row.payload["booking"]["revision"] for row in hooked.all(Notification)) == [1, 1, 2]


def test_with_a_hook_the_rows_are_the_same_as_without(
    harness: Harness, database: Database, open_harness: Callable[..., Harness]
) -> None:
    harness.add_user(meetergo_user_id=samples.HOST_ID)
    without = process_shuffled(harness, 1)
    _empty(database)
    hooked = open_harness(notify_default="log://", platform_hook=f"{__name__}:note_call")
    rows = process_shuffled(hooked, 1)
    for table in without:
        assert sorted(rows[table], key=repr) == sorted(without[table], key=repr)


def test_with_a_hook_a_bookings_notifications_are_in_order_however_many_a_batch_makes(
    hooked: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooked.add_user(meetergo_user_id="host-1")
    hooked.add_user(external_id="2", meetergo_user_id="host-2", channels=["log:"])
    monkeypatch.setattr(batch, "MAX_NOTIFICATIONS", 2)
    created = samples.created("b1", START, AT) | {"hostIds": ["host-1"]}
    moved = samples.rescheduled("b1", START + timedelta(hours=1), AT + timedelta(minutes=1), START)
    moved["data"]["rescheduledAppointment"]["hostIds"] = ["host-1", "host-2"]
    hooked.deliver(created)
    hooked.deliver(moved)
    hooked.process_due()
    assert [row.payload["booking"]["revision"] for row in hooked.all(Notification)] == [1, 2, 2]


def test_hooks_that_fail_in_a_batch_leave_nothing_and_no_other_hook_keeps_what_it_saw_of_them(
    hooked: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "MAX_BATCH_TIME", timedelta(hours=1))
    monkeypatch.setattr(batch, "MAX_CHUNK_TIME", timedelta(hours=1))
    hooked.add_user(meetergo_user_id=samples.HOST_ID)
    FAILING.update(["b3", "b5"])
    seen: dict[str, set[str]] = {}

    def note_all(session: Session, booking: BookingSnapshot, change: ChangeSnapshot) -> None:
        seen[booking.id] = {*session.scalars(select(BookingChange.booking_id))}
        note_call(session, booking, change)

    hooked.services.recorder.__dict__["hook"] = hook._wrapped(note_all)
    hooked.deliver(*(samples.created(f"b{number}", START, AT) for number in range(9)))
    hooked.process_due()
    good = {f"b{number}" for number in range(9)} - FAILING
    for rows in (Booking, BookingChange, Notification):
        assert {getattr(row, "booking_id", row.id) for row in hooked.all(rows)} == good
    pending = {row.booking_id: row.attempts for row in hooked.all(Delivery) if row.status == "pending"}
    assert pending == dict.fromkeys(FAILING, 1)
    assert all(seen[booking] <= good for booking in good)
    assert max(map(CALLED.count, CALLED)) == 2


def test_a_chunk_for_whose_hooks_there_is_no_time_is_left_for_the_next_batch(
    hooked: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooked.add_user(meetergo_user_id=samples.HOST_ID)
    elapsed = [0.0]
    monkeypatch.setattr("worker.inbox.processor.time.monotonic", lambda: elapsed[0])

    def become_slow(session: Session, booking: BookingSnapshot, change: ChangeSnapshot) -> None:
        note_call(session, booking, change)
        elapsed[0] += processor.MAX_BATCH_TIME.total_seconds() * 2 * (len(CALLED) > 4)

    hooked.services.recorder.__dict__["hook"] = become_slow
    hooked.deliver(*(samples.created(f"b{number}", START, AT) for number in range(9)))
    hooked.services.inbox.process_due()
    assert [row.id for row in hooked.all(Booking)] == ["b0", "b1", "b2"]
    assert {row.booking_id for row in hooked.all(Notification)} == {"b0", "b1", "b2"}
    hooked.process_due()
    assert {row.status for row in hooked.all(Delivery)} == {"done"}
    assert len(hooked.changes()) == 9


def test_a_steady_hook_is_called_once_for_each_change_however_slow(
    hooked: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooked.add_user(meetergo_user_id=samples.HOST_ID)
    elapsed, parsed, parse = [0.0], list[str](), processor.InboxProcessor.parse
    monkeypatch.setattr("worker.inbox.processor.time.monotonic", lambda: elapsed[0])
    monkeypatch.setattr(processor.InboxProcessor, "parse", lambda self, row: parsed.append(row.id) or parse(self, row))

    def take_time(_session: Session, booking: BookingSnapshot, _change: ChangeSnapshot) -> None:
        CALLED.append(booking.id)
        elapsed[0] += processor.MAX_BATCH_TIME.total_seconds() / 25

    hooked.services.recorder.__dict__["hook"] = take_time
    hooked.deliver(*(samples.created(f"b{number}", START, AT) for number in range(COUNT)))
    hooked.process_due()
    assert {row.status for row in hooked.all(Delivery)} == {"done"}
    assert len(CALLED) == COUNT
    assert len(parsed) < 2 * COUNT  # of the first batch, most were parsed in vain


def test_a_booking_whose_second_hook_fails_keeps_its_first_change_and_takes_the_third(hooked: Harness) -> None:
    def fail_on_second(_session: Session, booking: Booking, change: BookingChange) -> None:
        if change.revision == 2 and change.kind == "rescheduled":
            raise RuntimeError("this one")

    hooked.services.recorder.__dict__["hook"] = fail_on_second
    life = mix._moved("b1", datetime(2024, 1, 15, 8, tzinfo=UTC), NOW)
    hooked.deliver(*life, samples.cancelled("b1", START, NOW))
    hooked.process_due()
    assert [(row.revision, row.kind) for row in hooked.changes()] == [(1, "created"), (2, "cancelled")]
    assert hooked.booking().status == "cancelled"
    assert hooked.notification_kinds() == ["created", "cancelled"]


def test_no_row_is_left_of_a_booking_that_a_batch_had_no_time_for(
    hooked: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    elapsed = [0.0]
    monkeypatch.setattr("worker.inbox.processor.time.monotonic", lambda: elapsed[0])

    def take_time(_session: Session, _booking: Booking, _change: BookingChange) -> None:
        elapsed[0] += processor.MAX_BATCH_TIME.total_seconds() * 2

    hooked.services.recorder.__dict__["hook"] = take_time
    hooked.deliver(*(samples.created(f"b{number}", START, AT) for number in range(3)))
    hooked.services.inbox.process_due()
    assert [row.id for row in hooked.all(Booking)] == ["b0"]
    assert [row.status for row in hooked.all(Delivery)].count("pending") == 2
    hooked.process_due()
    assert len(hooked.all(Booking)) == 3


def test_a_booking_that_replaces_another_of_its_batch_ends_it_at_the_first_try(
    harness: Harness, capfd: pytest.CaptureFixture[str]
) -> None:
    moved = samples.rescheduled("b2", START + timedelta(hours=1), AT + timedelta(minutes=1), START)
    moved["data"]["id"] = "b1"
    harness.deliver(samples.created("b1", START, AT), moved)
    harness.process_due()
    assert [(row.booking_id, row.revision) for row in harness.changes()] == [("b1", 1), ("b1", 2), ("b2", 1)]
    assert harness.booking("b1").cancel_reason == "moved to b2"
    assert "batch.split" not in "".join(capfd.readouterr())


def test_an_employee_and_the_bookings_of_the_batch_are_linked(harness: Harness, hooked: Harness) -> None:
    for each in (harness, hooked):
        user = each.add_user(external_id=str(id(each)), email=f"{id(each)}@example.com")
        body = samples.created(f"b{user.id}", START, AT) | {"hostIds": [f"host-{user.id}"]}
        employee = {"webhookType": "new_employee", "id": f"host-{user.id}", "email": user.email}
        each.deliver(body, employee, samples.created(f"c{user.id}", START, AT))
        each.process_due()
        assert each.booking(f"b{user.id}").platform_user_id == user.id
    assert {row.status for row in harness.all(Delivery)} == {"done"}


def test_a_user_whom_a_hook_inserts_hosts_the_next_booking_of_the_batch(hooked: Harness) -> None:
    def add_host(session: Session, booking: Booking, _change: BookingChange) -> None:
        if not booking.platform_user_id:
            session.add(PlatformUser(external_id="1", meetergo_user_id=samples.HOST_ID, name="The host"))

    hooked.services.recorder.__dict__["hook"] = hook._wrapped(add_host)
    hooked.deliver(samples.created("b1", START, AT), samples.created("b2", START, AT))
    hooked.process_due()
    (user,) = hooked.all(PlatformUser)
    assert hooked.booking("b2").platform_user_id == user.id


def test_a_user_whose_insertion_was_undone_with_its_chunk_hosts_nothing(hooked: Harness) -> None:
    hooked.add_user(meetergo_user_id=samples.HOST_ID)

    def add_host_then_fail(session: Session, booking: BookingSnapshot, _change: ChangeSnapshot) -> None:
        if booking.id == "b2":
            session.add(PlatformUser(external_id="new", meetergo_user_id="0-new", name="The new host"))
        if booking.id == "b3":
            raise RuntimeError("this one")

    hooked.services.recorder.__dict__["hook"] = hook._wrapped(add_host_then_fail)
    hosts = {"b2": ["0-new", samples.HOST_ID], "b4": ["0-new"]}
    hooked.deliver(
        *(
            samples.created(f"b{number}", START, AT) | {"hostIds": hosts.get(f"b{number}", [samples.HOST_ID])}
            for number in range(1, 5)
        )
    )
    hooked.process_due()
    assert {row.booking_id: row.attempts for row in hooked.all(Delivery)} == {"b1": 0, "b2": 0, "b3": 1, "b4": 0}
    users = {user.id: user.meetergo_user_id for user in hooked.all(PlatformUser)}
    assert {row.id: users.get(row.platform_user_id) for row in hooked.all(Booking)} == {
        "b1": samples.HOST_ID,
        "b2": samples.HOST_ID,
        "b4": "0-new",
    }
