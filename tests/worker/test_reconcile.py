"""Reconcile finds every kind of drift from the sandbox, repairs it with deliveries, and leaves the rest unchanged."""

from datetime import timedelta
from typing import Any

import pytest

from devtools.sandbox.faults.injector import InjectedAnswer
from devtools.sandbox.faults.plan import FaultPlan
from models.booking import Booking
from models.delivery import Delivery
from models.platform_user import PlatformUser
from models.reconciliation import ReconcileCursor, Reconciliation
from runtime.errors import Permanent
from tests.console.cli import ON_SQLITE
from tests.worker.provider import GUEST, LISTS, ME, ONE, Provider, free_start, webhook
from worker.reconcile.runner import LOCK_NAME, exclusive
from worker.reconcile.synthetic_delivery import CONSISTENCY_DELAY

FORBIDDEN = InjectedAnswer(403, b'{"statusCode":403,"message":"Forbidden"}')


def statuses(provider: Provider) -> dict[str, str]:
    return {row.id: row.status for row in provider.harness.all(Booking)}


def record(provider: Provider, booking_id: str) -> dict[str, Any]:
    return provider.meetergo.appointments[booking_id]


def kinds(provider: Provider, **how: Any) -> list[str]:
    return [drift.kind for drift in provider.reconcile(**how).drifts]


def test_a_missed_create_becomes_a_booking_with_owner_and_notification(provider: Provider) -> None:
    host = provider.add_host()
    booking_id = provider.book(host)
    assert kinds(provider) == ["missed"]
    booking = provider.harness.booking(booking_id)
    assert (booking.status, booking.starts_at) == ("confirmed", free_start())
    assert booking.platform_user_id == provider.harness.all(PlatformUser)[0].id
    assert (booking.meeting_name, booking.meeting_link) == (
        "30min Meeting",
        record(provider, booking_id)["hostingInfo"]["meetingLink"],
    )
    assert [person["email"] for person in booking.attendees] == [GUEST]
    assert provider.harness.notification_kinds() == ["created"]
    assert [(row.event, row.status) for row in provider.reconciled()] == [("booking_created", "done")]


def test_a_missed_reschedule_is_repaired_and_notifies(provider: Provider) -> None:
    booking_id = provider.book(provider.add_host())
    provider.deliver_all()
    provider.meetergo.actions.reschedule(booking_id, free_start(3))
    assert kinds(provider) == ["changed"]
    assert provider.harness.booking(booking_id).starts_at == free_start(3)
    assert [row.event for row in provider.reconciled()] == ["booking_rescheduled"]
    assert provider.harness.notification_kinds() == ["created", "rescheduled"]


def test_a_missed_cancel_is_repaired_and_notifies(provider: Provider) -> None:
    booking_id = provider.book(provider.add_host())
    provider.deliver_all()
    provider.meetergo.actions.cancel(booking_id, "Schedule conflict")
    assert kinds(provider) == ["cancelled"]
    booking = provider.harness.booking(booking_id)
    assert (booking.status, booking.cancel_reason, booking.cancelled_by) == (
        "cancelled",
        "Schedule conflict",
        "attendee",
    )
    assert [row.event for row in provider.reconciled()] == ["booking_cancelled"]
    assert provider.harness.notification_kinds() == ["created", "cancelled"]


def test_guests_who_joined_and_left_are_found(provider: Provider) -> None:
    host = provider.add_host()
    provider.share(host)
    booking_id = provider.book(host)
    provider.deliver_all()
    provider.meetergo.actions.book(host["meetingTypeId"], free_start(), "second@example.com")
    assert kinds(provider) == ["changed"]
    assert [person["email"] for person in provider.harness.booking(booking_id).attendees] == [
        GUEST,
        "second@example.com",
    ]
    provider.meetergo.actions.leave(booking_id, record(provider, booking_id)["attendeeIds"][0])
    assert kinds(provider) == ["changed"]
    assert [person["email"] for person in provider.harness.booking(booking_id).attendees] == ["second@example.com"]
    assert provider.harness.notification_kinds() == ["created", "attendee_left"]


def test_a_booking_revived_at_the_provider_is_confirmed_again(provider: Provider) -> None:
    booking_id = provider.book(provider.add_host())
    provider.meetergo.actions.cancel(booking_id, "Schedule conflict")
    provider.deliver_all()
    provider.meetergo.actions.revive(booking_id)
    assert kinds(provider) == ["revived"]
    booking = provider.harness.booking(booking_id)
    assert (booking.status, booking.cancel_reason, booking.cancelled_by) == ("confirmed", None, None)
    assert provider.harness.notification_kinds() == ["cancelled", "created"]


