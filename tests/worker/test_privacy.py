"""Personal data: encrypted at rest, pruned when old, and erasable for one guest."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from cryptography.fernet import Fernet
from sqlalchemy import inspect, select, update

from console.__main__ import cli
from devtools.send import samples
from models.attempt import FailedAttempt
from models.booking import BookingChange
from models.delivery import Delivery, NewDelivery, pack
from models.incident import Incident
from models.intervention import Intervention
from models.notification import Notification
from models.privacy.erasure import ErasureResult, erase
from models.privacy.person import person_from
from models.privacy.retention import BATCH_SIZE, prune
from models.reconciliation import Reconciliation
from models.run import Run
from runtime.database import schema_of
from runtime.encryption import BodyCipher, key_id
from tests.console.cli import ON_SQLITE
from tests.raw_sql import sql
from tests.worker.harness import AT, START, Harness, later

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
TWO = [samples.guest(1), samples.guest(2)]
CREATED = samples.created(
    "b1", START, AT, attendees=TWO, meetingType={"id": "t", "metadata": {"by": "Guest-2@example.com"}}
)
LEFT = samples.attendee_left("b1", START, later(1))
KEEP = {"done": timedelta(days=30), "dead": timedelta(days=90)}


def snapshot(harness: Harness) -> str:
    """Return all rows of all tables as text."""
    with harness.services.database.read_only() as session:
        tables = inspect(session.get_bind()).get_table_names(schema=schema_of(session))
        queries = [sql(session, f"SELECT * FROM {table}") for table in tables]
        assert queries
        return "\n".join(str(tuple(row)) for query in queries for row in session.execute(query))


def erase_guest(harness: Harness, email: str) -> ErasureResult:
    return erase(harness.services.database, harness.services.inbox.cipher, person_from(email), datetime.now(UTC))


def test_bodies_are_encrypted_at_rest_and_processed(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness(body_keys=OLD)
    harness.process({**CREATED, "secret": "s3cr3t-marker"})
    assert "s3cr3t-marker" not in snapshot(harness)
    assert harness.booking().status == "confirmed"


def test_a_body_whose_key_is_missing_waits_until_the_key_is_back(open_harness: Callable[..., Harness]) -> None:
    open_harness(body_keys=OLD).deliver(CREATED)
    harness = open_harness(body_keys=NEW)
    harness.process_due()
    (delivery,) = harness.all(Delivery)
    assert delivery.status == "pending"
    assert delivery.last_error == f"the body is encrypted with key {key_id(OLD)}, which is not in BODY_KEYS"
    harness = open_harness(body_keys=f"{OLD},{NEW}")
    with harness.services.database.transaction() as session:
        session.get_one(Delivery, delivery.id).due_at = AT
    harness.process_due()
    assert harness.booking().status == "confirmed"


def test_reencrypt_makes_the_old_key_unnecessary(open_harness: Callable[..., Harness]) -> None:
    open_harness(body_keys="").deliver(CREATED)
    open_harness(body_keys=OLD).deliver(LEFT)
    open_harness(body_keys=f"{OLD},{NEW}")
    done = CliRunner().invoke(cli, ["reseal"])
    assert "2 bodies re-encrypted" in done.output
    harness = open_harness(body_keys=NEW)
    harness.process_due()
    assert {delivery.sealed_with for delivery in harness.all(Delivery)} == {key_id(NEW)}
    assert {delivery.status for delivery in harness.all(Delivery)} == {"done"}


def test_reencrypt_for_0_1_0_makes_what_it_would_read_readable_for_it(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness(body_keys=NEW)
    harness.process(CREATED, b"not json")
    harness.deliver(LEFT)
    done = CliRunner().invoke(cli, ["reencrypt", "--for-0.1.0"])
    assert f"2 bodies re-encrypted; what is pending or dead is encrypted with key {key_id(NEW)} now" in done.output
    waiting = [row.body for row in harness.all(Delivery) if row.status != "done"]
    assert {Fernet(NEW).decrypt(body) for body in waiting} == {b"not json", json.dumps(LEFT).encode()}
    harness.process_due()
    assert sorted(row.status for row in harness.all(Delivery)) == ["dead", "done", "done"]


def test_reencrypt_names_what_it_cannot_decrypt(open_harness: Callable[..., Harness]) -> None:
    [lost] = open_harness(body_keys=OLD).deliver(CREATED)
    [plain] = open_harness(body_keys="").deliver(LEFT)
    harness = open_harness(body_keys=NEW)
    done = CliRunner().invoke(cli, ["reencrypt"])
    assert done.exit_code == 1
    assert f"delivery {lost}: the body is encrypted with key {key_id(OLD)}" in done.stderr
    assert {row.id: row.sealed_with for row in harness.all(Delivery)} == {lost: key_id(OLD), plain: key_id(NEW)}
    again = CliRunner().invoke(cli, ["reencrypt", "--json"])
    assert json.loads(again.stdout)["failed"].keys() == {lost}


def test_reencrypt_says_that_a_webhook_in_redis_only_still_needs_the_old_key(
    open_harness: Callable[..., Harness],
) -> None:
    """It is stored as it is, and could not be read any more without that key."""
    harness = open_harness(body_keys=OLD)
    harness.services.job_queue.enqueue_store(pack(NewDelivery.from_body(b"{}", "default", AT, BodyCipher([OLD]))))
    open_harness(body_keys=f"{OLD},{NEW}")
    done = CliRunner().invoke(cli, ["reencrypt"])
    assert done.exit_code == 1
    assert "1 webhook in Redis only: run it again when they are stored" in done.output
    assert "encrypted with key" not in done.output


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("", 0, "REDIS_URL is not set: webhooks that may be in Redis only were not searched."),
        ("redis://127.0.0.1:1/0", 1, "Redis does not answer"),
    ],
)
@ON_SQLITE
def test_reencrypt_says_that_it_did_not_look_for_webhooks_in_redis_only(
    open_harness: Callable[..., Harness], url: str, code: int, said: str
) -> None:
    open_harness(body_keys=NEW)
    done = CliRunner(env={"REDIS_URL": url}).invoke(cli, ["reencrypt"])
    assert (done.exit_code, said in done.output) == (code, True)


def test_reencrypt_without_a_key_names_the_setting(open_harness: Callable[..., Harness]) -> None:
    open_harness(body_keys="")
    done = CliRunner().invoke(cli, ["reseal"])
    assert done.exit_code == 2
    assert "BODY_KEYS is not set" in done.output


def test_rows_past_their_retention_are_pruned_and_the_rest_stays(harness: Harness) -> None:
    now = datetime.now(UTC)
    created, _ = harness.deliver(samples.created("b1", now + timedelta(days=1), AT), b"not json")
    harness.process_due()
    harness.send_all()
    harness.deliver(LEFT)
    with harness.services.database.transaction() as session:
        dead = session.scalars(select(Delivery).where(Delivery.status == "dead")).one()
        Intervention.record(session, "replayed", dead, now, by="the operator")
        session.add(Incident(kind="deliveries_dead", began_at=now, ended_at=now))
        session.add(Incident(kind="deliveries_dead", began_at=now))
        session.add(Reconciliation(started_at=now))
        run = dict(
            kind="prune", target="old rows", status="done", by="the operator", reason="old", selection={}, total=1
        )
        times = dict(created_at=now, due_at=now, ended_at=now)
        session.add(Run(resend=False, superseded=False, **run, **times))

    def removed(days: int) -> list[int]:
        return list(prune(harness.services.database, now + timedelta(days=days), KEEP).values())

    assert removed(29) == [0, 0, 0, 0, 0, 0]
    assert removed(31) == [1, 1, 0, 0, 1, 0]
    assert sorted(row.status for row in harness.all(Delivery)) == ["dead", "pending"]
    assert [attempt.error for attempt in harness.all(FailedAttempt)] == ["the body is not JSON"]
    assert removed(91) == [1, 0, 1, 1, 0, 1]
    assert harness.all(FailedAttempt) == harness.all(Intervention) == []
    assert [incident.ended_at for incident in harness.all(Incident)] == [None]
    assert [row.status for row in harness.all(Delivery)] == ["pending"]
    assert harness.booking().status == "confirmed"
    assert [change.delivery_id for change in harness.changes()] == [created], "a change still names its delivery"


def test_many_rows_are_pruned_in_chunks(harness: Harness) -> None:
    harness.deliver(*(f"{number}".encode() for number in range(BATCH_SIZE + 5)))
    with harness.services.database.transaction() as session:
        session.execute(update(Delivery).values(status="done", ended_at=AT))
    assert prune(harness.services.database, datetime.now(UTC), KEEP)["deliveries"] == BATCH_SIZE + 5


def test_a_webhook_repeated_after_its_row_was_pruned_changes_nothing_and_notifies_nobody(harness: Harness) -> None:
    harness.process(CREATED, LEFT)
    before = (harness.booking().public_columns(), harness.notification_kinds())
    prune(harness.services.database, datetime.now(UTC) + timedelta(days=31), KEEP)
    harness.process(CREATED, LEFT)
    assert (harness.booking().public_columns(), harness.notification_kinds()) == before


@pytest.mark.parametrize("keys", ["", OLD], ids=["as they came", "sealed"])
def test_an_erased_guest_is_removed_everywhere(open_harness: Callable[..., Harness], keys: str) -> None:
    harness = open_harness(body_keys=keys)
    harness.process(
        CREATED, LEFT, samples.created("b2", START, AT), json.dumps({"who": "guest-2@example.com"}).encode()
    )
    erased = erase_guest(harness, "GUEST-2@Example.com")
    assert (erased.bookings, erased.deliveries, erased.waiting, erased.unopened) == (1, 3, 0, 0)
    left = snapshot(harness).lower()
    assert "guest-2@example.com" not in left
    assert "guest 2" not in left
    assert [person["email"] for person in harness.booking().attendees] == ["guest-1@example.com"]
    assert harness.booking("b2").attendees == [samples.guest(1)]
    again = erase_guest(harness, "guest-2@example.com")
    assert again.deliveries == again.bookings == 0


def test_an_error_and_a_reason_that_quote_the_guest_are_redacted(harness: Harness) -> None:
    harness.process(CREATED)
    (delivery,), (notification,) = harness.all(Delivery), harness.all(Notification)
    with harness.services.database.transaction() as session:
        for row in (delivery, notification):
            row.fail(ValueError("no such guest: guest-1@example.com"), AT)
            FailedAttempt.record(session, session.merge(row), AT)
            row.finish(AT)
            Intervention.record(
                session, "replayed", session.merge(row), AT, by="the operator", reason="guest-1@example.com"
            )
    erase_guest(harness, "guest-1@example.com")
    assert "guest-1@example.com" not in snapshot(harness)
    assert len(harness.all(FailedAttempt)) == len(harness.all(Intervention)) == 2


def test_every_spelling_of_a_non_ascii_address_is_found(harness: Harness) -> None:
    guest = {**samples.guest(1), "email": "zoë@example.com"}
    harness.deliver(json.dumps(samples.created("b1", START, AT, attendees=[guest]), ensure_ascii=False).encode())
    harness.deliver(samples.attendee_left("b1", START, later(1)) | {"attendees": [guest]})
    harness.process_due()
    erase_guest(harness, "zoë@example.com")
    assert "example.com" not in snapshot(harness).replace("host@example.com", "")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_body_that_cannot_be_changed_is_named_and_stops_no_other(harness: Harness) -> None:
    broken, whole = harness.deliver(*(json.dumps({"who": "guest-1@example.com", "no": no}).encode() for no in range(2)))
    harness.process_due()
    with harness.services.database.transaction() as session:
        session.execute(sql(session, f"UPDATE deliveries SET received_at = 'long ago' WHERE id = '{broken}'"))
    erased = erase_guest(harness, "guest-1@example.com")
    assert (erased.deliveries, erased.skipped) == (1, [f"delivery {broken}: ValueError"])
    with harness.services.database.read_only() as session:
        assert session.get_one(Delivery, whole).body == b""


def test_pending_deliveries_are_not_erased_and_the_command_says_so(harness: Harness) -> None:
    harness.deliver(CREATED)
    done = CliRunner().invoke(cli, ["erase", "guest-1@example.com", "--yes"])
    assert done.exit_code == 1
    assert "waiting: 1" in done.output
    assert "run it again" in done.output
    harness.process_due()
    done = CliRunner().invoke(cli, ["erase", "guest-1@example.com"], input="y\n")
    assert done.exit_code == 0
    assert harness.booking().attendees == [samples.guest(2)]


def test_a_bookings_changes_still_yield_its_row_after_an_erasure(harness: Harness) -> None:
    harness.process(CREATED, LEFT)
    erase_guest(harness, "guest-2@example.com")
    replayed: dict[str, object] = {}
    for change in harness.changes():
        replayed |= change.after
    assert replayed == harness.booking().public_columns()


def test_pending_notifications_are_sent_without_the_erased_guest(harness: Harness) -> None:
    harness.process(CREATED)
    erase_guest(harness, "guest-2@example.com")
    with harness.services.database.read_only() as session:
        (payload,) = session.scalars(select(Notification.payload))
        assert session.scalars(select(BookingChange)).all()
    assert [person["id"] for person in payload["booking"]["attendees"]] == ["sample-guest-1"]


def test_prune_is_a_command_too(harness: Harness) -> None:
    harness.process(CREATED)
    assert "deliveries: 0 removed" in CliRunner().invoke(cli, ["prune"]).output
