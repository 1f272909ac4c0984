"""From accepted bytes to changed bookings, on SQLite and on PostgreSQL."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from console import samples
from models.booking import Booking, BookingChange
from models.delivery import Delivery
from models.failures import Permanent
from models.notification import Notification
from models.platform_user import PlatformUser
from models.todo import MAX_ATTEMPTS
from tests.worker.desk import AT, START, Desk, later

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