def test_a_booking_moved_out_of_the_window_is_looked_up(provider: Provider) -> None:
    host = provider.add_host()
    booking_id = provider.book(host)
    provider.deliver_all()
    provider.reconcile()
    moved = record(provider, booking_id)
    moved["start"], moved["end"] = ((free_start() + timedelta(days=-20, minutes=more)).isoformat() for more in (0, 30))
    moved["updatedAt"] = provider.clock().isoformat()
    assert kinds(provider) == ["changed"]
    assert provider.harness.booking(booking_id).starts_at == free_start() - timedelta(days=20)
    assert provider.meetergo.requests[ONE] == 1


def test_a_booking_unknown_to_meetergo_is_reported_and_unchanged(provider: Provider) -> None:
    booking_id = provider.book(provider.add_host())
    provider.deliver_all()
    del provider.meetergo.appointments[booking_id]
    report = provider.reconcile()
    assert (report.unknown, report.drifts, report.is_clean) == ([booking_id], [], False)
    assert statuses(provider) == {booking_id: "confirmed"}
    assert [row.unknown for row in provider.harness.all(Reconciliation)] == [1]


def test_an_undisturbed_system_gets_no_delivery_and_costs_one_call_for_each_host(provider: Provider) -> None:
    for number in range(1, 4):
        host = provider.add_host(number)
        provider.share(host)
        booking_ids = [provider.book(host, hour) for hour in range(3)]
        provider.meetergo.actions.book(host["meetingTypeId"], free_start(1), "second@example.com")
        provider.meetergo.actions.cancel(booking_ids[2])
    provider.deliver_all()
    notifications = provider.harness.notification_kinds()
    report = provider.reconcile()
    assert (report.hosts, report.appointments, report.drifts, report.is_clean) == (4, 9, [], True)
    assert provider.reconciled() == []
    assert provider.harness.notification_kinds() == notifications
    assert dict(provider.meetergo.requests) == {LISTS: 4, ME: 1}
    for made in list(provider.meetergo.appointments.values())[::3]:
        made["createdAt"] = "2024-01-14T15:30:00.000Z"
    assert kinds(provider) == []
    assert dict(provider.meetergo.requests) == {LISTS: 8, ME: 2}


def test_a_second_run_finds_nothing(provider: Provider) -> None:
    host = provider.add_host()
    booked = [provider.book(host, hour) for hour in range(4)]
    provider.deliver_all()
    provider.meetergo.actions.reschedule(booked[0], free_start(7))
    provider.meetergo.actions.cancel(booked[1])
    provider.book(host, 5)
    assert sorted(kinds(provider)) == ["cancelled", "changed", "missed"]
    before = provider.harness.notification_kinds()
    assert kinds(provider) == []
    assert (len(provider.reconciled()), provider.harness.notification_kinds()) == (3, before)


@ON_SQLITE
def test_all_pages_are_read(provider: Provider) -> None:
    host = provider.add_host()
    booked = {provider.book(host, number) for number in range(215)}
    report = provider.reconciler().run()
    assert {drift.booking_id for drift in report.drifts} == booked
    assert (report.appointments, len(provider.reconciled())) == (215, 215)
    assert dict(provider.meetergo.requests) == {LISTS: 3 + 1, ME: 1}


@ON_SQLITE
def test_a_long_list_is_read_newest_first_and_then_swept_for_changes(provider: Provider) -> None:
    host = provider.add_host()
    old, *_ = [provider.book(host, number) for number in range(105)]
    for made in provider.meetergo.appointments.values():
        made["createdAt"] = "2024-01-14T15:30:00.000Z"
    provider.reconcile()
    new = provider.book(host, 130)
    provider.reconcile()
    provider.meetergo.actions.cancel(old)
    newest = [provider.book(host, number) for number in range(140, 142)]
    for booking_id in (new, *newest):
        record(provider, booking_id)["createdAt"] = provider.clock().isoformat()
    provider.meetergo.requests.clear()
    assert sorted(kinds(provider)) == ["cancelled", "missed", "missed"]
    assert dict(provider.meetergo.requests) == {LISTS: 1 + 2 + 1, ME: 1}


def test_the_next_run_looks_back_to_where_the_last_one_was(provider: Provider) -> None:
    """Nothing ran for three days: bookings made, held and moved meanwhile are found."""
    host = provider.add_host()
    provider.reconcile()
    booking_id = provider.book(host, 0)
    provider.ahead = free_start() - provider.clock() + timedelta(days=3)
    assert kinds(provider) == ["missed"]
    assert statuses(provider) == {booking_id: "confirmed"}


