"""Several accounts: none sees, changes or delays what is another's, even with the same ids."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from devtools.send import samples
from models.account_cache import AccountsUnknown
from models.booking import Booking
from models.delivery import Delivery, NewDelivery
from models.incident import Incident
from models.notification import Notification
from models.platform_user import PlatformUser
from runtime.bulk import insert_all
from runtime.process.stop_signal import StopEvent
from tests.console.cli import ON_SQLITE
from tests.worker.harness import AT, START, Harness, later, soon
from worker.drain_result import DrainResult
from worker.inbox.processor import BATCH
from worker.maintenance.account_tasks import OBSERVED, AccountRound
from worker.maintenance.alerts import open_alerts
from worker.maintenance.sweeper import link_new_users
from worker.outbox import claimed
from worker.settings import AlertSettings, ScheduleSettings

WAITING = 1_000


@pytest.fixture
def two(harness: Harness) -> Harness:
    """The account `default`, and `acme`."""
    harness.add_account("acme")
    return harness


def statuses(harness: Harness) -> dict[str, tuple[str, datetime | None]]:
    return {row.id: (row.status, row.starts_at) for row in harness.all(Booking)}


def test_the_same_bytes_make_a_booking_in_each_account(two: Harness) -> None:
    body = samples.created("b1", START, AT)
    for account in ("default", "acme", "default", "acme"):
        two.process(body, account=account)
    assert {(row.account, row.booking_id, row.status) for row in two.all(Delivery)} == {
        ("default", "b1", "done"),
        ("acme", "acme:b1", "done"),
    }
    assert [(row.id, row.account) for row in two.all(Booking)] == [("acme:b1", "acme"), ("b1", "default")]
    assert {(row.booking_id, row.account, row.revision) for row in two.changes()} == {
        ("b1", "default", 1),
        ("acme:b1", "acme", 1),
    }
    assert {(row.booking_id, row.account) for row in two.all(Notification)} == {("b1", "default"), ("acme:b1", "acme")}


def test_bookings_of_the_same_ids_converge_in_every_order(two: Harness) -> None:
    """The account `default` cancels each booking; `acme` moves it, to a later and to a new booking."""
    orders = list(permutations(range(4)))
    for step in range(4):
        for number, order in enumerate(orders):
            body, account = _events(f"b{number}")[order[step]]
            two.deliver(body, account=account)
        two.process_due()
    moved = soon(90)
    for number in range(len(orders)):
        found = {row.id: row for row in two.all(Booking) if row.id.endswith((f"b{number}", f"b{number}-new"))}
        assert {key: (row.status, row.starts_at, row.cancel_reason) for key, row in found.items()} == {
            f"b{number}": ("cancelled", START, "Schedule conflict"),
            f"acme:b{number}": ("cancelled", START, f"moved to acme:b{number}-new"),
            f"acme:b{number}-new": ("confirmed", moved, None),
        }


def _events(booking_id: str) -> list[tuple[dict[str, Any], str]]:
    moved = samples.rescheduled(f"{booking_id}-new", soon(90), later(5), START)
    moved["data"]["id"] = booking_id
    return [
        (samples.created(booking_id, START, AT), "default"),
        (samples.cancelled(booking_id, START, later(9)), "default"),
        (samples.created(booking_id, START, AT), "acme"),
        (moved, "acme"),
    ]


def test_a_host_is_found_in_its_own_account_only(two: Harness) -> None:
    own = two.add_user(meetergo_user_id=samples.HOST_ID)
    other = two.add_user(external_id="2", meetergo_user_id=samples.HOST_ID, account="acme")
    two.process(samples.created("b1", START, AT))
    two.process(samples.created("b1", START, AT), account="acme")
    assert {row.id: row.platform_user_id for row in two.all(Booking)} == {"b1": own.id, "acme:b1": other.id}


def test_a_host_who_is_mapped_later_gets_the_bookings_of_the_own_account_only(two: Harness) -> None:
    for account in ("default", "acme"):
        two.process(samples.created("b1", START, AT), account=account)
    other = two.add_user(meetergo_user_id=samples.HOST_ID, account="acme", meetergo_meeting_type_id="sample-type")
    link_new_users(two.services, datetime.now(UTC))
    assert {row.id: row.platform_user_id for row in two.all(Booking)} == {"b1": None, "acme:b1": other.id}


@pytest.mark.parametrize("is_user_first", [True, False])
def test_an_employee_is_linked_in_the_own_account_only(two: Harness, is_user_first: bool) -> None:
    body = {"webhookType": "new_employee", "id": "host-7", "email": "Host@example.com"}

    def join() -> None:
        for account in ("default", "acme"):
            two.process(body, account=account)

    if not is_user_first:
        join()
    two.add_user(email="host@example.com")
    two.add_user(external_id="2", email="host@example.com", account="acme")
    if is_user_first:
        join()
    link_new_users(two.services, datetime.now(UTC))
    assert [(row.account, row.meetergo_user_id) for row in two.all(PlatformUser)] == [
        ("default", "host-7"),
        ("acme", "host-7"),
    ]


@ON_SQLITE
def test_a_body_of_another_accounts_company_is_refused(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness(meetergo_company_id="sample-company")
    harness.add_account("acme", company_id="acme-company")
    harness.process(samples.created("b1", START, AT), account="acme")
    harness.process(samples.created("b1", START, AT, companyId="acme-company"))
    assert [row.id for row in harness.all(Booking)] == []
    assert {row.account: row.last_error for row in harness.all(Delivery)} == {
        "acme": "the body is another company's: its companyId is not that of the account acme",
        "default": "the body is another company's: its companyId is not MEETERGO_COMPANY_ID",
    }


def test_a_delivery_of_an_account_that_was_never_added_can_be_replayed_once_it_is(harness: Harness) -> None:
    (row_id,) = harness.deliver(samples.created("b1", START, AT), account="acme")
    harness.process_due()
    (dead,) = harness.all(Delivery)
    assert (dead.status, dead.last_error) == (
        "dead",
        "there is no account acme: bin/inbox accounts add, then replay it",
    )
    harness.add_account("acme")
    replay(harness, row_id)
    assert harness.booking("acme:b1").status == "confirmed"


def replay(harness: Harness, row_id: str) -> None:
    with harness.services.database.transaction() as session:
        session.get_one(Delivery, row_id).replay(datetime.now(UTC))
    harness.process_due()


def test_replaying_a_delivery_changes_nothing_of_another_account(two: Harness) -> None:
    (row_id,) = two.deliver(samples.created("b1", START, AT), account="acme")
    two.process_due()
    two.process(samples.cancelled("b1", START, later(1)))
    before = {row.id: (row.revision, row.status) for row in two.all(Booking)}
    replay(two, row_id)
    assert {row.id: (row.revision, row.status) for row in two.all(Booking)} == before
    assert before == {"acme:b1": (1, "confirmed"), "b1": (1, "cancelled")}


def test_the_name_that_an_older_receiver_stored_is_that_of_the_default_account(
    open_harness: Callable[..., Harness],
) -> None:
    harness = open_harness(webhook_account="own")
    harness.process(samples.created("b1", START, AT), account="own")
    assert harness.booking("b1").account == "default"


@ON_SQLITE
def test_an_account_has_default_channels_of_its_own(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness(notify_default="log:")
    harness.add_account("acme", channels=["https://acme.example/hook"])
    harness.add_account("quiet", channels=[])
    harness.add_account("plain")
    for account in ("default", "acme", "quiet", "plain"):
        harness.process(samples.created("b1", START, AT), account=account)
    assert {(row.account, row.channel, row.recipient) for row in harness.all(Notification)} == {
        ("default", "log", "log"),
        ("acme", "https", "acme.example"),
        ("plain", "log", "log"),
    }
    planner, services = harness.services.outbox.planner, harness.services
    with services.database.read_only() as session:
        for row in session.scalars(select(Notification)):
            assert planner.channel_for(row, None).name == row.channel


@ON_SQLITE
def test_the_payload_names_the_account(two: Harness) -> None:
    for account in ("default", "acme"):
        two.process(samples.created("b1", START, AT), account=account)
    found = [row.payload["booking"] for row in two.all(Notification)]
    assert [(booking["account"], booking["id"]) for booking in found] == [("default", "b1"), ("acme", "acme:b1")]


def fill_inbox(harness: Harness, account: str, number: int) -> None:
    cipher, at = harness.services.inbox.cipher, datetime.now(UTC) - timedelta(minutes=1)
    with harness.services.database.transaction() as session:
        new = [
            NewDelivery.from_body(b'{"webhookType": "x", "number": %d}' % each, account, at, cipher)
            for each in range(number)
        ]
        Delivery.accept(session, new)


@pytest.mark.parametrize("flooded", ["acme", "default"])
def test_one_accounts_backlog_delays_anothers_delivery_by_a_batch_at_most(two: Harness, flooded: str) -> None:
    two.add_account("zeta")
    fill_inbox(two, flooded, WAITING)
    last = two.deliver(samples.created("b1", START, AT), account="zeta")[0]
    other = two.deliver(samples.created("b2", START, AT), account="default" if flooded == "acme" else "acme")[0]
    inbox = two.services.inbox
    for _ in range(3):
        assert inbox.process_due() is DrainResult.MORE
    with two.services.database.read_only() as session:
        done = set(session.scalars(select(Delivery.id).where(Delivery.status == "done")))
    assert {last, other} <= done
    assert len(done) <= BATCH + 2


def test_failed_deliveries_of_one_account_do_not_take_the_turns_of_its_new_ones(two: Harness) -> None:
    """There are two kinds and two accounts: with a common turn, one would take all of the new, the other the failed."""
    two.add_account("zeta")
    database, at = two.services.database, datetime.now(UTC) - timedelta(minutes=2)
    fill_inbox(two, "zeta", 500)
    with database.transaction() as session:
        session.execute(update(Delivery).values(attempts=1, due_at=at))
    fill_inbox(two, "acme", WAITING)
    new = two.deliver(samples.created("b1", START, AT), account="zeta")[0]
    for _ in range(3):
        two.services.inbox.process_due()
    with database.read_only() as session:
        assert session.get_one(Delivery, new).status == "done"


def test_one_accounts_backlog_of_messages_delays_anothers_by_a_batch_at_most(two: Harness) -> None:
    two.process(samples.created("b1", START, AT), account="acme")
    two.process(samples.created("b1", START, AT))
    with two.services.database.transaction() as session:
        (first,) = session.scalars(select(Notification).where(Notification.account == "acme"))
        columns = {name: getattr(first, name) for name in ("booking_id", "account", "kind", "channel", "payload")}
        at = datetime.now(UTC) - timedelta(minutes=1)
        state = dict(status="pending", attempts=0, due_at=at, created_at=at, fingerprint=first.fingerprint)
        rows = [
            Notification(**columns, **state, key=str(number), recipient=str(number), is_late=False, crashes=0)
            for number in range(claimed.BATCH * 5)
        ]
        for row in rows:
            row.is_isolated = False
        insert_all(session, rows)
    for _ in range(3):
        two.services.outbox.process_due()
    with two.services.database.read_only() as session:
        (own,) = session.scalars(select(Notification).where(Notification.account == "default"))
        waiting = session.scalars(select(Notification.id).where(Notification.status == "pending")).all()
    assert own.status == "done"
    assert len(waiting) >= claimed.BATCH * 2


def test_nothing_of_an_account_goes_to_the_channels_of_another_while_the_accounts_cannot_be_read(
    open_harness: Callable[..., Harness], monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = open_harness(notify_default="log:")
    harness.add_account("acme", channels=["https://acme.example/hook"])
    harness.process(samples.created("b1", START, AT), account="acme")
    user = harness.add_user(meetergo_user_id=samples.HOST_ID, account="acme", email="host@acme.example")
    restarted = open_harness().services

    def fail(*_: object) -> None:
        raise OperationalError("SELECT", {}, Exception("gone"))

    with monkeypatch.context() as broken:
        broken.setattr("models.account.Account.load_all", fail)
        with pytest.raises(AccountsUnknown):
            link_new_users(restarted, datetime.now(UTC))
        restarted.outbox.process_due()
    (row,) = harness.all(Notification)
    assert (row.recipient, row.status, row.last_error) == ("acme.example", "pending", "the accounts cannot be read")
    link_new_users(harness.services, datetime.now(UTC))
    assert harness.booking("acme:b1").platform_user_id == user.id


def test_what_is_wrong_with_an_account_ends_when_it_is_disabled_though_the_scheduler_is_started_again(
    harness: Harness,
) -> None:
    harness.add_account("former", is_active=False)
    services, now = harness.services, datetime.now(UTC)
    with services.database.transaction() as session:
        for kind in OBSERVED:
            Incident.record_state(session, "former", kind, True, [], now, {})
    alerts = open_alerts(AlertSettings.load())
    AccountRound(
        ScheduleSettings.load(), alerts.observed_accounts, services, now, timedelta(minutes=8), StopEvent()
    ).run()
    for passed in (timedelta(0), timedelta(hours=1)):
        alerts.check(services, now + passed)
    with services.database.read_only() as session:
        assert not [row.kind for row in Incident.all_open(session) if row.account == "former"]
