"""Each host is notified of their bookings, once, and the last message agrees with the row."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import select, update

from devtools.send import samples
from models.booking import Booking
from models.delivery import Delivery
from models.incident import Incident
from models.notification import MEETING_OVER, RESEND_COLUMNS, SUPERSEDED, Notification
from models.platform_user import PlatformUser
from models.search import RowSearch
from models.tables import BookingChange
from operations.replay.selection import select_deliveries
from operations.replay.service import ReplayService
from operations.users.forget import forget
from tests.console.cli import ON_SQLITE
from tests.raw_sql import sql
from tests.worker.harness import AT, START, Harness, later
from worker.channels import Message
from worker.channels.log import LogChannel
from worker.channels.mail.channel import MailChannel
from worker.channels.mail.smtp import MailServer
from worker.maintenance.sweeper import link_new_users, sweep
from worker.outbox.planner import to_message

Sent = list[tuple[str, str]]
"""Recipient and kind of each message, in order."""
MAIL = {"notify_default": "mailto:", "mail_from": "b@mail.example", "smtp_url": "smtp://127.0.0.1:1"}


def body(
    minute: int, *hosts: str, start: datetime | None = START, event: str = "created", **said: Any
) -> dict[str, Any]:
    """Return the webhook of booking b1 at some minute."""
    appointment = samples.appointment("b1", start or START, later(minute), hostIds=list(hosts), hosts=[], **said)
    if start is None:
        appointment = {name: value for name, value in appointment.items() if name not in ("start", "end")}
    return {"webhookType": f"booking_{event}", **appointment}


def cancelled(minute: int, *hosts: str) -> dict[str, Any]:
    at = later(minute).isoformat()
    return body(minute, *hosts, event="cancelled", isCancelled=True, cancel={"cancelledAt": at})


@pytest.fixture
def harness(open_harness: Callable[..., Harness]) -> Harness:
    """Two hosts, who are notified by mail."""
    harness = open_harness(**MAIL)
    for number in (1, 2):
        harness.add_user(external_id=str(number), meetergo_user_id=f"host-{number}", email=f"h{number}@example.com")
    link_new_users(harness.services, datetime.now(UTC))
    return harness


def sent(harness: Harness) -> Sent:
    return [(row.recipient.partition("@")[0], row.kind) for row in harness.all(Notification)]


@ON_SQLITE
def test_a_former_host_gets_the_cancellation_and_then_the_new_one_the_invitation(harness: Harness) -> None:
    harness.process(body(0, "host-1"), body(1, "host-2", event="rescheduled"), cancelled(2, "host-2"))
    assert sent(harness) == [("h1", "created"), ("h1", "cancelled"), ("h2", "created"), ("h2", "cancelled")]
    first, ended, new, _ = harness.all(Notification)
    assert ended.payload["booking"]["status"] == "cancelled"
    assert ended.payload["booking"]["revision"] > first.payload["booking"]["revision"]
    assert [row.platform_user_id for row in (first, ended, new)] == [1, 1, 2]
    assert [row.payload["host"]["id"] for row in (ended, new)] == [1, 2]


@ON_SQLITE
@pytest.mark.parametrize("email", [None, ""])
def test_nobody_is_mailed_of_a_booking_whose_host_is_unknown_or_has_no_address(
    open_harness: Callable[..., Harness], email: str | None
) -> None:
    harness = open_harness(**MAIL)
    harness.add_user(meetergo_user_id="host-1", email=email)
    harness.process(body(0, "host-1"), body(1, "stranger", event="rescheduled"))
    assert sent(harness) == []


@ON_SQLITE
def test_a_cancellation_for_a_former_host_names_the_time_that_they_know(harness: Harness) -> None:
    """The booking was moved and reassigned at once."""
    harness.process(body(0, "host-1"), body(1, "host-2", start=START + timedelta(hours=2), event="rescheduled"))
    first, ended, new = harness.all(Notification)
    assert [row.kind for row in (first, ended, new)] == ["created", "cancelled", "created"]
    assert ended.payload["booking"]["starts_at"] == START.isoformat()
    assert new.payload["booking"]["starts_at"] == (START + timedelta(hours=2)).isoformat()


@ON_SQLITE
def test_a_booking_that_goes_to_an_unknown_host_is_cancelled_for_its_former_host(harness: Harness) -> None:
    harness.process(body(0, "host-1"), body(1, "stranger", event="rescheduled"))
    assert sent(harness) == [("h1", "created"), ("h1", "cancelled")]
    assert harness.booking().platform_user_id is None


@ON_SQLITE
def test_a_booking_that_goes_back_and_forth_has_a_higher_sequence_each_time(harness: Harness) -> None:
    harness.process(*(body(minute, f"host-{host}") for minute, host in enumerate((1, 2, 1))))
    assert sent(harness) == [
        ("h1", "created"),
        ("h1", "cancelled"),
        ("h2", "created"),
        ("h2", "cancelled"),
        ("h1", "created"),
    ]
    sequences = [
        row.payload["booking"]["revision"] for row in harness.all(Notification) if row.recipient.startswith("h1")
    ]
    assert sequences == sorted(set(sequences))


@ON_SQLITE
def test_each_of_several_hosts_is_notified_once_in_any_order(harness: Harness) -> None:
    harness.process(body(0, "host-1", "host-2"), body(1, "host-2", "host-1"), cancelled(2, "host-2", "host-1"))
    assert sent(harness) == [("h1", "created"), ("h2", "created"), ("h1", "cancelled"), ("h2", "cancelled")]
    assert harness.booking().host_ids == ["host-1", "host-2"]
    assert [change.notification_kinds for change in harness.changes()] == [["created"], [], ["cancelled"]]


@ON_SQLITE
def test_only_a_host_who_joins_is_notified(harness: Harness) -> None:
    harness.process(body(0, "host-2"), body(1, "host-1", "host-2"))
    assert sent(harness) == [("h2", "created"), ("h1", "created")]
    assert harness.booking().platform_user_id == 2  # the current owner is among the hosts still


@ON_SQLITE
def test_a_shared_channel_is_notified_once_for_all_hosts(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness()
    for number in (1, 2):
        harness.add_user(external_id=str(number), meetergo_user_id=f"host-{number}")
    harness.process(body(0, "host-1", "host-2"), body(1, "host-2"))
    assert harness.notification_kinds() == ["created", "updated"]
    assert harness.all(Notification)[1].payload["before"]["host_ids"] == ["host-1", "host-2"]


@ON_SQLITE
def test_hosts_who_share_a_channel_are_notified_there_once(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness(notify_default="log:all")
    for number in (1, 2):
        harness.add_user(external_id=str(number), meetergo_user_id=f"host-{number}", channels=["log:ours"])
    harness.process(body(0, "host-1", "host-2"))
    assert harness.notification_kinds() == ["created"]


def test_a_reschedule_that_made_a_new_booking_cancels_the_one_before(harness: Harness) -> None:
    new = samples.appointment("b2", START + timedelta(hours=1), later(1), hostIds=["host-1"], hosts=[])
    moved = {"webhookType": "booking_rescheduled", "id": "b1", "rescheduledAppointment": new}
    harness.process(body(0, "host-1"), moved)
    assert [(row.booking_id, row.kind) for row in harness.all(Notification)] == [
        ("b1", "created"),
        ("b1", "cancelled"),
        ("b2", "created"),
    ]
    assert (harness.booking("b1").status, harness.booking("b1").cancel_reason) == ("cancelled", "moved to b2")


def test_a_booking_replaced_before_it_was_announced_notifies_nobody(harness: Harness) -> None:
    new = samples.appointment("b2", START, later(1), hostIds=["host-1"], hosts=[])
    moved = {"webhookType": "booking_rescheduled", "id": "b1", "rescheduledAppointment": new}
    harness.process(moved, body(0, "host-1"))
    assert [(row.booking_id, row.kind) for row in harness.all(Notification)] == [("b2", "created")]
    assert harness.booking("b1").status == "cancelled"


@ON_SQLITE
def test_a_time_that_becomes_known_later_notifies(harness: Harness) -> None:
    harness.process(body(1, "host-1", start=None), body(0, "host-1"))
    assert sent(harness) == [("h1", "created"), ("h1", "rescheduled")]
    assert harness.all(Notification)[1].payload["booking"]["starts_at"] == START.isoformat()


@ON_SQLITE
def test_two_older_moves_that_come_late_are_two_messages(harness: Harness) -> None:
    """Both change the row, though neither is its newest version."""
    newest = {**body(9, "host-1", start=None)}
    moves = [body(minute, "host-1", start=START + timedelta(hours=minute), event="rescheduled") for minute in (2, 3)]
    harness.process(newest, *moves)
    rows = harness.all(Notification)
    assert [row.kind for row in rows] == ["created", "rescheduled", "rescheduled"]
    assert rows[-1].payload["booking"]["starts_at"] == (START + timedelta(hours=3)).isoformat()


@ON_SQLITE
def test_nothing_is_sent_about_a_meeting_that_is_over_and_the_error_says_why(harness: Harness) -> None:
    past = datetime.now(UTC) - timedelta(hours=2)
    harness.process(body(0, "host-1", start=past))
    (row,) = harness.all(Notification)
    assert (row.status, row.last_error, harness.booking().starts_at) == ("done", MEETING_OVER, past)


@ON_SQLITE
def test_a_meeting_that_is_over_when_its_turn_comes_is_known_to_be(harness: Harness) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    harness.process(body(0, "host-1", start=soon))
    (row,) = harness.all(Notification)
    assert not row.is_meeting_over(soon)
    assert row.is_meeting_over(soon + samples.LENGTH + timedelta(seconds=1))


@ON_SQLITE
def test_a_host_is_notified_of_a_meeting_moved_into_the_past(harness: Harness) -> None:
    past = datetime.now(UTC) - timedelta(hours=2)
    harness.process(body(0, "host-1"), body(1, "host-1", start=past, event="rescheduled"))
    assert [(row.kind, row.status) for row in harness.all(Notification)] == [
        ("created", "pending"),
        ("rescheduled", "pending"),
    ]


@ON_SQLITE
@pytest.mark.parametrize("channels", [[None], True, "mailto:", {}, 5, [1, {}, []], "not json at all", ["a b"]])
def test_malformed_channels_of_one_host_do_not_affect_others(harness: Harness, channels: Any) -> None:
    with harness.services.database.transaction() as session:
        session.get_one(PlatformUser, 1).channels = channels
    harness.process(body(0, "host-1", "host-2"))
    harness.send_all()
    rows = {row.platform_user_id: row for row in harness.all(Notification)}
    assert (rows[1].status, rows[1].channel) == ("dead", "unusable")
    assert rows[1].last_error.startswith("this platform user's channel cannot be used: ")
    assert rows[2].recipient == "h2@example.com"


def book(harness: Harness, number: int, **changes: Any) -> None:
    harness.deliver(*(samples.created(f"n{each}", START, AT, hostIds=["late"], **changes) for each in range(number)))
    harness.process_due()


def test_a_host_who_is_added_late_gets_one_summary(harness: Harness) -> None:
    book(harness, 120)
    harness.process({**body(0, "late"), "id": "over", "start": AT.isoformat(), "end": later(9).isoformat()})
    harness.add_user(external_id="late", meetergo_user_id="late", email="late@example.com")
    for _ in range(2):
        sweep(harness.services, datetime.now(UTC))
    (row,) = harness.all(Notification)
    assert (row.kind, row.recipient, row.payload["total"]) == ("summary", "late@example.com", 120)
    assert len(row.payload["bookings"]) == 100
    assert "guest" not in json.dumps(row.payload["bookings"])
    assert {booking.platform_user_id for booking in harness.all(Booking)} == {3}


@ON_SQLITE
def test_a_summary_is_a_mail_without_an_invite(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    mails: list[str] = []
    monkeypatch.setattr(MailServer, "deliver", lambda self, mail, sender, recipient: mails.append(mail.as_string()))
    book(harness, 3)
    harness.add_user(external_id="late", meetergo_user_id="late", email="late@example.com", language="de")
    sweep(harness.services, datetime.now(UTC))
    harness.send_all()
    [mail] = mails
    assert "text/calendar" not in mail
    assert "Ihre kommenden Termine (3)" in mail


def test_a_further_host_who_is_added_late_is_notified_and_does_not_become_the_owner(harness: Harness) -> None:
    harness.process(body(0, "host-2", "a-late-one"))
    harness.add_user(external_id="late", meetergo_user_id="a-late-one", email="late@example.com")
    sweep(harness.services, datetime.now(UTC))
    assert sent(harness) == [("h2", "created"), ("late", "created")]
    assert harness.booking().platform_user_id == 2
    harness.process(body(1, "host-2", "a-late-one", location="elsewhere"))
    assert harness.booking().platform_user_id == 2


def test_a_host_is_invited_to_a_booking_that_changes_between_the_mapping_and_the_sweep(harness: Harness) -> None:
    two_guests = [samples.guest(1), samples.guest(2)]
    for event in ("moved", "a guest left"):
        clear(harness)
        harness.process(body(0, event, attendees=two_guests))
        harness.add_user(external_id=event, meetergo_user_id=event, email="late@example.com")
        start, guests = (START + timedelta(hours=1), two_guests) if event == "moved" else (START, two_guests[:1])
        harness.process(body(1, event, start=start, attendees=guests))
        sweep(harness.services, datetime.now(UTC))
        assert sent(harness) == [("late", "created")], event


@pytest.mark.parametrize("hook", [{}, {"platform_hook": "tests.worker.hooks:do_nothing"}], ids=["alone", "hook"])
def test_a_further_host_is_invited_to_a_booking_that_changes_between_the_mapping_and_the_sweep(
    harness: Harness, open_harness: Callable[..., Harness], hook: dict[str, str]
) -> None:
    harness = open_harness(**MAIL, **hook)
    harness.process(body(0, "host-1", "late"))
    harness.add_user(external_id="late", meetergo_user_id="late", email="late@example.com")
    harness.deliver(*(body(minute, "host-1", "late", start=START + timedelta(hours=minute)) for minute in (1, 2)))
    harness.process_due()
    sweep(harness.services, datetime.now(UTC))
    assert [kind for recipient, kind in sent(harness) if recipient == "late"] == ["created", "rescheduled"]


def test_a_place_for_which_a_booking_was_cancelled_is_told_of_it_with_a_late_host_who_uses_it(
    lasting_harness: Harness,
) -> None:
    harness = lasting_harness
    harness.add_user(external_id="own", meetergo_user_id="own", email="own@example.com", channels=["mailto:"])
    harness.process(body(0, "late"), body(1, "own", "late"))
    harness.add_user(external_id="late", meetergo_user_id="late", email="late@example.com")
    for _ in range(2):
        sweep(harness.services, datetime.now(UTC))
    assert [kind for recipient, kind in sent(harness) if recipient == "log"] == ["created", "cancelled", "created"]
    assert harness.booking().status == last_messages(harness)["log"].booking["status"]


def test_a_place_that_knows_a_waiting_booking_is_told_when_a_late_host_with_own_channels_gets_it(
    lasting_harness: Harness,
) -> None:
    harness = lasting_harness
    harness.process(body(0, "late"))
    own = dict(meetergo_user_id="late", email="late@example.com", channels=["mailto:"])
    harness.add_user(external_id="late", **own)
    for _ in range(2):
        sweep(harness.services, datetime.now(UTC))
    assert sent(harness) == [("log", "created"), ("log", "cancelled"), ("late", "created")]
    assert last_messages(harness)["log"].handed_over
    with harness.services.database.transaction() as session:
        session.query(PlatformUser).filter_by(external_id="late").delete()
    harness.add_user(external_id="made anew", **own)
    sweep(harness.services, datetime.now(UTC))
    assert len(harness.all(Notification)) == 3, "the place does not have this booking any more"


@ON_SQLITE
def test_a_place_is_told_of_the_end_of_a_booking_whose_owner_was_deleted_without_foreign_keys(
    open_harness: Callable[..., Harness],
) -> None:
    """SQLite enforces them only in a connection that asks for it, and a view has none."""
    harness = open_harness(notify_default="log:")
    harness.add_user(meetergo_user_id="host-1")
    link_new_users(harness.services, datetime.now(UTC))
    harness.process(body(0, "host-1"))
    with closing(sqlite3.connect(str(harness.services.database.engine.url.database))) as platform:
        platform.execute("DELETE FROM platform_users")
        platform.commit()
    assert harness.booking().platform_user_id is not None
    moved = body(1, "host-1", start=START + timedelta(hours=1), event="rescheduled")
    harness.process(moved, cancelled(2, "host-1"))
    assert sent(harness) == [("log", "created"), ("log", "rescheduled"), ("log", "cancelled")]


def test_a_host_of_a_meeting_type_is_notified_of_a_booking_that_an_old_webhook_linked(
    harness: Harness,
) -> None:
    harness.process(body(1, "unknown"))
    harness.add_user(external_id="late", meetergo_meeting_type_id="sample-type", email="late@example.com")
    harness.process(body(0, "unknown"))
    assert harness.booking().platform_user_id == 3
    for _ in range(2):
        sweep(harness.services, datetime.now(UTC))
    assert sent(harness) == [("late", "created")]


def test_a_host_for_whom_an_old_webhook_linked_a_booking_is_invited_before_they_are_told_that_it_moved(
    harness: Harness,
) -> None:
    harness.process(body(1, "late"))
    harness.add_user(external_id="late", meetergo_user_id="late", email="late@example.com")
    harness.process(body(0, "late"), body(2, "late", start=START + timedelta(hours=1)))
    sweep(harness.services, datetime.now(UTC))
    assert sent(harness) == [("late", "created")]


def test_a_place_that_lost_a_booking_to_a_late_host_is_not_told_of_it_before_the_sweep_either(
    lasting_harness: Harness,
) -> None:
    harness = lasting_harness
    harness.process(body(1, "unknown"))
    own = dict(channels=["mailto:"], email="late@example.com")
    harness.add_user(external_id="late", meetergo_meeting_type_id="sample-type", **own)
    harness.process(body(0, "unknown"), cancelled(2, "unknown"))
    sweep(harness.services, datetime.now(UTC))
    assert sent(harness) == [("log", "created"), ("log", "cancelled")]


def test_a_forgotten_host_who_had_a_summary_is_told_that_another_host_has_the_booking(harness: Harness) -> None:
    book(harness, 2)
    harness.add_user(external_id="late", meetergo_user_id="late", email="late@example.com")
    sweep(harness.services, datetime.now(UTC))
    with harness.services.database.transaction() as session:
        late = session.scalars(select(PlatformUser).where(PlatformUser.external_id == "late")).one()
        late.meetergo_user_id = late.linked_as = None
    harness.process(samples.created("n0", START, later(1), hostIds=["host-1"]))
    assert sent(harness) == [("late", "summary"), ("late", "cancelled"), ("h1", "created")]


def forget_and_map_again(harness: Harness, host: str, *meanwhile: dict[str, Any]) -> None:
    """One of several hosts is unmapped, and the same mapping comes back."""
    forget(harness.services.database, host, datetime.now(UTC), by="x")
    sweep(harness.services, datetime.now(UTC))
    harness.process(*meanwhile)
    with harness.services.database.transaction() as session:
        is_host = PlatformUser.external_id == host
        session.execute(update(PlatformUser).where(is_host).values(meetergo_user_id=f"host-{host}"))
    sweep(harness.services, datetime.now(UTC))


def test_a_host_who_is_mapped_again_is_told_that_a_booking_was_rescheduled_meanwhile(harness: Harness) -> None:
    moved = body(1, "host-1", "host-2", start=START + timedelta(hours=1), event="rescheduled")
    harness.process(body(0, "host-1", "host-2"))
    for _ in range(2):
        forget_and_map_again(harness, "2", moved)
    assert sent(harness) == [("h1", "created"), ("h2", "created"), ("h1", "rescheduled"), ("h2", "rescheduled")]
    *_, told, last = harness.all(Notification)
    assert (last.platform_user_id, last.payload["host"]["id"]) == (2, 2)
    assert last.payload["booking"] == told.payload["booking"]
    assert last.payload["before"]["starts_at"] == START.isoformat()


def test_a_host_who_is_mapped_again_is_told_that_a_booking_was_cancelled_meanwhile(harness: Harness) -> None:
    harness.process(body(0, "host-1", "host-2"))
    for _ in range(2):
        forget_and_map_again(harness, "2", cancelled(1, "host-1", "host-2"))
    assert sent(harness) == [("h1", "created"), ("h2", "created"), ("h1", "cancelled"), ("h2", "cancelled")]
    *_, told, last = harness.all(Notification)
    assert (last.payload["booking"], last.payload["before"]) == (told.payload["booking"], {"status": "confirmed"})


@ON_SQLITE
def test_a_host_who_is_mapped_again_gets_a_new_summary_if_one_of_its_bookings_was_rescheduled(harness: Harness) -> None:
    hosts, moved = ["host-1", "host-3"], START + timedelta(hours=1)
    for number in range(2):
        harness.process(samples.created(f"n{number}", START, AT, hostIds=hosts))
    harness.add_user(external_id="3", meetergo_user_id="host-3", email="late@example.com")
    sweep(harness.services, datetime.now(UTC))
    for _ in range(2):
        forget_and_map_again(harness, "3", samples.rescheduled("n1", moved, later(1), START, hostIds=hosts))
    first, last = [row.payload["bookings"] for row in harness.all(Notification) if row.kind == "summary"]
    assert {each["starts_at"] for each in first} == {START.isoformat()}
    assert {each["starts_at"] for each in last} == {START.isoformat(), moved.isoformat()}


@ON_SQLITE
def test_a_host_who_is_mapped_again_is_not_told_of_what_reached_them_by_another_mapping(harness: Harness) -> None:
    harness.add_user(external_id="3", meetergo_user_id="host-3", email="h2@example.com")
    hosts = ("host-1", "host-2", "host-3")
    harness.process(body(0, *hosts))
    forget_and_map_again(harness, "2", body(1, *hosts, start=START + timedelta(hours=1), event="rescheduled"))
    forget_and_map_again(harness, "2", cancelled(2, *hosts))
    assert [kind for reader, kind in sent(harness) if reader == "h2"] == ["created", "rescheduled", "cancelled"]


@ON_SQLITE
def test_a_host_who_is_mapped_again_is_not_told_of_what_they_know(harness: Harness) -> None:
    harness.process(body(0, "host-1", "host-2"), samples.created("b2", START, AT, hostIds=["host-1", "host-2"]))
    harness.process(cancelled(1, "host-1", "host-2"))
    before = sent(harness)
    forget_and_map_again(harness, "2", body(2, "host-1", "host-2", start=START + timedelta(hours=1)))
    assert sent(harness) == before


@pytest.mark.parametrize("mapping", [{"meetergo_meeting_type_id": "a-type"}, {"meetergo_user_id": "another"}], ids=str)
def test_a_host_who_had_a_summary_is_told_of_a_change_that_comes_before_the_sweep_of_a_new_mapping(
    harness: Harness, mapping: dict[str, str]
) -> None:
    book(harness, 2)
    harness.add_user(external_id="late", meetergo_user_id="late", email="late@example.com")
    sweep(harness.services, datetime.now(UTC))
    with harness.services.database.transaction() as session:
        session.execute(update(PlatformUser).where(PlatformUser.external_id == "late").values(mapping))
    harness.process({**samples.cancelled("n0", START, later(1)), "hostIds": ["late"]})
    assert sent(harness) == [("late", "summary"), ("late", "cancelled")]


def test_a_booking_that_cannot_be_linked_is_named_and_the_rest_is(
    open_harness: Callable[..., Harness], capfd: pytest.CaptureFixture[str]
) -> None:
    harness = open_harness(**MAIL, platform_hook=f"{__name__}:breaks_for_b1")
    book(harness, 2)
    harness.process(body(0, "late"))
    harness.add_user(external_id="late", meetergo_user_id="late", email="late@example.com", channels=[None])
    harness.add_user(external_id="next", meetergo_user_id="host-2", email="next@example.com")
    sweep(harness.services, datetime.now(UTC))
    assert {row.id: row.platform_user_id for row in harness.all(Booking)} == {"b1": None, "n0": 1, "n1": 1}
    assert all(user.linked_as for user in harness.all(PlatformUser))
    assert "link.skipped" in capfd.readouterr().out
    assert [incident.kind for incident in harness.all(Incident)] == ["link_skipped"]


@pytest.mark.parametrize(
    ("database", "damage"),
    [
        ("sqlite", "as_of = 'no time'"),  # the row cannot be loaded; PostgreSQL stores no such value
        ("sqlite", """facts = '{"meeting_name": 7}'"""),
        ("postgresql", """facts = '{"meeting_name": 7}'"""),
    ],
    indirect=["database"],
)
def test_a_booking_that_cannot_be_read_is_named_and_the_rest_is_linked(
    open_harness: Callable[..., Harness], capfd: pytest.CaptureFixture[str], damage: str
) -> None:
    harness = open_harness(**MAIL)
    book(harness, 3)
    with harness.services.database.transaction() as session:
        session.execute(sql(session, f"UPDATE bookings SET {damage} WHERE id = 'n1'"))
    harness.add_user(external_id="late", meetergo_user_id="late", email="late@example.com")
    sweep(harness.services, datetime.now(UTC))
    with harness.services.database.read_only() as session:
        owned = session.execute(select(Booking.id, Booking.platform_user_id).order_by(Booking.id)).all()
    assert [tuple(row) for row in owned] == [("n0", 1), ("n1", None), ("n2", 1)]
    assert "booking_id=n1" in capfd.readouterr().out.partition("link.skipped")[2]
    assert [incident.kind for incident in harness.all(Incident)] == ["link_skipped"]


def test_a_host_whose_linking_ends_the_scheduler_is_skipped_after_three_times(
    open_harness: Callable[..., Harness],
) -> None:
    harness = open_harness(**MAIL, platform_hook=f"{__name__}:ends_the_process_for_b1")
    harness.process(body(0, "late"))
    harness.process({**body(0, "next"), "id": "b2"})
    harness.add_user(external_id="late", meetergo_user_id="late", email="late@example.com")
    harness.add_user(external_id="next", meetergo_user_id="next", email="next@example.com")
    for _ in range(3):
        with pytest.raises(Killed):
            sweep(harness.services, datetime.now(UTC))
    sweep(harness.services, datetime.now(UTC))
    assert {row.id: row.platform_user_id for row in harness.all(Booking)} == {"b1": None, "b2": 2}
    assert [incident.kind for incident in harness.all(Incident)] == ["link_skipped"]
    assert not harness.services.job_queue.redis.keys("*linking*")


class Killed(KeyboardInterrupt):
    """Nothing catches it, as nothing catches a kill."""


def ends_the_process_for_b1(_session: Any, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1" and change.kind == "linked":
        raise Killed


def breaks_for_b1(_session: Any, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1" and change.kind == "linked":
        raise RuntimeError("this one")


def employed(meetergo_user_id: str, email: str) -> dict[str, Any]:
    return {"webhookType": "new_employee", "id": meetergo_user_id, "email": email}


def test_an_employee_is_linked_when_the_platform_adds_them_later(harness: Harness) -> None:
    harness.process(body(0, "new-one"), employed("new-one", "Jane.Ö@Example.com"))
    harness.add_user(external_id="late", email="jane.ö@example.COM")
    harness.add_user(external_id="another", email="another@example.com")
    sweep(harness.services, datetime.now(UTC))
    assert [user.meetergo_user_id for user in harness.all(PlatformUser)][2:] == ["new-one", None]
    assert harness.booking().platform_user_id == 3


@pytest.mark.parametrize("is_known_before", [True, False])
def test_a_second_employee_with_the_same_address_is_not_linked(harness: Harness, is_known_before: bool) -> None:
    if is_known_before:
        harness.add_user(external_id="late", email="jane@example.com")
    harness.process(employed("one", "jane@example.com"), employed("two", "JANE@example.com"))
    if not is_known_before:
        harness.add_user(external_id="late", email="jane@example.com")
    sweep(harness.services, datetime.now(UTC))
    assert harness.all(PlatformUser)[2].meetergo_user_id == ("one" if is_known_before else None)
    notes = {row.id: row.note for row in harness.all(Delivery)}
    assert "not linked: another employee has the same e-mail address" in notes.values()
    assert {row.status for row in harness.all(Delivery)} == {"done"}


def die_and_replay(harness: Harness, *bodies: dict[str, Any], **wanted: Any) -> None:
    """Let deliveries die, for a reason that has been repaired since, and replay them."""
    harness.deliver(*bodies)
    with harness.services.database.transaction() as session:
        session.execute(update(Delivery).values(status="dead", ended_at=datetime.now(UTC)))
    chosen = select_deliveries(harness.services.inbox, RowSearch().deliveries()).chosen
    ReplayService(harness.services, "x", **wanted).replay(chosen, datetime.now(UTC))
    harness.process_due()


LIFE = [
    body(0, "host-1"),
    body(1, "host-1", start=START + timedelta(hours=1), event="rescheduled"),
    cancelled(2, "host-1"),
]


@pytest.mark.parametrize(("superseded", "number"), [(False, 1), (True, 3)])
def test_a_replay_sends_only_what_still_matters_unless_asked_for_all(
    open_harness: Callable[..., Harness], superseded: bool, number: int
) -> None:
    harness = open_harness()
    die_and_replay(harness, LIFE[0], superseded=superseded)
    for each in LIFE[1:]:
        die_and_replay(harness, each, superseded=superseded)
    assert len(harness.notification_kinds()) == 3
    waiting = [row.kind for row in harness.all(Notification) if row.status == "pending"]
    assert waiting == ["created", "rescheduled", "cancelled"][-number:]
    assert {row.last_error for row in harness.all(Notification) if row.status == "done"} <= {SUPERSEDED}


def test_deliveries_processed_hours_later_send_only_what_still_matters(harness: Harness) -> None:
    harness.deliver(*LIFE)
    with harness.services.database.transaction() as session:
        session.execute(update(Delivery).values(received_at=datetime.now(UTC) - timedelta(hours=3)))
    harness.process_due()
    assert len([row for row in harness.all(Notification) if row.status == "pending"]) == 1
    assert harness.all(Notification)[-1].kind == "cancelled"


def test_a_delayed_notification_is_not_sent_after_a_newer_one(harness: Harness) -> None:
    harness.process(*LIFE)
    now = datetime.now(UTC)
    sweep(harness.services, now)
    assert {row.status for row in harness.all(Notification)} == {"pending"}
    sweep(harness.services, now + timedelta(minutes=11))
    assert [row.status for row in harness.all(Notification)] == ["done", "done", "pending"]


def test_a_dead_notification_is_not_sent_after_a_newer_one(harness: Harness) -> None:
    harness.process(*LIFE)
    with harness.services.database.transaction() as session:
        session.execute(update(Notification).where(Notification.kind != "cancelled").values(status="dead"))
    ids = [row.id for row in harness.all(Notification)]
    ReplayService(harness.services, "x").replay_notifications(ids[:1], datetime.now(UTC))
    assert [row.status for row in harness.all(Notification)] == ["done", "dead", "pending"]
    ReplayService(harness.services, "x", superseded=True).replay_notifications(ids[1:2], datetime.now(UTC))
    assert harness.all(Notification)[1].status == "pending"


@pytest.fixture
def summary(harness: Harness) -> Harness:
    """A summary of three bookings is dead, and its recipient has the cancellation of the first."""
    book(harness, 3)
    harness.add_user(external_id="late", meetergo_user_id="late", email="late@example.com")
    sweep(harness.services, datetime.now(UTC))
    harness.process({**samples.cancelled("n0", START, later(1)), "hostIds": ["late"]})
    with harness.services.database.transaction() as session:
        session.execute(update(Notification).where(Notification.kind == "summary").values(status="dead"))
        session.execute(update(Notification).where(Notification.kind == "cancelled").values(status="done"))
    return harness


def send_mails(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    mails = list[Message]()
    monkeypatch.setattr(MailChannel, "send", lambda _channel, message: mails.append(message))
    harness.send_all()
    return mails


def test_a_dead_summary_is_sent_without_the_bookings_of_which_a_newer_message_was(
    summary: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = summary.all(Notification)[0].id
    ReplayService(summary.services, "x").replay_notifications([dead], datetime.now(UTC))
    [mail] = send_mails(summary, monkeypatch)
    assert (mail.kind, [each["id"] for each in mail.bookings], mail.total) == ("summary", ["n1", "n2"], 2)


def test_a_summary_of_nothing_new_is_not_sent(summary: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    for booking_id in ("n1", "n2"):
        summary.process({**samples.cancelled(booking_id, START, later(1)), "hostIds": ["late"]})
    assert len(send_mails(summary, monkeypatch)) == 2
    dead = summary.all(Notification)[0].id
    ReplayService(summary.services, "x").replay_notifications([dead], datetime.now(UTC))
    assert not send_mails(summary, monkeypatch)
    assert summary.all(Notification)[0].last_error == SUPERSEDED


def test_a_summary_that_is_sent_again_leaves_out_the_bookings_of_which_a_newer_message_was(
    summary: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    with summary.services.database.transaction() as session:
        session.execute(update(Notification).values(status="done"))
    sent_before = summary.all(Notification)[0].id
    mails = list[Message]()
    for superseded in (False, True):
        service = ReplayService(summary.services, "x", resend=True, superseded=superseded)
        service.replay_notifications([sent_before], datetime.now(UTC))
        mails += send_mails(summary, monkeypatch)
    without, whole = mails
    assert ([each["id"] for each in without.bookings], without.total) == (["n1", "n2"], 2)
    assert ([each["id"] for each in whole.bookings], whole.total) == (["n0", "n1", "n2"], 3)
    assert summary.all(Notification)[0].payload["total"] == 3, "what was sent is not changed"


def test_a_summary_of_nothing_new_is_not_sent_again(summary: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    for booking_id in ("n1", "n2"):
        summary.process({**samples.cancelled(booking_id, START, later(1)), "hostIds": ["late"]})
    send_mails(summary, monkeypatch)
    with summary.services.database.transaction() as session:
        session.execute(update(Notification).values(status="done"))
    before = summary.all(Notification)
    service = ReplayService(summary.services, "x", resend=True)
    assert service.replay_notifications([before[0].id], datetime.now(UTC)).skipped == 1
    assert len(summary.all(Notification)) == len(before)


def test_a_summary_is_not_superseded_by_a_message_of_one_of_its_bookings(summary: Harness) -> None:
    _, cancelled = summary.all(Notification)
    same = {name: getattr(cancelled, name) for name in RESEND_COLUMNS}
    with summary.services.database.transaction() as session:
        session.execute(update(Notification).values(status="pending", is_late=True))
        later = Notification.row_for(version="9", now=datetime.now(UTC), is_late=True, **same)
        Notification.insert_new(session, [later])
    assert [row.status for row in summary.all(Notification)] == ["pending", "done", "pending"]
    sweep(summary.services, datetime.now(UTC) + timedelta(minutes=11))
    assert [row.status for row in summary.all(Notification)] == ["pending", "done", "pending"]


def test_a_message_that_is_being_sent_is_not_superseded(harness: Harness) -> None:
    """Its row would say that it was not sent."""
    harness.process(body(0, "host-1"))
    (sending,) = harness.all(Notification)
    same = {name: getattr(sending, name) for name in ("booking_id", "channel", "recipient", "fingerprint", "payload")}
    others = {"platform_user_id": sending.platform_user_id, "delivery_id": sending.delivery_id}
    with harness.services.database.transaction() as session:
        session.execute(update(Notification).values(is_late=True, claimed_by="a worker"))
        later = Notification.row_for(
            version="2", now=datetime.now(UTC), kind="rescheduled", is_late=True, **same, **others
        )
        Notification.insert_new(session, [later])
    assert [row.status for row in harness.all(Notification)] == ["pending", "pending"]


@st.composite
def bodies(draw: st.DrawFn) -> list[dict[str, Any]]:
    """The life of a booking, any part of which may be lost, repeated or reordered."""
    story = []
    for minute in range(draw(st.integers(1, 5))):
        hosts = draw(st.sampled_from([["host-1"], ["host-2"], ["host-1", "host-2"], ["host-2", "host-1"], ["x"], []]))
        start = draw(st.sampled_from([None, START, START + timedelta(hours=1), START + timedelta(hours=2)]))
        ends = draw(st.sampled_from([{}, {"end": (START + timedelta(hours=5)).isoformat()}]))
        story.append(body(minute, *hosts, start=start, **(ends if start else {})))
    if draw(st.booleans()):
        story.append(cancelled(9, "host-2"))
    lost = draw(st.sets(st.sampled_from(range(len(story)))))
    kept = [each for number, each in enumerate(story) if number not in lost]
    return draw(st.permutations([*kept, *draw(st.lists(st.sampled_from(kept), max_size=2))])) if kept else []


def last_messages(harness: Harness) -> dict[str, Message]:
    return {row.recipient: to_message(row) for row in harness.all(Notification)}


def clear(harness: Harness) -> None:
    with harness.services.database.transaction() as session:
        for rows in (BookingChange, Notification, Booking, Delivery):
            session.query(rows).delete()


def row_of(harness: Harness) -> dict[str, Any]:
    seen = harness.booking().public_columns()
    return {name: seen[name] for name in seen if name != "as_of"}


@pytest.fixture
def lasting_harness(open_harness: Callable[..., Harness]) -> Harness:
    harness = open_harness(**{**MAIL, "notify_default": "mailto:,log:"})
    for number in (1, 2):
        harness.add_user(external_id=str(number), meetergo_user_id=f"host-{number}", email=f"h{number}@example.com")
    return harness


@ON_SQLITE
def test_the_log_is_notified_of_a_new_owner_among_the_same_hosts(lasting_harness: Harness) -> None:
    """An older event that arrives late can show that another host has had the booking for longer."""
    lasting_harness.process(body(3, "host-1", "host-2"), body(0, "host-2"), body(1, "host-1"))
    owners = [
        row.payload["booking"]["platform_user_id"] for row in lasting_harness.all(Notification) if row.channel == "log"
    ]
    assert owners[-1] == lasting_harness.booking().platform_user_id
    assert len(set(owners)) > 1
    mails = [row.recipient for row in lasting_harness.all(Notification) if row.channel != "log"]
    assert sorted(mails) == ["h1@example.com", "h2@example.com"]


@ON_SQLITE
def test_the_last_message_to_each_recipient_agrees_with_the_row(lasting_harness: Harness) -> None:
    harness, hosts = lasting_harness, {"host-1": "h1@example.com", "host-2": "h2@example.com"}

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(bodies(), st.booleans())
    def hold(story: list[dict[str, Any]], together: bool) -> None:
        clear(harness)
        if not story:
            return
        if together:
            harness.deliver(*story)
            harness.process_due()
        else:
            harness.process(*story)
        row, received = harness.booking().public_columns(), last_messages(harness)
        readers = {hosts[each] for each in row["host_ids"] if each in hosts} | {"log"}
        if row["status"] == "confirmed":
            assert readers <= received.keys()
        for reader, message in received.items():
            is_there = reader in readers and row["status"] == "confirmed"
            assert (message.kind != "cancelled") == is_there, reader
            if is_there:
                for name in ("status", "starts_at", "ends_at", "platform_user_id"):
                    if name != "platform_user_id" or reader == "log":
                        assert message.booking[name] == row[name], (reader, name)
        keys = [each.key for each in harness.all(Notification)]
        harness.process(*story)
        assert [each.key for each in harness.all(Notification)] == keys

    hold()


@ON_SQLITE
def test_any_order_of_hosts_ends_in_the_same_row_with_the_same_owner(lasting_harness: Harness) -> None:
    harness = lasting_harness

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(bodies(), st.randoms(use_true_random=False))
    def hold(story: list[dict[str, Any]], chance: Any) -> None:
        rows = []
        for _ in range(2 if story else 0):
            clear(harness)
            harness.process(*story)
            rows.append(row_of(harness))
            chance.shuffle(story)
        assert rows[:1] == rows[1:]

    hold()


@ON_SQLITE
def test_a_log_of_the_host_s_own_gets_the_whole_life_of_a_booking(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[str] = []
    monkeypatch.setattr(LogChannel, "send", lambda _self, message: kinds.append(message.kind))
    with harness.services.database.transaction() as session:
        session.get_one(PlatformUser, 1).channels = ["log:"]
    harness.process(*LIFE)
    harness.send_all()
    assert kinds == ["created", "rescheduled", "cancelled"]