@ON_SQLITE
def test_a_host_who_cannot_be_read_delays_no_other(provider: Provider) -> None:
    hosts = [provider.add_host(number) for number in (1, 2, 3)]
    del provider.meetergo.users[hosts[0]["userId"]]
    provider.harness.add_user(external_id="4")
    provider.harness.add_user(external_id="5", meetergo_user_id="not an id")
    booking_id = provider.book(hosts[2])
    report = provider.reconcile()
    assert [unread.what for unread in report.read_errors] == ["host 1", "host 5"]
    assert (report.hosts, report.unmapped, report.is_clean) == (3, 1, False)
    assert statuses(provider) == {booking_id: "confirmed"}
    assert "host 1" in provider.harness.all(Reconciliation)[0].error


def test_a_host_who_always_fails_does_not_starve_the_others(provider: Provider) -> None:
    provider.add_host(1)
    booking_id = provider.book(provider.add_host(2))
    provider.meetergo.inject_faults(LISTS, *["fail"] * 3)
    report = provider.reconcile()
    assert (len(report.read_errors), report.hosts) == (1, 2)
    assert statuses(provider) == {booking_id: "confirmed"}


@ON_SQLITE
def test_a_401_about_one_host_does_not_end_the_run(provider: Provider) -> None:
    """No document says how meetergo answers a key that acts as a deleted user."""
    provider.add_host(1)
    booking_id = provider.book(provider.add_host(2))
    provider.meetergo.inject_faults(LISTS, InjectedAnswer(401, b'{"message": "Unauthorized"}'))
    report = provider.reconcile()
    assert ([unread.what for unread in report.read_errors], report.hosts, report.stopped) == (["host 1"], 2, None)
    assert "`users sync` says whether" in report.read_errors[0].reason
    assert statuses(provider) == {booking_id: "confirmed"}


@ON_SQLITE
@pytest.mark.parametrize("answer", [InjectedAnswer(429), InjectedAnswer(500), InjectedAnswer(302)])
def test_a_401_about_one_host_blames_no_key_that_meetergo_does_not_answer(
    provider: Provider, answer: InjectedAnswer
) -> None:
    provider.add_host(1)
    provider.meetergo.inject_faults(LISTS, InjectedAnswer(401))
    provider.meetergo.inject_faults(ME, None, *[answer] * 3)
    stopped = provider.reconcile().stopped or ""
    assert ("GET /v4/user/me" in stopped, "check the API key" in stopped) == (True, False)


@ON_SQLITE
def test_an_outage_of_one_host_does_not_end_the_run_of_a_key_that_may_not_read_its_own_user(provider: Provider) -> None:
    provider.add_host(1)
    booking_id = provider.book(provider.add_host(2))
    provider.meetergo.inject_faults(ME, FORBIDDEN, FORBIDDEN)
    provider.meetergo.inject_faults(LISTS, *["fail"] * 3)
    report = provider.reconcile()
    assert ([unread.what for unread in report.read_errors], report.hosts, report.stopped) == (["host 1"], 1, None)
    assert statuses(provider) == {booking_id: "confirmed"}


@ON_SQLITE
def test_a_booking_whose_id_meetergo_cannot_have_is_unknown_and_does_not_fail_its_host(provider: Provider) -> None:
    """meetergo answers 500 for an id that is no UUID."""
    known = provider.book(provider.add_host())
    provider.deliver_all()
    provider.harness.process(webhook(provider.meetergo, record(provider, known), id="appt-uuid-12345"))
    report = provider.reconcile()
    assert (report.unknown, report.read_errors, report.hosts) == (["appt-uuid-12345"], [], 2)
    assert provider.meetergo.requests[ONE] == 0


@ON_SQLITE
def test_an_unreadable_answer_about_one_booking_does_not_fail_its_host(provider: Provider) -> None:
    known = provider.book(provider.add_host())
    provider.deliver_all()
    lost = "11111111-1111-4111-8111-111111111111"
    provider.harness.process(webhook(provider.meetergo, record(provider, known), id=lost))
    provider.meetergo.inject_faults(ONE, InjectedAnswer(200, b"<html>"))
    report = provider.reconcile()
    assert ([unread.what for unread in report.read_errors], report.hosts) == ([f"booking {lost}"], 2)


