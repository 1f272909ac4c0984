"""CONFIRM with several accounts: each webhook is confirmed with the key of its account, and never with another's."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet

from devtools.sandbox.server import CompanyAccount, Sandbox, sandbox
from models import account_cache
from models.account import Account, booking_key
from models.delivery import Delivery
from tests.console.cli import ON_SQLITE, run_cli
from tests.worker.harness import Harness
from tests.worker.provider import free_start, webhook
from worker.inbox.cancel_check import NOT_CANCELLED

pytestmark = ON_SQLITE
BODY_KEY = Fernet.generate_key().decode()


@pytest.fixture
def meetergo() -> Iterator[Sandbox]:
    with sandbox(companies=2) as stand_in:
        yield stand_in


@pytest.fixture
def acme(meetergo: Sandbox) -> CompanyAccount:
    return meetergo.accounts[1]


@pytest.fixture
def harness(
    open_harness: Callable[..., Harness], meetergo: Sandbox, acme: CompanyAccount, monkeypatch: pytest.MonkeyPatch
) -> Harness:
    monkeypatch.setattr(account_cache, "CACHE_TIME", timedelta(0))
    api = {"meetergo_api_url": meetergo.url, "meetergo_api_key": meetergo.key, "body_keys": BODY_KEY}
    harness = open_harness(confirm="cancels", **api)
    set_key(harness, acme.key)
    return harness


def set_key(harness: Harness, key: str | None) -> None:
    now = datetime.now(UTC)
    with harness.services.database.transaction() as session:
        row = session.get(Account, "acme") or Account(name="acme", is_active=True, created_at=now, updated_at=now)
        row.set_api_key(key, harness.services.inbox.cipher) if key else row.set_api_key_source(None)
        session.add(row)


def book(own: CompanyAccount) -> str:
    host = own.actions.add_host("host@example.com")
    return str(own.actions.book(host["meetingTypeId"], free_start(), "guest@example.com")["appointmentId"])


def deliver(harness: Harness, own: CompanyAccount, booking_id: str, name: str = "acme", **changes: object) -> None:
    record = own.company.appointments[booking_id]
    harness.process(webhook(own, record, **changes), account=name)  # type: ignore[arg-type] # it has a company


def test_a_cancel_is_confirmed_with_the_key_of_its_account(harness: Harness, acme: CompanyAccount) -> None:
    booking_id = book(acme)
    key = booking_key("acme", booking_id)
    deliver(harness, acme, booking_id)
    forged = {"webhookType": "booking_cancelled", "isCancelled": True}
    deliver(harness, acme, booking_id, **forged)
    assert harness.booking(key).status == "confirmed"
    assert [row.note for row in harness.all(Delivery) if row.note] == [NOT_CANCELLED]
    acme.actions.cancel(booking_id)
    deliver(harness, acme, booking_id)
    assert harness.booking(key).status == "cancelled"
    assert {row.id for row in harness.all(type(harness.booking(key)))} == {key}


def test_it_waits_while_the_key_of_its_account_is_refused_or_missing_and_no_other_key_is_tried(
    harness: Harness, meetergo: Sandbox, acme: CompanyAccount
) -> None:
    booking_id, theirs = book(acme), book(meetergo.accounts[0])
    for own, each, name in ((acme, booking_id, "acme"), (meetergo.accounts[0], theirs, "default")):
        deliver(harness, own, each, name)
        own.actions.cancel(each)
    meetergo.expire(acme.key)
    deliver(harness, acme, booking_id)
    deliver(harness, meetergo.accounts[0], theirs, "default")
    key = booking_key("acme", booking_id)
    assert (harness.booking(key).status, harness.booking(theirs).status) == ("confirmed", "cancelled")
    [waiting] = [row for row in harness.all(Delivery) if row.status == "pending"]
    assert "API key has expired" in str(waiting.last_error)

    set_key(harness, None)
    inbox = harness.services.inbox
    later = replace(inbox, clock=lambda: datetime.now(UTC) + timedelta(hours=1))
    while later.process_due():
        pass
    [waiting] = [row for row in harness.all(Delivery) if row.status == "pending"]
    assert waiting.last_error == "the webhook is not confirmed yet: the account acme has no API key"

    set_key(harness, meetergo.new_key(acme.company))
    later = replace(inbox, clock=lambda: datetime.now(UTC) + timedelta(hours=9))
    while later.process_due():
        pass
    assert harness.booking(key).status == "cancelled"
    assert {row.status for row in harness.all(Delivery)} == {"done"}


def test_a_booking_is_refreshed_with_the_key_of_its_account(harness: Harness, acme: CompanyAccount) -> None:
    booking_id = book(acme)
    deliver(harness, acme, booking_id)
    acme.actions.cancel(booking_id)
    key = booking_key("acme", booking_id)
    shown = run_cli("bookings", "refresh", key[:12], "--dry-run")
    assert (shown.exit_code, "would change" in shown.stdout) == (0, True), shown.output
    unknown = book_another(acme)
    shown = run_cli("bookings", "refresh", unknown, "--account", "acme", "--dry-run")
    assert (shown.exit_code, f"booking acme:{unknown}: would change" in shown.stdout) == (0, True), shown.output
    assert run_cli("bookings", "refresh", unknown, "--dry-run").exit_code == 1, "it is no booking of default"


def book_another(own: CompanyAccount) -> str:
    host = own.actions.add_host("other@example.com")
    return str(own.actions.book(host["meetingTypeId"], free_start(3), "guest@example.com")["appointmentId"])
