"""With CONFIRM_CANCELS, a cancel is applied only after meetergo confirmed it; without, at once."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from devtools.sandbox.faults.injector import InjectedAnswer
from devtools.sandbox.faults.plan import FaultPlan
from devtools.sandbox.server import sandbox
from models.attempt import FailedAttempt
from models.booking import Booking
from models.claim import Claim
from models.delivery import Delivery
from runtime.errors import Transient
from tests.console.cli import ON_SQLITE
from tests.worker.harness import Harness
from tests.worker.provider import ME, ONE, Provider, free_start, webhook
from worker.inbox.cancel_check import NOT_CANCELLED, CancelCheck, CheckResult
from worker.services import build_services
from worker.settings import WorkerSettings
from worker.start import exit_on_bad_setting

FORBIDDEN = InjectedAnswer(403, b'{"statusCode":403,"message":"Forbidden"}')


@pytest.fixture
def open_provider(open_harness: Callable[..., Harness]) -> Iterator[Callable[..., Provider]]:
    with sandbox() as meetergo:

        def opened(**settings: str) -> Provider:
            api = {"meetergo_api_key": meetergo.key, "meetergo_api_url": meetergo.url}
            return Provider(meetergo, open_harness(**api, **{"confirm_cancels": "true"} | settings))

        yield opened


@pytest.fixture
def confirming(open_provider: Callable[..., Provider]) -> Provider:
    return open_provider()


def cancelled(provider: Provider, booking_id: str, **changes: Any) -> dict[str, Any]:
    """Return the webhook of a cancel, true or forged."""
    now = datetime.now(UTC).isoformat()
    made_up = {
        "webhookType": "booking_cancelled",
        "isCancelled": True,
        "cancel": {"cancelledAt": now, "cancelledBy": "attendee"},
        "updatedAt": now,
    }
    return webhook(provider.meetergo, provider.meetergo.appointments[booking_id], **made_up | changes)


def last(provider: Provider) -> Delivery:
    found: list[Delivery] = provider.harness.all(Delivery)
    return max(found, key=lambda row: row.received_at)


def test_a_true_cancel_is_confirmed_and_applied(confirming: Provider) -> None:
    booking_id = confirming.book(confirming.add_host())
    confirming.deliver_all()
    confirming.meetergo.actions.cancel(booking_id, "Schedule conflict")
    confirming.deliver_all()
    booking = confirming.harness.booking(booking_id)
    assert (booking.status, booking.cancel_reason) == ("cancelled", "Schedule conflict")
    assert (last(confirming).status, last(confirming).event, last(confirming).note) == (
        "done",
        "booking_cancelled",
        None,
    )
    assert confirming.harness.notification_kinds() == ["created", "cancelled"]
    assert confirming.harness.all(FailedAttempt) == []


@ON_SQLITE
def test_a_forged_cancel_is_not_applied_and_the_delivery_says_why(confirming: Provider) -> None:
    booking_id = confirming.book(confirming.add_host())
    confirming.deliver_all()
    confirming.harness.process(cancelled(confirming, booking_id))
    assert confirming.harness.booking(booking_id).status == "confirmed"
    assert (last(confirming).status, last(confirming).note) == ("done", NOT_CANCELLED)
    assert confirming.harness.notification_kinds() == ["created"]


@ON_SQLITE
def test_a_forged_reschedule_cancels_no_other_booking(confirming: Provider) -> None:
    """A forged reschedule that names another booking would cancel that one."""
    booking_id, other_id = confirming.book(confirming.add_host(1)), confirming.book(confirming.add_host(2))
    confirming.deliver_all()
    now = datetime.now(UTC).isoformat()
    other = webhook(confirming.meetergo, confirming.meetergo.appointments[other_id])
    confirming.harness.process(
        {
            "webhookType": "booking_rescheduled",
            "id": booking_id,
            "updatedAt": now,
            "rescheduledAppointment": {**other, "updatedAt": now},
        }
    )
    assert confirming.harness.booking(booking_id).status == "confirmed"
    assert confirming.harness.notification_kinds() == ["created", "created"]


@ON_SQLITE
@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_true_reschedule_that_made_a_new_booking_cancels_the_one_before(
    confirming: Provider, is_deleted: bool
) -> None:
    host = confirming.add_host()
    booking_id, new_id = confirming.book(host), confirming.book(host, 1)
    confirming.deliver_all()
    confirming.meetergo.actions.cancel(booking_id, "moved")
    if is_deleted:
        del confirming.meetergo.appointments[booking_id]
    new = webhook(confirming.meetergo, confirming.meetergo.appointments[new_id])
    confirming.harness.process({"webhookType": "booking_rescheduled", "id": booking_id, "rescheduledAppointment": new})
    booking = confirming.harness.booking(booking_id)
    assert (booking.status, booking.cancel_reason) == ("cancelled", f"moved to {new_id}")
    assert confirming.harness.booking(new_id).status == "confirmed"


@ON_SQLITE
def test_a_cancel_of_a_deleted_booking_is_applied(confirming: Provider) -> None:
    booking_id = confirming.book(confirming.add_host())
    confirming.deliver_all()
    body = cancelled(confirming, booking_id)
    del confirming.meetergo.appointments[booking_id]
    confirming.harness.process(body)
    assert (confirming.harness.booking(booking_id).status, last(confirming).note) == ("cancelled", None)


@ON_SQLITE
def test_a_cancel_before_its_create_is_checked_as_one_of_its_hosts(confirming: Provider) -> None:
    booking_id = confirming.book(confirming.add_host())
    confirming.meetergo.actions.cancel(booking_id)
    confirming.deliver_all()
    assert confirming.harness.booking(booking_id).status == "cancelled"


@ON_SQLITE
def test_hosts_named_only_by_the_cancel_are_not_acted_as(confirming: Provider) -> None:
    """They do not see the booking, and what no user sees would count as deleted."""
    booking_id = confirming.book(confirming.add_host(1))
    confirming.deliver_all()
    other = confirming.add_host(2)
    confirming.harness.process(cancelled(confirming, booking_id, hostIds=[other["userId"]]))
    assert (confirming.harness.booking(booking_id).status, last(confirming).note) == ("confirmed", NOT_CANCELLED)


@ON_SQLITE
def test_a_configured_admin_is_acted_as_first(open_provider: Callable[..., Provider], confirming: Provider) -> None:
    provider = open_provider(meetergo_api_user=confirming.meetergo.company.admin_id)
    booking_id = provider.book(provider.add_host())
    provider.harness.process(cancelled(provider, booking_id, hostIds=[], hosts=[]))
    assert (last(provider).status, last(provider).note) == ("done", NOT_CANCELLED)


@ON_SQLITE
def test_without_a_configured_admin_the_companys_owner_is_acted_as_and_looked_up_once(confirming: Provider) -> None:
    for number in range(2):
        booking_id = confirming.book(confirming.add_host(number))
        confirming.harness.process(cancelled(confirming, booking_id, hostIds=[], hosts=[]))
        assert (last(confirming).status, last(confirming).note) == ("done", NOT_CANCELLED)
    assert confirming.meetergo.requests[ME] == 1


@ON_SQLITE
def test_a_booking_not_visible_to_hosts_does_not_count_as_deleted(confirming: Provider) -> None:
    """It may have been reassigned to another host."""
    booking_id = confirming.book(confirming.add_host())
    confirming.deliver_all()
    confirming.meetergo.inject_faults(ME, FORBIDDEN)
    body = cancelled(confirming, booking_id)
    del confirming.meetergo.appointments[booking_id]
    confirming.harness.process(body)
    assert (last(confirming).status, confirming.harness.booking(booking_id).status) == ("pending", "confirmed")
    assert "set MEETERGO_API_USER" in last(confirming).last_error


@ON_SQLITE
@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_failed_look_up_of_the_owner_is_not_remembered(status: int, confirming: Provider) -> None:
    booking_id = confirming.book(confirming.add_host())
    confirming.deliver_all()
    body = cancelled(confirming, booking_id)
    del confirming.meetergo.appointments[booking_id]
    confirming.meetergo.inject_faults(ME, InjectedAnswer(status))
    confirming.harness.process(body)
    assert last(confirming).status == "pending"
    with confirming.harness.services.database.transaction() as session:
        session.get_one(Delivery, last(confirming).id).replay(datetime.now(UTC))
    confirming.harness.process_due()
    assert (confirming.harness.booking(booking_id).status, last(confirming).status) == ("cancelled", "done")


@ON_SQLITE
def test_a_malformed_host_is_not_acted_as(confirming: Provider) -> None:
    booking_id = confirming.book(confirming.add_host())
    confirming.meetergo.actions.cancel(booking_id)
    confirming.harness.process(cancelled(confirming, booking_id, hostIds=["who?"], hosts=[]))
    assert (last(confirming).status, confirming.harness.booking(booking_id).status) == ("done", "cancelled")


@ON_SQLITE
def test_a_response_without_the_cancelled_flag_is_no_confirmation(confirming: Provider) -> None:
    booking_id = confirming.book(confirming.add_host())
    confirming.deliver_all()
    body = cancelled(confirming, booking_id)
    confirming.meetergo.inject_faults(ONE, InjectedAnswer(200, json.dumps({"id": booking_id}).encode()))
    confirming.harness.process(body)
    assert (last(confirming).status, last(confirming).note) == ("pending", None)
    assert "does not say" in last(confirming).last_error


@ON_SQLITE
def test_a_response_about_another_booking_is_no_confirmation(confirming: Provider) -> None:
    host = confirming.add_host()
    booking_id, other = confirming.book(host), confirming.book(host, 1)
    confirming.deliver_all()
    record = webhook(confirming.meetergo, confirming.meetergo.appointments[other], isCancelled=True)
    confirming.meetergo.inject_faults(ONE, InjectedAnswer(200, json.dumps(record).encode()))
    confirming.harness.process(cancelled(confirming, booking_id))
    assert [confirming.harness.booking(each).status for each in (booking_id, other)] == ["confirmed", "confirmed"]
    assert last(confirming).status == "pending"
    assert "it is another appointment" in last(confirming).last_error


def test_while_meetergo_does_not_respond_only_one_cancel_asks(confirming: Provider) -> None:
    booked = [confirming.book(confirming.add_host(number)) for number in range(3)]
    confirming.deliver_all()
    confirming.meetergo.faults = FaultPlan(fail=1)
    confirming.harness.deliver(*(cancelled(confirming, one) for one in booked))
    confirming.harness.process_due()
    assert confirming.meetergo.requests.total() == 1
    waiting = [row for row in confirming.harness.all(Delivery) if row.status == "pending"]
    assert ["a moment ago" in row.last_error for row in waiting].count(True) == 2


@pytest.mark.parametrize("quick", [InjectedAnswer(429, b""), InjectedAnswer(200, b"not json")])
def test_a_quick_rejection_delays_no_other_cancel(confirming: Provider, quick: InjectedAnswer) -> None:
    booked = [confirming.book(confirming.add_host(number)) for number in range(2)]
    confirming.deliver_all()
    confirming.meetergo.inject_faults(ONE, quick)
    confirming.harness.deliver(*(cancelled(confirming, one) for one in booked))
    confirming.harness.process_due()
    assert sorted(row.status for row in confirming.harness.all(Delivery)) == ["done", "done", "done", "pending"]


@ON_SQLITE
def test_the_worker_does_not_wait_for_the_rate_limiter(open_provider: Callable[..., Provider]) -> None:
    provider = open_provider(meetergo_api_per_minute="1")
    booking_id = provider.book(provider.add_host())
    provider.deliver_all()
    provider.harness.process(cancelled(provider, booking_id))
    row = last(provider)
    assert (row.status, row.due_at > datetime.now(UTC) + timedelta(seconds=20)) == ("pending", True)
    assert "limit of requests per minute is exhausted" in row.last_error


@ON_SQLITE
def test_a_cancel_without_a_known_host_waits_until_one_is_known(confirming: Provider) -> None:
    confirming.meetergo.inject_faults(ME, FORBIDDEN)
    booking_id = confirming.book(confirming.add_host())
    confirming.harness.process(cancelled(confirming, booking_id, hostIds=[], hosts=[]))
    assert (last(confirming).status, confirming.harness.all(Booking)) == ("pending", [])
    assert "set MEETERGO_API_USER" in last(confirming).last_error


@pytest.mark.parametrize("act", ["fail", "rate_limit", "drop_connection"])
def test_while_meetergo_does_not_answer_the_cancel_waits(confirming: Provider, act: str) -> None:
    booking_id = confirming.book(confirming.add_host())
    confirming.deliver_all()
    confirming.meetergo.inject_faults(ONE, act)
    confirming.harness.process(cancelled(confirming, booking_id))
    row = last(confirming)
    assert (row.status, confirming.harness.booking(booking_id).status) == ("pending", "confirmed")
    assert "not confirmed yet" in row.last_error


@ON_SQLITE
def test_it_waits_as_long_as_retry_after_says(confirming: Provider) -> None:
    booking_id = confirming.book(confirming.add_host())
    confirming.deliver_all()
    confirming.meetergo.inject_faults(ONE, InjectedAnswer(429, b"", {"Retry-After": "1800"}))
    confirming.harness.process(cancelled(confirming, booking_id))
    assert last(confirming).due_at - datetime.now(UTC) > timedelta(minutes=29)


@ON_SQLITE
def test_an_expired_key_loses_no_cancel(confirming: Provider) -> None:
    booking_id = confirming.book(confirming.add_host())
    confirming.deliver_all()
    confirming.meetergo.expire(confirming.meetergo.key)
    confirming.harness.process(cancelled(confirming, booking_id))
    assert last(confirming).status == "pending"
    assert "make a new key" in last(confirming).last_error


def test_the_batch_leaves_a_cancel_for_later_and_asks_nothing(confirming: Provider) -> None:
    booking_id = confirming.book(confirming.add_host())
    confirming.deliver_all()
    confirming.harness.deliver(cancelled(confirming, booking_id))
    assert confirming.harness.services.inbox.process_due()
    assert confirming.meetergo.requests[ONE] == 0
    row = last(confirming)
    assert (row.status, row.is_isolated, row.last_error, row.event) == ("pending", True, None, "booking_cancelled")
    confirming.harness.process_due()
    assert last(confirming).status == "done"


def test_between_two_questions_new_deliveries_are_handled(
    confirming: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    booked = [confirming.book(confirming.add_host(number)) for number in range(3)]
    confirming.deliver_all()
    confirming.harness.deliver(*(cancelled(confirming, one) for one in booked))
    asked: list[set[str]] = []

    def verify(check: CancelCheck, *_: object) -> CheckResult:
        asked.append({row.status for row in confirming.harness.all(Delivery) if row.event == "form_submission"})
        confirming.harness.deliver({"webhookType": "form_submission", "id": str(len(asked))})
        return CheckResult(Transient("no answer"))

    monkeypatch.setattr(CancelCheck, "verify", verify)
    confirming.harness.process_due()
    assert asked == [set(), {"done"}, {"done"}]


def test_while_one_worker_asks_no_other_does_and_no_lock_is_held(
    confirming: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    booking_id = confirming.book(confirming.add_host())
    confirming.deliver_all()
    confirming.harness.deliver(cancelled(confirming, booking_id))
    inbox, asked = confirming.harness.services.inbox, []

    def verify(check: CancelCheck, *_: object) -> CheckResult:
        asked.append(last(confirming).due_at > datetime.now(UTC) + timedelta(seconds=30))
        replace(inbox, worker="another").process_due()
        with confirming.harness.services.database.transaction() as session:
            session.get_one(Delivery, last(confirming).id, with_for_update={"nowait": True}).replay(datetime.now(UTC))
        return CheckResult(Transient("no answer"))

    monkeypatch.setattr(CancelCheck, "verify", verify)
    for _ in range(2):
        inbox.process_due()
    assert asked == [True]
    assert last(confirming).attempts == 0, "an operator replayed it meanwhile, so the answer does not count"


@pytest.mark.parametrize("error", [None, OSError("a bug")])
def test_a_worker_that_asks_has_a_claim_so_that_its_death_counts(
    confirming: Provider, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    booking_id = confirming.book(confirming.add_host())
    confirming.deliver_all()
    confirming.harness.deliver(cancelled(confirming, booking_id))
    claimed: list[list[str]] = []

    def row_ids_of_claims() -> list[list[str]]:
        with confirming.harness.services.database.read_only() as session:
            return list(session.scalars(select(Claim.row_ids)))

    def verify(check: CancelCheck, *_: object) -> CheckResult:
        claimed.extend(row_ids_of_claims())
        if error:
            raise error
        return CheckResult(Transient("no answer"))

    monkeypatch.setattr(CancelCheck, "verify", verify)
    confirming.harness.process_due()
    assert claimed == [[last(confirming).id]]
    assert row_ids_of_claims() == []


@ON_SQLITE
def test_only_cancels_need_confirmation(confirming: Provider) -> None:
    host = confirming.add_host()
    confirming.share(host)
    booking_id = confirming.book(host)
    confirming.meetergo.actions.book(host["meetingTypeId"], free_start(), "second@example.com")
    confirming.deliver_all()
    record = confirming.meetergo.appointments[booking_id]
    confirming.meetergo.actions.leave(booking_id, record["attendeeIds"][0])
    confirming.harness.process(webhook(confirming.meetergo, record, webhookType="booking_cancelled"))
    assert confirming.harness.notification_kinds() == ["created", "attendee_left"]
    assert confirming.meetergo.requests[ONE] == 0


@ON_SQLITE
def test_a_cancel_read_by_reconcile_is_not_checked_again(confirming: Provider) -> None:
    booking_id = confirming.book(confirming.add_host())
    confirming.deliver_all()
    confirming.meetergo.actions.cancel(booking_id)
    confirming.reconcile()
    assert confirming.harness.booking(booking_id).status == "cancelled"
    assert confirming.meetergo.requests[ONE] == 0


def test_without_the_setting_a_cancel_is_applied_at_once(open_provider: Callable[..., Provider]) -> None:
    provider = open_provider(confirm_cancels="false")
    booking_id = provider.book(provider.add_host())
    provider.deliver_all()
    provider.harness.process(cancelled(provider, booking_id))
    assert provider.harness.booking(booking_id).status == "cancelled"
    assert provider.meetergo.requests[ONE] == 0


@ON_SQLITE
def test_the_setting_without_a_key_is_an_error_at_start(
    open_harness: Callable[..., Harness], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        open_harness(confirm_cancels="true", meetergo_api_key="")
    assert "MEETERGO_API_KEY is not set, and CONFIRM_CANCELS asks for it" in capsys.readouterr().err


@ON_SQLITE
def test_a_token_cannot_act_as_another_user(
    confirming: Provider, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEETERGO_API_KEY", confirming.meetergo.token)
    monkeypatch.setenv("MEETERGO_API_USER", confirming.meetergo.company.admin_id)
    settings = WorkerSettings.load()
    with pytest.raises(SystemExit):
        exit_on_bad_setting(lambda: build_services(settings))
    assert "MEETERGO_API_USER: a personal access token acts only as its owner" in capsys.readouterr().err


def test_bookings_converge_in_any_order_of_cancels_and_checks(
    open_provider: Callable[..., Provider], monkeypatch: pytest.MonkeyPatch
) -> None:
    """True and forged cancels, repeated and reversed: in the end each row agrees with meetergo."""
    monkeypatch.setattr("worker.inbox.cancel_check.COOLDOWN", timedelta(0))
    confirming = open_provider()
    host = confirming.add_host()
    booked = [confirming.book(host, number) for number in range(6)]
    created = [webhook(confirming.meetergo, confirming.meetergo.appointments[one]) for one in booked]
    made_up = [cancelled(confirming, one) for one in booked]
    for one in booked[:3]:
        confirming.meetergo.actions.cancel(one)
    confirming.meetergo.actions.revive(booked[0])
    true = [webhook(confirming.meetergo, confirming.meetergo.appointments[one]) for one in booked]
    confirming.meetergo.faults = FaultPlan(seed=5, fail=0.3)
    for bodies in (made_up[::-1], true[::2], created, true[::-1], made_up):
        confirming.harness.deliver(*bodies)
        confirming.harness.process_due()
    confirming.meetergo.faults = FaultPlan()
    with confirming.harness.services.database.transaction() as session:
        session.execute(update(Delivery).values(due_at=datetime.now(UTC)))
    confirming.harness.process_due()
    assert {row.status for row in confirming.harness.all(Delivery)} == {"done"}
    shown = {row.id: row.status == "cancelled" for row in confirming.harness.all(Booking)}
    assert shown == {key: one["isCancelled"] for key, one in confirming.meetergo.appointments.items()}