@ON_SQLITE
def test_a_run_stops_and_says_so_when_meetergo_is_down(provider: Provider) -> None:
    for number in range(1, 4):
        provider.add_host(number)
    provider.meetergo.faults = FaultPlan(fail=1)
    report = provider.reconcile()
    assert report.stopped is not None
    assert (report.left, report.read_errors) == (3, [])


@ON_SQLITE
@pytest.mark.parametrize("kind", ["platform", "personal"])
def test_an_expired_key_ends_the_run_with_one_error(provider: Provider, kind: str) -> None:
    provider.add_host(1)
    provider.add_host(2)
    key = provider.meetergo.key if kind == "platform" else provider.meetergo.token
    provider.meetergo.expire(key)
    report = provider.reconcile(key=key)
    assert report.stopped is not None
    assert "make a new key" in report.stopped
    assert provider.meetergo.requests.total() == 1
    assert provider.harness.all(Reconciliation)[0].error == report.stopped


@ON_SQLITE
def test_a_run_waits_after_a_429(provider: Provider) -> None:
    booking_id = provider.book(provider.add_host())
    provider.meetergo.inject_faults(LISTS, "rate_limit", "rate_limit")
    assert provider.reconcile().is_clean
    assert statuses(provider) == {booking_id: "confirmed"}


@ON_SQLITE
def test_an_admins_token_reads_all_hosts_and_its_owner(provider: Provider) -> None:
    meetergo = provider.meetergo
    booking_id = provider.book(provider.add_host())
    own_type = next(
        item["id"] for item in meetergo.meeting_types.values() if item["userId"] == meetergo.company.admin_id
    )
    own = meetergo.actions.book(own_type, free_start(), GUEST)["appointmentId"]
    report = provider.reconcile(key=meetergo.token)
    assert report.is_clean
    assert set(statuses(provider)) == {booking_id, own}
    assert report.hosts == 2


@ON_SQLITE
def test_a_platform_key_with_a_user_reads_that_users_appointments_too(provider: Provider) -> None:
    admin = provider.meetergo.company.admin_id
    own_type = next(item["id"] for item in provider.meetergo.meeting_types.values() if item["userId"] == admin)
    own = provider.meetergo.actions.book(own_type, free_start(), GUEST)["appointmentId"]
    assert kinds(provider, user_id=admin) == ["missed"]
    assert set(statuses(provider)) == {own}


def test_a_booking_that_went_to_another_host_is_found(provider: Provider) -> None:
    first, second = provider.add_host(1), provider.add_host(2)
    booking_id = provider.book(first)
    provider.deliver_all()
    given = record(provider, booking_id)
    given["hostIds"], given["updatedAt"] = [second["userId"]], provider.clock().isoformat()
    report = provider.reconcile(user_id=provider.meetergo.company.admin_id)
    assert ([drift.kind for drift in report.drifts], report.is_clean) == (["changed"], True)
    assert provider.harness.booking(booking_id).host_ids == [second["userId"]]


@ON_SQLITE
def test_without_a_user_a_platform_key_acts_as_the_companys_owner(provider: Provider) -> None:
    first, second = provider.add_host(1), provider.add_host(2)
    booking_id = provider.book(first)
    provider.deliver_all()
    given = record(provider, booking_id)
    given["hostIds"], given["updatedAt"] = [second["userId"]], provider.clock().isoformat()
    assert kinds(provider, only="1") == ["changed"]
    assert dict(provider.meetergo.requests) == {LISTS: 1, ME: 1, ONE: 2}
    own_type = next(
        item["id"]
        for item in provider.meetergo.meeting_types.values()
        if item["userId"] == provider.meetergo.company.admin_id
    )
    own = provider.meetergo.actions.book(own_type, free_start(), GUEST)["appointmentId"]
    assert kinds(provider) == ["missed"]
    assert own in statuses(provider)


@ON_SQLITE
def test_a_key_that_may_not_read_its_own_user_still_reads_the_hosts(provider: Provider) -> None:
    booking_id = provider.book(provider.add_host())
    provider.meetergo.inject_faults(ME, FORBIDDEN)
    report = provider.reconcile()
    assert (report.hosts, report.is_clean) == (1, True)
    assert statuses(provider) == {booking_id: "confirmed"}


def test_a_booking_that_went_to_another_host_is_found_by_that_hosts_list(provider: Provider) -> None:
    """No user who sees all bookings is known, and the former host no longer sees this one."""
    provider.meetergo.inject_faults(ME, FORBIDDEN)
    first, second = provider.add_host(1), provider.add_host(2)
    booking_id = provider.book(first)
    provider.deliver_all()
    given = record(provider, booking_id)
    given["hostIds"], given["updatedAt"] = [second["userId"]], provider.clock().isoformat()
    report = provider.reconcile()
    assert ([drift.kind for drift in report.drifts], report.is_clean) == (["changed"], True)
    assert provider.harness.booking(booking_id).host_ids == [second["userId"]]


