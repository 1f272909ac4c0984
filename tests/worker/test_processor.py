"""From accepted bytes to changed bookings, on SQLite and on PostgreSQL."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.orm import Session

from devtools.send import samples
from meetergo.events import BookingEvent, Event
from models.attempt import FailedAttempt
from models.booking import Booking, BookingChange
from models.claim import Claim
from models.delivery import Delivery, NewDelivery
from models.incident import Incident
from models.migrate import migrate
from models.notification import Notification
from models.platform_user import PlatformUser
from models.retryable import MAX_ATTEMPTS
from runtime.database import Database
from runtime.errors import Failure, Permanent
from runtime.write_probe import probe_write
from tests.another_database import another_database
from tests.console.cli import ON_SQLITE
from tests.raw_sql import sql
from tests.worker.harness import AT, START, Harness, later
from worker.drain_result import DrainResult
from worker.inbox.handlers import HANDLERS, HandlerContext
from worker.inbox.processor import MAX_BATCH_TIME, MAX_ROWS, InboxProcessor
from worker.maintenance.sweeper import sweep

CREATED = samples.created("b1", START, AT)
MOVED = samples.rescheduled("b1", START + timedelta(hours=1), later(1), START)
CANCELLED = samples.cancelled("b1", START, later(2))


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_no_row_is_blamed_for_a_claim_that_cannot_be_recorded(harness: Harness, database_url: str) -> None:
    """There is no connection for it, as when the server has reached its `max_connections`."""
    harness.deliver(samples.created("b1", START, AT))
    database = Database(database_url, pool_size=1)
    with pytest.raises(NoConnectionFree):
        replace(harness.services.inbox, database=database).process_due()
    database.close()
    (row,) = harness.all(Delivery)
    assert (row.attempts, row.is_isolated) == (0, False)


def test_a_created_booking_becomes_a_row_with_its_host_and_a_notification(harness: Harness) -> None:
    user = harness.add_user(meetergo_user_id=samples.HOST_ID)
    harness.process(CREATED)
    booking = harness.booking()
    assert (booking.status, booking.starts_at, booking.platform_user_id) == ("confirmed", START, user.id)
    assert booking.meeting_name == "Discovery Call"
    assert booking.meeting_link == "https://zoom.example/j/123456789"
    assert booking.attendees == [samples.guest(1)]
    assert booking.as_of == AT
    assert harness.notification_kinds() == ["created"]
    assert [delivery.status for delivery in harness.all(Delivery)] == ["done"]


def test_what_is_known_of_a_change_is_what_caused_it_and_what_it_was_before(harness: Harness) -> None:
    ids = harness.deliver(CREATED) + harness.deliver(MOVED)
    harness.process_due()
    changes = {change.delivery_id: change for change in harness.changes()}
    assert changes[ids[0]].before is None
    moved = changes[ids[1]]
    assert moved.kind == "rescheduled"
    assert moved.before is not None
    assert moved.before["starts_at"] == START.isoformat()
    assert moved.after["starts_at"] == (START + timedelta(hours=1)).isoformat()


def test_a_cancel_before_its_create_makes_the_row_and_the_late_create_notifies_nobody(harness: Harness) -> None:
    harness.process(CANCELLED, CREATED)
    assert harness.booking().status == "cancelled"
    assert harness.notification_kinds() == ["cancelled"]


def test_the_secret_of_the_provider_stands_in_no_column_but_the_body(harness: Harness) -> None:
    harness.add_user(meetergo_user_id=samples.HOST_ID)
    harness.process(
        {**CREATED, "secret": "s3cr3t-marker"}, {**MOVED, "data": {**MOVED["data"], "secret": "s3cr3t-marker"}}
    )
    rows = [*harness.all(Booking), *harness.all(BookingChange), *harness.all(Notification)]
    columns = [getattr(row, column.key) for row in rows for column in type(row).__mapper__.column_attrs]
    assert len(rows) >= 4
    assert "s3cr3t-marker" not in repr(columns)


def test_a_host_whom_nobody_knows_is_no_error(harness: Harness) -> None:
    harness.process(CREATED)
    assert harness.booking().platform_user_id is None
    assert harness.notification_kinds() == ["created"]


def test_a_meeting_type_finds_its_only_owner(harness: Harness) -> None:
    user = harness.add_user(meetergo_meeting_type_id="sample-type")
    harness.process(CREATED)
    assert harness.booking().platform_user_id == user.id


def test_a_booking_without_a_meeting_type_is_not_the_only_users_who_has_none_either(harness: Harness) -> None:
    harness.add_user()
    harness.process({**CREATED, "meetingTypeId": None, "meetingType": None})
    assert harness.booking().platform_user_id is None


def test_a_new_employee_links_the_one_user_who_waits_and_the_bookings_that_wait(harness: Harness) -> None:
    user = harness.add_user(email="Host@Example.com")
    harness.process(CREATED, {"webhookType": "new_employee", "id": samples.HOST_ID, "email": "host@example.com"})
    assert harness.booking().platform_user_id == user.id
    assert harness.all(PlatformUser)[0].meetergo_user_id == samples.HOST_ID
    assert [change.kind for change in harness.changes()] == ["created", "linked"]


def test_a_new_employee_links_nobody_when_two_wait_with_that_address(harness: Harness) -> None:
    harness.add_user(external_id="1")
    harness.add_user(external_id="2")
    harness.process({"event": "new_employee", "data": {"id": samples.HOST_ID, "email": "host@example.com"}})
    assert [user.meetergo_user_id for user in harness.all(PlatformUser)] == [None, None]
    assert [delivery.status for delivery in harness.all(Delivery)] == ["done"]


def test_an_event_that_nobody_handles_is_kept_as_done_with_a_note(harness: Harness) -> None:
    harness.process({"webhookType": "review_published", "id": "r1"})
    delivery = harness.all(Delivery)[0]
    assert (delivery.status, delivery.event, delivery.note) == ("done", "review_published", "nobody handles this event")


def test_an_unreadable_body_dies_at_once_and_says_why(harness: Harness) -> None:
    harness.process(b"not json", CREATED)
    dead = next(row for row in harness.all(Delivery) if row.status == "dead")
    assert (dead.body, dead.attempts, dead.last_error) == (b"not json", 1, "the body is not JSON")
    assert harness.booking().status == "confirmed"


@pytest.mark.parametrize(("company", "status"), [("sample-company", "done"), ("another", "dead")])
def test_events_of_another_company_are_not_taken(
    open_harness: Callable[..., Harness], company: str, status: str
) -> None:
    harness = open_harness(meetergo_company_id="sample-company")
    harness.process({**CREATED, "companyId": company})
    assert [delivery.status for delivery in harness.all(Delivery)] == [status]
    assert len(harness.all(Booking)) == (status == "done")


def note_booking(session: Session, booking: Booking, change: BookingChange) -> None:
    """The platform's own table, here an unused column of its user."""
    session.get_one(PlatformUser, 1).booking_url = f"{booking.id} {change.kind}"


