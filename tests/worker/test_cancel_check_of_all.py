"""With CONFIRM=all, no webhook about a booking is applied before meetergo confirmed it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import update

from devtools.sandbox.faults.injector import InjectedAnswer
from devtools.sandbox.server import sandbox
from models.booking import Booking
from models.delivery import Delivery
from tests.console.cli import ON_SQLITE
from tests.worker.harness import Harness
from tests.worker.provider import ONE, Provider, free_start, webhook
from tests.worker.test_cancel_check import cancelled, last
from worker.inbox.cancel_check import DIFFERENT_ANSWER, NO_SUCH_BOOKING, NOT_CANCELLED, PROPAGATION_DELAY
from worker.settings import WorkerSettings


@pytest.fixture
def confirming(open_harness: Callable[..., Harness]) -> Iterator[Provider]:
    with sandbox() as meetergo:
        api = {"meetergo_api_key": meetergo.key, "meetergo_api_url": meetergo.url}
        yield Provider(meetergo, open_harness(**api, confirm="all"))


def booked(provider: Provider) -> str:
    """A booking that was delivered and confirmed."""
    booking_id = provider.book(provider.add_host())
    provider.deliver_all()
    assert provider.harness.notification_kinds() == ["created"]
    return booking_id


def tell(provider: Provider, booking_id: str, **changes: Any) -> None:
    body = webhook(provider.meetergo, provider.meetergo.appointments[booking_id], **changes)
    provider.harness.process(body)


def test_a_true_webhook_is_confirmed_and_applied(confirming: Provider) -> None:
    booked(confirming)
    assert (last(confirming).status, last(confirming).note) == ("done", None)
    assert confirming.meetergo.requests[ONE] == 1


@ON_SQLITE
@pytest.mark.parametrize(
    "forged",
    [
        {"meetingInfo": {"channel": "zoom", "meetingLink": "https://phishing.example/j/1"}},
        {"start": "2030-01-01T09:00:00Z", "end": "2030-01-01T10:00:00Z"},
        {"hosts": [], "hostIds": ["somebody-else"]},
        {"updatedAt": "2099-01-01T00:00:00Z"},
    ],
    ids=["link", "time", "hosts", "version"],
)
def test_a_forged_webhook_changes_nothing_and_notifies_nobody(confirming: Provider, forged: dict[str, Any]) -> None:
    booking_id = booked(confirming)
    before = vars(confirming.harness.booking(booking_id)).copy()
    now = datetime.now(UTC).isoformat()
    tell(confirming, booking_id, **{"webhookType": "booking_rescheduled", "updatedAt": now} | forged)
    after = vars(confirming.harness.booking(booking_id))
    shown = ("starts_at", "ends_at", "meeting_link", "host_ids", "platform_user_id", "status", "version")
    assert {name: after[name] for name in shown} == {name: before[name] for name in shown}
    assert confirming.harness.notification_kinds() == ["created"]
    assert last(confirming).status == "done"


@ON_SQLITE
def test_the_delivery_says_when_meetergo_says_otherwise(confirming: Provider) -> None:
    booking_id = booked(confirming)
    tell(confirming, booking_id, webhookType="booking_rescheduled", start="2030-01-01T09:00:00Z")
    assert last(confirming).note == DIFFERENT_ANSWER


def test_a_forged_booking_is_dead_and_makes_no_row(confirming: Provider) -> None:
    booking_id = booked(confirming)
    made_up = str(uuid4())
    tell(confirming, booking_id, id=made_up, appointmentId=made_up)
    row = last(confirming)
    assert row.status == "pending"
    assert "does not know it yet" in row.last_error
    with confirming.harness.services.database.transaction() as session:
        old = datetime.now(UTC) - PROPAGATION_DELAY
        session.execute(update(Delivery).where(Delivery.id == row.id).values(due_at=old, received_at=old))
    confirming.harness.process_due()
    rows = {row.booking_id: row for row in confirming.harness.all(Delivery)}
    assert (rows[made_up].status, rows[made_up].last_error) == ("dead", NO_SUCH_BOOKING)
    assert [row.id for row in confirming.harness.all(Booking)] == [booking_id]


@ON_SQLITE
def test_an_impossible_id_is_not_checked_and_delays_no_other(confirming: Provider) -> None:
    booking_id = booked(confirming)
    tell(confirming, booking_id, id="%22made-up%22", appointmentId="%22made-up%22")
    assert "does not know it yet" in last(confirming).last_error
    assert confirming.meetergo.requests[ONE] == 1
    confirming.meetergo.actions.cancel(booking_id)
    tell(confirming, booking_id)
    assert confirming.harness.booking(booking_id).status == "cancelled"


@ON_SQLITE
def test_a_booking_that_meetergo_shows_a_moment_later_is_applied(confirming: Provider) -> None:
    booking_id = confirming.book(confirming.add_host())
    confirming.meetergo.inject_faults(ONE, InjectedAnswer(404, b'{"statusCode":404,"message":"Not found"}'))
    confirming.meetergo.inject_faults(ONE, InjectedAnswer(404, b'{"statusCode":404,"message":"Not found"}'))
    confirming.deliver_all()
    assert last(confirming).status == "pending"
    with confirming.harness.services.database.transaction() as session:
        session.execute(update(Delivery).values(due_at=datetime.now(UTC) - timedelta(seconds=1)))
    confirming.harness.process_due()
    assert confirming.harness.booking(booking_id).status == "confirmed"


@ON_SQLITE
def test_a_cancel_is_confirmed_too(confirming: Provider) -> None:
    booking_id = booked(confirming)
    confirming.harness.process(cancelled(confirming, booking_id))
    assert last(confirming).note == NOT_CANCELLED
    confirming.meetergo.actions.cancel(booking_id)
    tell(confirming, booking_id)
    assert confirming.harness.booking(booking_id).status == "cancelled"


def test_under_429_all_bookings_converge(confirming: Provider) -> None:
    host = confirming.add_host()
    ids = [confirming.book(host, number) for number in range(4)]
    for _ in range(3):
        confirming.meetergo.inject_faults(ONE, InjectedAnswer(429, b"", {"Retry-After": "2"}))
    confirming.deliver_all()
    for _ in range(4):
        with confirming.harness.services.database.transaction() as session:
            waits = update(Delivery).where(Delivery.status == "pending")
            session.execute(waits.values(due_at=datetime.now(UTC) - timedelta(seconds=1)))
        confirming.harness.process_due()
    assert {row.status for row in confirming.harness.all(Delivery)} == {"done"}
    assert {row.id for row in confirming.harness.all(Booking)} == set(ids)


@ON_SQLITE
def test_an_event_without_a_booking_is_not_checked(confirming: Provider) -> None:
    confirming.harness.process({"webhookType": "form_submission"})
    assert (last(confirming).status, confirming.meetergo.requests[ONE]) == ("done", 0)


@ON_SQLITE
def test_a_guest_who_left_is_confirmed(confirming: Provider) -> None:
    host = confirming.add_host()
    confirming.share(host)
    booking_id = confirming.book(host)
    confirming.meetergo.actions.book(host["meetingTypeId"], free_start(), "second@example.com")
    confirming.deliver_all()
    record = confirming.meetergo.appointments[booking_id]
    confirming.meetergo.actions.leave(booking_id, record["attendeeIds"][0])
    tell(confirming, booking_id, webhookType="booking_cancelled")
    assert confirming.harness.notification_kinds() == ["created", "attendee_left"]


@ON_SQLITE
@pytest.mark.parametrize(
    ("settings", "mode"),
    [
        ({}, None),
        ({"CONFIRM": "cancels"}, "cancels"),
        ({"CONFIRM": " ALL "}, "all"),
        ({"CONFIRM_CANCELS": "True"}, "cancels"),
        ({"CONFIRM": "all", "CONFIRM_CANCELS": "True"}, "all"),
        ({"CONFIRM": "", "CONFIRM_CANCELS": "False"}, None),
    ],
)
def test_the_setting_has_a_new_name_and_the_old_one_means_the_same(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], mode: str | None
) -> None:
    monkeypatch.setenv("MEETERGO_API_KEY", f"ak_live:{'0' * 8}:{'0' * 64}")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert WorkerSettings.load().confirmation_mode == mode


@ON_SQLITE
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [({"CONFIRM": "everything"}, "'cancels' or 'all'"), ({"CONFIRM": "all"}, "CONFIRM asks for it")],
)
def test_an_unusable_setting_is_an_error_message(
    harness: Harness,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: dict[str, str],
    sentence: str,
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        WorkerSettings.load()
    assert sentence in capsys.readouterr().err
