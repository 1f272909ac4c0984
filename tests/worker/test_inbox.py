"""From accepted bytes to changed bookings, on SQLite and on PostgreSQL."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text, update
from sqlalchemy.orm import Session

from devtools.send import samples
from meetergo.events import BookingEvent
from models.attempt import FailedAttempt
from models.booking import Booking, BookingChange
from models.claim import Claim
from models.delivery import Delivery, NewDelivery
from models.incident import Incident
from models.migrate import migrate
from models.notification import Notification
from models.platform_user import PlatformUser
from models.retryable import MAX_ATTEMPTS
from runtime.errors import Permanent
from tests.another_database import another_database
from tests.worker.desk import AT, START, Desk, later
from worker.inbox.context import HandlerContext
from worker.inbox.handling import HANDLERS
from worker.inbox.processor import LONGEST_BATCH, MOST, InboxProcessor
from worker.maintenance.sweeper import sweep
from worker.progress import DrainResult

CREATED = samples.created("b1", START, AT)
MOVED = samples.rescheduled("b1", START + timedelta(hours=1), later(1), START)
CANCELLED = samples.cancelled("b1", START, later(2))


def test_a_created_booking_becomes_a_row_with_its_host_and_news(desk: Desk) -> None:
    user = desk.add_user(meetergo_user_id=samples.HOST_ID)
    desk.tell(CREATED)
    booking = desk.booking()
    assert (booking.status, booking.starts_at, booking.platform_user_id) == ("confirmed", START, user.id)
    assert booking.meeting_name == "Discovery Call"
    assert booking.meeting_link == "https://zoom.example/j/123456789"
    assert booking.attendees == [samples.guest(1)]
    assert booking.as_of == AT
    assert desk.news() == ["created"]
    assert [delivery.status for delivery in desk.all(Delivery)] == ["done"]


def test_what_is_known_of_a_change_is_what_caused_it_and_what_it_was_before(desk: Desk) -> None:
    ids = desk.deliver(CREATED) + desk.deliver(MOVED)
    desk.work_off()
    changes = {change.delivery_id: change for change in desk.changes()}
    assert changes[ids[0]].before is None
    moved = changes[ids[1]]
    assert moved.kind == "rescheduled"
    assert moved.before is not None
    assert moved.before["starts_at"] == START.isoformat()
    assert moved.after["starts_at"] == (START + timedelta(hours=1)).isoformat()


def test_a_cancel_before_its_create_makes_the_row_and_the_late_create_tells_nobody(desk: Desk) -> None:
    desk.tell(CANCELLED, CREATED)
    assert desk.booking().status == "cancelled"
    assert desk.news() == ["cancelled"]


def test_the_secret_of_the_provider_stands_in_no_column_but_the_body(desk: Desk) -> None:
    desk.add_user(meetergo_user_id=samples.HOST_ID)
    desk.tell({**CREATED, "secret": "s3cr3t-marker"}, {**MOVED, "data": {**MOVED["data"], "secret": "s3cr3t-marker"}})
    rows = [*desk.all(Booking), *desk.all(BookingChange), *desk.all(Notification)]
    columns = [getattr(row, column.key) for row in rows for column in type(row).__mapper__.column_attrs]
    assert len(rows) >= 4
    assert "s3cr3t-marker" not in repr(columns)


def test_a_host_whom_nobody_knows_is_no_error(desk: Desk) -> None:
    desk.tell(CREATED)
    assert desk.booking().platform_user_id is None
    assert desk.news() == ["created"]


def test_a_meeting_type_finds_its_only_owner(desk: Desk) -> None:
    user = desk.add_user(meetergo_meeting_type_id="sample-type")
    desk.tell(CREATED)
    assert desk.booking().platform_user_id == user.id


def test_a_booking_without_a_meeting_type_is_not_the_only_users_who_has_none_either(desk: Desk) -> None:
    desk.add_user()
    desk.tell({**CREATED, "meetingTypeId": None, "meetingType": None})
    assert desk.booking().platform_user_id is None


def test_a_new_employee_links_the_one_user_who_waits_and_the_bookings_that_wait(desk: Desk) -> None:
    user = desk.add_user(email="Host@Example.com")
    desk.tell(CREATED, {"webhookType": "new_employee", "id": samples.HOST_ID, "email": "host@example.com"})
    assert desk.booking().platform_user_id == user.id
    assert desk.all(PlatformUser)[0].meetergo_user_id == samples.HOST_ID
    assert [change.kind for change in desk.changes()] == ["created", "linked"]


def test_a_new_employee_links_nobody_when_two_wait_with_that_address(desk: Desk) -> None:
    desk.add_user(external_id="1")
    desk.add_user(external_id="2")
    desk.tell({"event": "new_employee", "data": {"id": samples.HOST_ID, "email": "host@example.com"}})
    assert [user.meetergo_user_id for user in desk.all(PlatformUser)] == [None, None]
    assert [delivery.status for delivery in desk.all(Delivery)] == ["done"]


def test_an_event_that_nobody_handles_is_kept_as_done_with_a_note(desk: Desk) -> None:
    desk.tell({"webhookType": "review_published", "id": "r1"})
    delivery = desk.all(Delivery)[0]
    assert (delivery.status, delivery.event, delivery.note) == ("done", "review_published", "nobody handles this event")


def test_an_unreadable_body_dies_at_once_and_says_why(desk: Desk) -> None:
    desk.tell(b"not json", CREATED)
    dead = next(row for row in desk.all(Delivery) if row.status == "dead")
    assert (dead.body, dead.attempts, dead.last_error) == (b"not json", 1, "the body is not JSON")
    assert desk.booking().status == "confirmed"


@pytest.mark.parametrize(("company", "status"), [("sample-company", "done"), ("another", "dead")])
def test_events_of_another_company_are_not_taken(open_desk: Callable[..., Desk], company: str, status: str) -> None:
    desk = open_desk(meetergo_company_id="sample-company")
    desk.tell({**CREATED, "companyId": company})
    assert [delivery.status for delivery in desk.all(Delivery)] == [status]
    assert len(desk.all(Booking)) == (status == "done")


def count_bookings(session: Session, booking: Booking, change: BookingChange) -> None:
    """The platform's own table, here an unused column of its user."""
    session.get_one(PlatformUser, 1).booking_url = f"{booking.id} {change.kind}"