def refuse(session: Session, booking: Booking, change: BookingChange) -> None:
    session.get_one(PlatformUser, 1).booking_url = "half done"
    session.flush()
    raise KeyError("guest-1@example.com")


def forbid(session: Session, booking: Booking, change: BookingChange) -> None:
    raise Permanent("not on this platform")


def test_the_platforms_hook_writes_in_the_same_transaction(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness(platform_hook=f"{__name__}:note_booking")
    harness.add_user()
    harness.process(CREATED)
    assert harness.all(PlatformUser)[0].booking_url == "b1 created"


def test_a_hook_that_fails_takes_everything_back_and_the_delivery_is_tried_again(
    open_harness: Callable[..., Harness],
) -> None:
    harness = open_harness(platform_hook=f"{__name__}:refuse")
    harness.add_user()
    harness.process(CREATED)
    delivery = harness.all(Delivery)[0]
    assert (delivery.status, delivery.attempts, delivery.booking_id) == ("pending", 1, "b1")
    assert (harness.all(Booking), harness.notification_kinds()) == ([], [])
    assert harness.all(PlatformUser)[0].booking_url is None


def test_a_hook_may_say_that_trying_again_cannot_help(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness(platform_hook=f"{__name__}:forbid")
    harness.process(CREATED)
    assert [(row.status, row.last_error) for row in harness.all(Delivery)] == [("dead", "not on this platform")]


def leave(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        raise SystemExit("guest-1@example.com")


def test_a_hook_that_exits_fails_its_own_delivery_and_no_other(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness(platform_hook=f"{__name__}:leave")
    harness.process(CREATED, samples.created("b2", START, AT))
    assert sorted((row.booking_id, row.status, row.attempts) for row in harness.all(Delivery)) == [
        ("b1", "pending", 1),
        ("b2", "done", 0),
    ]
    assert "example.com" not in str(harness.all(Delivery)[0].last_error)


def test_a_delivery_that_fails_does_not_hold_up_the_others(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness(platform_hook=f"{__name__}:refuse_b1")
    harness.deliver(CREATED, samples.created("b2", START, AT), samples.created("b0", START, AT))
    harness.process_due()
    assert [booking.id for booking in harness.all(Booking)] == ["b0", "b2"]


def refuse_b1(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        raise ValueError


def test_attempts_end(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness(platform_hook=f"{__name__}:refuse_b1")
    (delivery_id,) = harness.deliver(CREATED)
    for _ in range(MAX_ATTEMPTS):
        with harness.services.database.transaction() as session:
            session.get_one(Delivery, delivery_id).due_at = AT
        harness.process_due()
    assert [(row.status, row.attempts) for row in harness.all(Delivery)] == [("dead", MAX_ATTEMPTS)]


def test_two_workers_on_one_new_booking_at_once_make_one_row(harness: Harness) -> None:
    bodies = [{**CREATED, "updatedAt": later(number).isoformat(), "location": str(number)} for number in range(40)]
    harness.deliver(*bodies)
    with ThreadPoolExecutor(4) as pool:
        for worker in [pool.submit(harness.process_due) for _ in range(4)]:
            worker.result()
    assert harness.booking().location == "39"
    assert {delivery.status for delivery in harness.all(Delivery)} == {"done"}
    assert harness.notification_kinds() == ["created"]


def test_a_batch_leaves_nothing_behind(harness: Harness) -> None:
    harness.deliver(*(samples.created(f"b{number}", START, AT) for number in range(450)))
    harness.process_due()
    assert len(harness.all(Booking)) == 450


def test_a_reschedule_is_announced_with_where_it_was_before(harness: Harness) -> None:
    harness.process(CREATED, MOVED)
    payload = harness.all(Notification)[-1].payload
    assert payload["before"]["starts_at"] == START.isoformat()
    assert payload["booking"]["starts_at"] == (START + timedelta(hours=1)).isoformat()
    assert json.dumps(payload)


def slow_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of large bodies, or of a processor that is shared with others."""
    read, elapsed = InboxProcessor.parse, [0.0]

    def slowly(self: InboxProcessor, delivery: Delivery) -> object:
        elapsed[0] += MAX_BATCH_TIME.total_seconds() * 2
        return read(self, delivery)

    monkeypatch.setattr(InboxProcessor, "parse", slowly)
    monkeypatch.setattr("worker.inbox.processor.time.monotonic", lambda: elapsed[0])


def test_reading_that_takes_longer_than_a_batch_may_stops_nothing(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_parsing(monkeypatch)
    harness.deliver(*(samples.created(f"b{number}", START, AT) for number in range(6)))
    for done in range(1, 7):
        assert harness.services.inbox.process_due() is DrainResult.MORE
        assert [row.status for row in harness.all(Delivery)].count("done") == done
    assert harness.services.inbox.process_due() is DrainResult.IDLE


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_sqlites_write_lock_is_free_while_bodies_are_parsed(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    parse, parsed = InboxProcessor.parse, list[str]()

    def write_and_parse(self: InboxProcessor, delivery: Delivery) -> Event | Failure:
        harness.deliver(samples.created(f"meanwhile-{len(parsed)}", START, AT))
        parsed.append(delivery.id)
        return parse(self, delivery)

    ids = harness.deliver(*(samples.created(f"b{number}", START, AT) for number in range(3)))
    monkeypatch.setattr(InboxProcessor, "parse", write_and_parse)
    monkeypatch.setattr("worker.inbox.processor.MAX_BATCH_TIME", timedelta(minutes=1))
    harness.services.inbox.process_due()
    assert parsed == ids
    assert {row.id for row in harness.all(Delivery) if row.status == "done"} == {*ids}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_happens_to_a_row_between_its_parsing_and_the_transaction_counts(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse, [changed, ignored] = InboxProcessor.parse, harness.deliver(CREATED, samples.created("b2", START, AT))

    def change_and_parse(self: InboxProcessor, delivery: Delivery) -> Event | Failure:
        monkeypatch.undo()
        event = parse(self, delivery)
        with harness.services.database.transaction() as session:
            session.get_one(Delivery, changed).body = json.dumps(samples.created("b3", START, AT)).encode()
            session.get_one(Delivery, changed).sealed_with = None
            session.get_one(Delivery, ignored).finish(AT)
        return event

    monkeypatch.setattr(InboxProcessor, "parse", change_and_parse)
    harness.services.inbox.process_due()
    assert [row.id for row in harness.all(Booking)] == ["b3"]


def test_only_as_many_bodies_are_claimed_and_loaded_as_there_is_room_for(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.deliver(*(samples.created(f"b{number}", START, AT) for number in range(10)))
    size = len(harness.all(Delivery)[0].body)
    monkeypatch.setattr("worker.inbox.processor.MAX_BATCH_BYTES", size * 3 + size // 2)
    monkeypatch.setattr("worker.inbox.processor.PAGE_BYTES", size * 2)
    claimed: list[int] = []
    record = Claim.record
    monkeypatch.setattr(Claim, "record", lambda *said: (claimed.append(len(said[3])), record(*said)))
    harness.process_due()
    assert claimed == [3, 3, 3, 1]
    assert len(harness.all(Booking)) == 10


def test_a_body_larger_than_the_room_is_handled_too(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.inbox.processor.MAX_BATCH_BYTES", 1)
    harness.deliver(CREATED, samples.created("b2", START, AT))
    harness.process_due()
    assert len(harness.all(Booking)) == 2


def test_a_group_looks_at_the_clock_between_its_deliveries(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    handler, elapsed = HANDLERS["booking_created"], [0.0]

    def slowly(context: HandlerContext, event: BookingEvent) -> Iterator[BookingChange]:
        elapsed[0] += MAX_BATCH_TIME.total_seconds() * 2
        yield from handler(context, event)

    monkeypatch.setitem(HANDLERS, "booking_created", slowly)
    monkeypatch.setattr("worker.inbox.processor.time.monotonic", lambda: elapsed[0])
    harness.deliver(*(samples.created(f"b{number}", START, AT) for number in range(3)))
    assert harness.services.inbox.process_due() is DrainResult.MORE
    assert sorted(row.status for row in harness.all(Delivery)) == ["done", "pending", "pending"]
    harness.process_due()
    assert len(harness.all(Booking)) == 3


def test_a_drain_without_an_outcome_is_an_error_and_an_incident_and_ends(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(InboxProcessor, "process_all", lambda *_: [])
    harness.deliver(CREATED)
    harness.process_due()
    [said] = [line for line in "".join(capfd.readouterr()).splitlines() if "drain.no_progress" in line]
    assert "error" in said
    assert [incident.kind for incident in harness.all(Incident)] == ["processing_stuck"]


@pytest.mark.parametrize("ahead", [timedelta(milliseconds=50), timedelta(days=1)])
def test_a_receiver_whose_clock_is_ahead_delays_nothing(harness: Harness, ahead: timedelta) -> None:
    inbox = harness.services.inbox
    with harness.services.database.transaction() as session:
        received_at = datetime.now(UTC) + ahead
        Delivery.accept(
            session, [NewDelivery.from_body(json.dumps(CREATED).encode(), "default", received_at, inbox.cipher)]
        )
    harness.process_due()
    assert [row.status for row in harness.all(Delivery)] == ["done"]


def test_a_row_that_failed_when_a_clock_was_far_ahead_is_tried_again(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness(platform_hook=f"{__name__}:refuse_b1")
    harness.deliver(CREATED)
    harness.process_due()
    with harness.services.database.transaction() as session:
        session.execute(update(Delivery).values(due_at=datetime.now(UTC) + timedelta(days=3)))
    sweep(harness.services, datetime.now(UTC))
    assert harness.all(Delivery)[0].due_at <= datetime.now(UTC)


def test_what_fails_again_and_again_does_not_keep_a_healthy_one_waiting(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness(platform_hook=f"{__name__}:refuse_bad")
    harness.deliver(*(samples.created(f"bad{number}", START, AT) for number in range(300)))
    with harness.services.database.transaction() as session:
        session.execute(update(Delivery).values(attempts=1, due_at=AT, received_at=AT))
    (healthy,) = harness.deliver(CREATED)
    harness.services.inbox.process_due()
    rows = {row.id: row.status for row in harness.all(Delivery)}
    assert rows.pop(healthy) == "done"
    assert sum(row.attempts == 2 for row in harness.all(Delivery)) <= MAX_ROWS["failed"]


def refuse_bad(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id.startswith("bad"):
        raise ValueError


def test_a_row_that_cannot_be_loaded_dies_and_stops_no_other(harness: Harness) -> None:
    ids = harness.deliver(CREATED, *(samples.created(f"b{number}", START, AT) for number in range(2, 5)))
    is_postgresql = harness.services.database.supports_skip_locked
    moment = "infinity" if is_postgresql else "yesterday"  # the former is read as the last time that Python knows
    with harness.services.database.engine.begin() as connection:
        connection.execute(sql(connection, f"UPDATE deliveries SET received_at = '{moment}' WHERE id = '{ids[0]}'"))
    harness.process_due()
    rows = {row.id: row for row in harness.all(Delivery)}
    assert rows[ids[0]].status == ("done" if is_postgresql else "dead")
    assert is_postgresql or "cannot be loaded" in rows[ids[0]].last_error
    assert [rows[key].status for key in ids[1:]] == ["done"] * 3
    assert [attempt.delivery_id for attempt in harness.all(FailedAttempt)] == ([] if is_postgresql else [ids[0]])


@pytest.fixture
def deferred(harness: Harness) -> Iterator[None]:
    """A table of the platform whose constraint is checked at the commit."""
    with harness.services.database.engine.begin() as connection:
        reference = "REFERENCES platform_users (id) DEFERRABLE INITIALLY DEFERRED"
        connection.execute(sql(connection, f"CREATE TABLE of_the_platform (user_id INTEGER {reference})"))
    yield
    with harness.services.database.engine.begin() as connection:
        connection.execute(text("DROP TABLE of_the_platform"))


def break_the_commit(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        session.execute(text("INSERT INTO of_the_platform VALUES (4711)"))


@pytest.mark.usefixtures("deferred")
def test_a_row_whose_commit_fails_fails_alone(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness(platform_hook=f"{__name__}:break_the_commit")
    (bad,) = harness.deliver(CREATED)
    others = harness.deliver(*(samples.created(f"b{number}", START, AT) for number in range(2, 5)))
    harness.process_due()
    rows = {row.id: (row.status, row.attempts) for row in harness.all(Delivery)}
    assert rows == {bad: ("pending", 1), **dict.fromkeys(others, ("done", 0))}
    assert "ForeignKey" in harness.all(FailedAttempt)[0].error or "FOREIGN KEY" in harness.all(FailedAttempt)[0].error
    assert [booking.id for booking in harness.all(Booking)] == ["b2", "b3", "b4"]
    with harness.services.database.transaction() as session:
        session.execute(update(Delivery).where(Delivery.id == bad).values(due_at=AT))
    harness.process_due()
    assert {row.id: (row.status, row.attempts) for row in harness.all(Delivery)}[bad] == ("pending", 2)


@pytest.mark.parametrize("what", ["a\x00b", "\ud800"])
def test_an_error_that_no_database_can_keep_fails_its_row_alone(
    open_harness: Callable[..., Harness], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setitem(BROKEN, "b1", what)
    harness = open_harness(platform_hook=f"{__name__}:break_with_text")
    harness.deliver(CREATED, samples.created("b2", START, AT))
    harness.process_due()
    assert sorted((row.booking_id, row.status, row.attempts) for row in harness.all(Delivery)) == [
        ("b1", "pending", 1),
        ("b2", "done", 0),
    ]


BROKEN: dict[str, str] = {}


def break_with_text(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id in BROKEN:
        raise RuntimeError(BROKEN[booking.id])


def test_an_error_that_this_database_cannot_keep_fails_its_row_alone(
    postgresql_url: str,
    open_harness: Callable[..., Harness],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """A platform's database may only have the characters of Western Europe."""
    if "postgresql" not in request.node.name:
        pytest.skip("SQLite keeps any text")
    monkeypatch.setitem(BROKEN, "b1", "\u6f22")
    with another_database(
        postgresql_url, "latin", "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    ) as url:
        harness = open_harness(platform_hook=f"{__name__}:break_with_text", database_url=url)
        migrate(harness.services.database.engine)
        harness.deliver(CREATED, samples.created("b2", START, AT))
        harness.process_due()
        rows = {row.booking_id: (row.status, row.attempts, row.last_error) for row in harness.all(Delivery)}
        harness.services.database.close()
    assert rows["b2"] == ("done", 0, None)
    assert [row[:2] for key, row in rows.items() if key != "b2"] == [("pending", 1)]


@ON_SQLITE
@pytest.mark.parametrize("is_isolated", [False, True])
def test_a_lock_that_another_process_holds_for_long_is_no_delivery_s_fault(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, is_isolated: bool
) -> None:
    """It is taken after the claim was recorded, and free again when the worker asks whether the database is well."""
    database, inbox = harness.services.database, harness.services.inbox
    monkeypatch.setattr("runtime.database.SQLITE_BUSY_TIMEOUT_SECONDS", 0.05)
    ids = harness.deliver(CREATED, samples.created("b2", START, AT))
    with database.transaction() as session:
        session.execute(update(Delivery).values(is_isolated=is_isolated))
    with closing(sqlite3.connect(str(database.engine.url.database), isolation_level=None)) as other:

        def release(_database: Database) -> None:
            other.execute("ROLLBACK")
            probe_write(database)

        def record_claim(*claim: Any) -> None:
            recorded(*claim)
            other.execute("BEGIN IMMEDIATE")

        recorded = Claim.record
        monkeypatch.setattr(Claim, "record", record_claim)
        monkeypatch.setattr("worker.inbox.isolation.probe_write", release)
        with pytest.raises(OperationalError):
            inbox.process_due()
    assert [(row.attempts, row.is_isolated) for row in harness.all(Delivery)] == [(0, is_isolated)] * len(ids)
    assert not harness.all(FailedAttempt)


@ON_SQLITE
def test_a_new_employee_without_an_address_says_why_nobody_is_linked(harness: Harness) -> None:
    harness.process({"webhookType": "new_employee", "id": samples.HOST_ID})
    (delivery,) = harness.all(Delivery)
    assert (delivery.status, delivery.note) == ("done", "not linked: the body names no e-mail address")