def test_a_dry_run_beside_another_run_reports_differences_and_writes_nothing(provider: Provider) -> None:
    host = provider.add_host()
    known = provider.book(host)
    provider.deliver_all()
    provider.meetergo.actions.reschedule(known, free_start(3))
    missed = provider.book(host, 5)
    deliveries = len(provider.harness.all(Delivery))
    with exclusive(provider.harness.services.job_queue.redis, LOCK_NAME):
        drifts = {drift.booking_id: drift for drift in provider.reconcile(is_dry=True).drifts}
    assert {name: drift.kind for name, drift in drifts.items()} == {known: "changed", missed: "missed"}
    assert drifts[known].columns["starts_at"] == (free_start().isoformat(), free_start(3).isoformat())
    assert len(provider.harness.all(Delivery)) == deliveries
    with provider.harness.services.database.read_only() as session:
        assert (session.query(ReconcileCursor).all(), session.query(Reconciliation).all()) == ([], [])


@ON_SQLITE
def test_one_host_can_be_chosen(provider: Provider) -> None:
    provider.book(provider.add_host(1))
    chosen = provider.book(provider.add_host(2))
    assert provider.reconcile(only="2").hosts == 1
    assert set(statuses(provider)) == {chosen}


def test_the_run_is_recorded(provider: Provider) -> None:
    provider.book(provider.add_host())
    provider.reconcile()
    row = provider.harness.all(Reconciliation)[0]
    assert (row.hosts, row.appointments, row.missed, row.changed, row.error) == (2, 1, 1, 0, None)
    assert row.ended_at >= row.started_at


def test_a_booking_deleted_here_is_restored(provider: Provider) -> None:
    booking_id = provider.book(provider.add_host())
    provider.reconcile()
    with provider.harness.services.database.transaction() as session:
        session.delete(session.get_one(Booking, booking_id))
    assert kinds(provider) == ["missed"]
    assert statuses(provider) == {booking_id: "confirmed"}


def test_a_dead_repair_is_retried(provider: Provider) -> None:
    """The worker could not process it then, and nothing else would retry it."""
    booking_id = provider.book(provider.add_host())
    provider.reconciler().run()
    with provider.harness.services.database.transaction() as session:
        for row in session.query(Delivery):
            row.fail(Permanent("it was broken then"), provider.clock())
    assert kinds(provider) == ["missed"]
    assert statuses(provider) == {booking_id: "confirmed"}
    assert [row.status for row in provider.reconciled()] == ["done"]


def test_drift_that_waits_for_the_worker_is_not_delivered_again(provider: Provider) -> None:
    provider.book(provider.add_host())
    for _ in range(2):
        provider.reconciler().run()
    assert [row.status for row in provider.reconciled()] == ["pending"]


def test_a_false_cancel_holds_until_meetergo_had_time_to_show_it_and_is_then_repaired(provider: Provider) -> None:
    """A cancel without any time has the time received as its version, later than anything that meetergo says."""
    booking_id = provider.book(provider.add_host())
    provider.deliver_all()
    timeless = {"createdAt": None, "updatedAt": None}
    provider.harness.process(webhook(provider.meetergo, record(provider, booking_id), isCancelled=True, **timeless))
    assert kinds(provider) == []
    provider.ahead = CONSISTENCY_DELAY + timedelta(seconds=1)
    assert kinds(provider) == ["revived"]
    assert statuses(provider) == {booking_id: "confirmed"}
    assert kinds(provider) == []


def test_a_booking_whose_last_change_lies_hours_ahead_is_repaired_each_time(provider: Provider) -> None:
    """The second repair has the body of the first, and counts as received when meetergo was asked again."""
    booking_id = provider.book(provider.add_host())
    record(provider, booking_id)["updatedAt"] = (provider.clock() + timedelta(hours=5)).isoformat()
    wrong = webhook(provider.meetergo, record(provider, booking_id), location="Elsewhere")
    assert kinds(provider) == ["missed"]
    provider.harness.process(wrong)
    assert provider.harness.booking(booking_id).location == "Elsewhere"
    provider.ahead = CONSISTENCY_DELAY + timedelta(seconds=1)
    assert kinds(provider) == ["changed"]
    assert provider.harness.booking(booking_id).location != "Elsewhere"
    assert kinds(provider) == []
    assert len(provider.reconciled()) == 1