def refuse(session: Session, booking: Booking, change: BookingChange) -> None:
    session.get_one(PlatformUser, 1).booking_url = "half done"
    session.flush()
    raise KeyError("guest-1@example.com")


def forbid(session: Session, booking: Booking, change: BookingChange) -> None:
    raise Permanent("not on this platform")


def test_the_platforms_hook_writes_in_the_same_transaction(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(platform_hook=f"{__name__}:count_bookings")
    desk.add_user()
    desk.tell(CREATED)
    assert desk.all(PlatformUser)[0].booking_url == "b1 created"


def test_a_hook_that_fails_takes_everything_back_and_the_delivery_is_tried_again(
    open_desk: Callable[..., Desk],
) -> None:
    desk = open_desk(platform_hook=f"{__name__}:refuse")
    desk.add_user()
    desk.tell(CREATED)
    delivery = desk.all(Delivery)[0]
    assert (delivery.status, delivery.attempts, delivery.booking_id) == ("pending", 1, "b1")
    assert (desk.all(Booking), desk.news(), desk.all(PlatformUser)[0].booking_url) == ([], [], None)


def test_a_hook_may_say_that_trying_again_cannot_help(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(platform_hook=f"{__name__}:forbid")
    desk.tell(CREATED)
    assert [(row.status, row.last_error) for row in desk.all(Delivery)] == [("dead", "not on this platform")]


def leave(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        raise SystemExit("guest-1@example.com")


def test_a_hook_that_exits_fails_its_own_delivery_and_no_other(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(platform_hook=f"{__name__}:leave")
    desk.tell(CREATED, samples.created("b2", START, AT))
    assert sorted((row.booking_id, row.status, row.attempts) for row in desk.all(Delivery)) == [
        ("b1", "pending", 1),
        ("b2", "done", 0),
    ]
    assert "example.com" not in str(desk.all(Delivery)[0].last_error)


def test_a_delivery_that_fails_does_not_hold_up_the_others(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(platform_hook=f"{__name__}:refuse_b1")
    desk.deliver(CREATED, samples.created("b2", START, AT), samples.created("b0", START, AT))
    desk.work_off()
    assert [booking.id for booking in desk.all(Booking)] == ["b0", "b2"]


def refuse_b1(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        raise ValueError


def test_attempts_end(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(platform_hook=f"{__name__}:refuse_b1")
    (delivery_id,) = desk.deliver(CREATED)
    for _ in range(MAX_ATTEMPTS):
        with desk.office.database.transaction() as session:
            session.get_one(Delivery, delivery_id).due_at = AT
        desk.work_off()
    assert [(row.status, row.attempts) for row in desk.all(Delivery)] == [("dead", MAX_ATTEMPTS)]


def test_two_workers_on_one_new_booking_at_once_make_one_row(desk: Desk) -> None:
    bodies = [{**CREATED, "updatedAt": later(number).isoformat(), "location": str(number)} for number in range(40)]
    desk.deliver(*bodies)
    with ThreadPoolExecutor(4) as pool:
        for worker in [pool.submit(desk.work_off) for _ in range(4)]:
            worker.result()
    assert desk.booking().location == "39"
    assert {delivery.status for delivery in desk.all(Delivery)} == {"done"}
    assert desk.news() == ["created"]


def test_a_batch_leaves_nothing_behind(desk: Desk) -> None:
    desk.deliver(*(samples.created(f"b{number}", START, AT) for number in range(450)))
    desk.work_off()
    assert len(desk.all(Booking)) == 450


def test_a_reschedule_is_told_with_where_it_was_before(desk: Desk) -> None:
    desk.tell(CREATED, MOVED)
    payload = desk.all(Notification)[-1].payload
    assert payload["before"]["starts_at"] == START.isoformat()
    assert payload["booking"]["starts_at"] == (START + timedelta(hours=1)).isoformat()
    assert json.dumps(payload)


def slow_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of large bodies, or of a processor that is shared with others."""
    read, elapsed = InboxProcessor.read, [0.0]

    def slowly(self: InboxProcessor, delivery: Delivery) -> object:
        elapsed[0] += LONGEST_BATCH.total_seconds() * 2
        return read(self, delivery)

    monkeypatch.setattr(InboxProcessor, "read", slowly)
    monkeypatch.setattr("worker.inbox.processor.time.monotonic", lambda: elapsed[0])


def test_reading_that_takes_longer_than_a_batch_may_stops_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    slow_reading(monkeypatch)
    desk.deliver(*(samples.created(f"b{number}", START, AT) for number in range(6)))
    for done in range(1, 7):
        assert desk.office.inbox.work_off() is (DrainResult.ALL if done == 6 else DrainResult.PART)
        assert [row.status for row in desk.all(Delivery)].count("done") == done


def test_only_as_many_bodies_are_claimed_and_loaded_as_there_is_room_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.deliver(*(samples.created(f"b{number}", START, AT) for number in range(10)))
    size = len(desk.all(Delivery)[0].body)
    monkeypatch.setattr("worker.inbox.processor.MOST_BYTES", size * 3 + size // 2)
    monkeypatch.setattr("worker.inbox.processor.PAGE_BYTES", size * 2)
    claimed: list[int] = []
    record = Claim.record
    monkeypatch.setattr(Claim, "record", lambda *said: (claimed.append(len(said[3])), record(*said)))
    desk.work_off()
    assert claimed == [3, 3, 3, 1]
    assert len(desk.all(Booking)) == 10


def test_a_body_larger_than_the_room_is_handled_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.inbox.processor.MOST_BYTES", 1)
    desk.deliver(CREATED, samples.created("b2", START, AT))
    desk.work_off()
    assert len(desk.all(Booking)) == 2


def test_a_group_looks_at_the_clock_between_its_deliveries(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    handler, elapsed = HANDLERS["booking_created"], [0.0]

    def slowly(ledger: HandlerContext, event: BookingEvent) -> Iterator[BookingChange]:
        elapsed[0] += LONGEST_BATCH.total_seconds() * 2
        yield from handler(ledger, event)

    monkeypatch.setitem(HANDLERS, "booking_created", slowly)
    monkeypatch.setattr("worker.inbox.processor.time.monotonic", lambda: elapsed[0])
    desk.deliver(*(samples.created(f"b{number}", START, AT) for number in range(3)))
    assert desk.office.inbox.work_off() is DrainResult.PART
    assert sorted(row.status for row in desk.all(Delivery)) == ["done", "pending", "pending"]
    desk.work_off()
    assert len(desk.all(Booking)) == 3


def test_a_drain_without_an_outcome_is_an_error_and_an_incident_and_ends(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(InboxProcessor, "process_all", lambda *_: [])
    desk.deliver(CREATED)
    desk.work_off()
    [said] = [line for line in "".join(capfd.readouterr()).splitlines() if "drain.no_progress" in line]
    assert "error" in said
    assert [incident.kind for incident in desk.all(Incident)] == ["processing_stuck"]


@pytest.mark.parametrize("ahead", [timedelta(milliseconds=50), timedelta(days=1)])
def test_a_receiver_whose_clock_is_ahead_delays_nothing(desk: Desk, ahead: timedelta) -> None:
    inbox = desk.office.inbox
    with desk.office.database.transaction() as session:
        received_at = datetime.now(UTC) + ahead
        Delivery.accept(session, [NewDelivery.of(json.dumps(CREATED).encode(), "default", received_at, inbox.vault)])
    desk.work_off()
    assert [row.status for row in desk.all(Delivery)] == ["done"]


def test_a_row_that_failed_when_a_clock_was_far_ahead_is_tried_again(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(platform_hook=f"{__name__}:refuse_b1")
    desk.deliver(CREATED)
    desk.work_off()
    with desk.office.database.transaction() as session:
        session.execute(update(Delivery).values(due_at=datetime.now(UTC) + timedelta(days=3)))
    sweep(desk.office, datetime.now(UTC))
    assert desk.all(Delivery)[0].due_at <= datetime.now(UTC)


def test_what_fails_again_and_again_does_not_keep_a_healthy_one_waiting(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(platform_hook=f"{__name__}:refuse_bad")
    desk.deliver(*(samples.created(f"bad{number}", START, AT) for number in range(300)))
    with desk.office.database.transaction() as session:
        session.execute(update(Delivery).values(attempts=1, due_at=AT, received_at=AT))
    (healthy,) = desk.deliver(CREATED)
    desk.office.inbox.work_off()
    rows = {row.id: row.status for row in desk.all(Delivery)}
    assert rows.pop(healthy) == "done"
    assert sum(row.attempts == 2 for row in desk.all(Delivery)) <= MOST["failed"]


def refuse_bad(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id.startswith("bad"):
        raise ValueError


def test_a_row_that_cannot_be_loaded_dies_and_stops_no_other(desk: Desk) -> None:
    ids = desk.deliver(CREATED, *(samples.created(f"b{number}", START, AT) for number in range(2, 5)))
    is_postgresql = desk.office.database.skips_locked  # there a time that no calendar knows is read as the last one
    moment = "infinity" if is_postgresql else "yesterday"
    with desk.office.database.engine.begin() as connection:
        connection.execute(text(f"UPDATE deliveries SET received_at = '{moment}' WHERE id = '{ids[0]}'"))
    desk.work_off()
    rows = {row.id: row for row in desk.all(Delivery)}
    assert rows[ids[0]].status == ("done" if is_postgresql else "dead")
    assert is_postgresql or "cannot be loaded" in rows[ids[0]].last_error
    assert [rows[key].status for key in ids[1:]] == ["done"] * 3
    assert [attempt.delivery_id for attempt in desk.all(FailedAttempt)] == ([] if is_postgresql else [ids[0]])


@pytest.fixture
def deferred(desk: Desk) -> Iterator[None]:
    """A table of the platform whose constraint is checked at the commit."""
    with desk.office.database.engine.begin() as connection:
        reference = "REFERENCES platform_users (id) DEFERRABLE INITIALLY DEFERRED"
        connection.execute(text(f"CREATE TABLE of_the_platform (user_id INTEGER {reference})"))
    yield
    with desk.office.database.engine.begin() as connection:
        connection.execute(text("DROP TABLE of_the_platform"))


def break_the_commit(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        session.execute(text("INSERT INTO of_the_platform VALUES (4711)"))


@pytest.mark.usefixtures("deferred")
def test_a_row_whose_commit_fails_fails_alone(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(platform_hook=f"{__name__}:break_the_commit")
    (bad,) = desk.deliver(CREATED)
    others = desk.deliver(*(samples.created(f"b{number}", START, AT) for number in range(2, 5)))
    desk.work_off()
    rows = {row.id: (row.status, row.attempts) for row in desk.all(Delivery)}
    assert rows == {bad: ("pending", 1), **dict.fromkeys(others, ("done", 0))}
    assert "ForeignKey" in desk.all(FailedAttempt)[0].error or "FOREIGN KEY" in desk.all(FailedAttempt)[0].error
    assert [booking.id for booking in desk.all(Booking)] == ["b2", "b3", "b4"]
    with desk.office.database.transaction() as session:
        session.execute(update(Delivery).where(Delivery.id == bad).values(due_at=AT))
    retried = desk.office.inbox.retry(bad)
    assert retried is not None
    assert (retried.status, retried.attempts) == ("pending", 2)


@pytest.mark.parametrize("what", ["a\x00b", "\ud800"])
def test_an_error_that_no_database_can_keep_fails_its_row_alone(
    open_desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setitem(BROKEN, "b1", what)
    desk = open_desk(platform_hook=f"{__name__}:break_with_text")
    desk.deliver(CREATED, samples.created("b2", START, AT))
    desk.work_off()
    assert sorted((row.booking_id, row.status, row.attempts) for row in desk.all(Delivery)) == [
        ("b1", "pending", 1),
        ("b2", "done", 0),
    ]


BROKEN: dict[str, str] = {}


def break_with_text(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id in BROKEN:
        raise RuntimeError(BROKEN[booking.id])


def test_an_error_that_this_database_cannot_keep_fails_its_row_alone(
    postgresql_url: str, open_desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """A database of the house may know the letters of Western Europe only."""
    if "postgresql" not in request.node.name:
        pytest.skip("SQLite keeps any text")
    monkeypatch.setitem(BROKEN, "b1", "\u6f22")
    with another_database(
        postgresql_url, "latin", "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    ) as url:
        desk = open_desk(platform_hook=f"{__name__}:break_with_text", database_url=url)
        migrate(desk.office.database.engine)
        desk.deliver(CREATED, samples.created("b2", START, AT))
        desk.work_off()
        rows = {row.booking_id: (row.status, row.attempts, row.last_error) for row in desk.all(Delivery)}
        desk.office.database.close()
    assert rows["b2"] == ("done", 0, None)
    assert [row[:2] for key, row in rows.items() if key != "b2"] == [("pending", 1)]
