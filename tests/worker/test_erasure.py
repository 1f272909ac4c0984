"""Erase one guest, however the address is written and wherever it appears; report what could not be reached."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.fernet import Fernet
from sqlalchemy import select, text

from console.__main__ import cli
from devtools.send import samples
from models.attempt import FailedAttempt
from models.booking import Booking
from models.delivery import Delivery, NewDelivery, pack
from models.intervention import Intervention
from models.notification import Notification
from models.platform_user import PlatformUser
from models.privacy import erasure
from models.privacy.person import ERASED, person_from
from models.privacy.person_search import find_person
from runtime.encryption import BodyCipher
from tests.console.cli import ON_SQLITE
from tests.raw_sql import sql
from tests.worker.harness import AT, START, Harness, later
from tests.worker.test_privacy import snapshot

JANE = "jane@example.com"
OTHER = {"id": "guest-other-1", "email": "other@example.com", "fullname": "The Other", "phone": "+49 30 1111111"}


def guest(email: str | None = JANE, **more: Any) -> dict[str, Any]:
    said = {"id": "guest-jane-1", "email": email, "firstname": "Jane", "lastname": "Miller", **more}
    return {name: value for name, value in said.items() if value is not None}


def created(booking_id: str, *guests: dict[str, Any], at: datetime = AT, **more: Any) -> dict[str, Any]:
    return samples.created(booking_id, START, at, attendees=[*guests, OTHER], **more)


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["erase", *words, "--yes"])


def assert_gone(harness: Harness, *traces: str) -> None:
    left = snapshot(harness).lower()
    for trace in traces:
        assert trace.lower() not in left, trace
        assert json.dumps(trace)[1:-1].lower() not in left, trace
    assert "other@example.com" in left


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        (JANE, f"  {JANE.upper()} "),
        (f" {JANE} ", JANE),
        (f"Jane Miller <{JANE}>", JANE),
        (JANE, f"Jane Miller <{JANE}>"),
        (JANE, f"mailto:{JANE}"),
        ("JÖRG@EXAMPLE.COM", "jörg@example.com"),
        ("jörg@example.com", "JÖRG@EXAMPLE.COM"),
        ("jo\u0308rg@example.com", "jörg@example.com"),
        ("STRASSE@example.com", "straße@example.com"),
        ("jane@bücher.example", "jane@xn--bcher-kva.example"),
        ("jane@xn--bcher-kva.example", "jane@BÜCHER.example"),
        ("\u202ajane@example.com\u202c", JANE),
        (JANE, "\u202ajane@example.com\u202c"),
        ("ja\u200bne@example.com", JANE),
        ("jane\uff20example.com", JANE),
        ("jane@example.com.", JANE),
        (f"MAILTO:{JANE}", JANE),
        ('"jane"@example.com', JANE),
        (JANE, '"Jane"@example.com'),
        ("jane(home)@example.com", JANE),
        ("jane(home)@example.com", '"jane"@example.com'),
    ],
)
@pytest.mark.parametrize("raw", [True, False], ids=["as it is", "escaped"])
def test_every_spelling_of_an_address_is_found(harness: Harness, stored: str, asked: str, raw: bool) -> None:
    harness.deliver(json.dumps(created("b1", guest(stored)), ensure_ascii=not raw).encode())
    harness.process_due()
    done = run(asked)
    assert done.exit_code == 0, done.output
    assert "Jane Miller" in done.output
    assert_gone(harness, stored.strip(), "Miller", "guest-jane-1")
    assert [each["id"] for each in harness.booking().attendees] == ["guest-other-1"]


@pytest.mark.parametrize("asked", ["old@example.com", "new@example.com"])
@pytest.mark.parametrize("guest_id", ["guest-jane-1", "7"])
def test_an_address_that_changed_since_is_found_by_the_guests_id(harness: Harness, asked: str, guest_id: str) -> None:
    harness.process(
        created("b1", guest("old@example.com", id=guest_id)),
        created(
            "b1", guest("new@example.com", id=guest_id), at=later(1), cancel={"reason": "wrote to old@example.com"}
        ),
    )
    assert run(asked).exit_code == 0
    assert_gone(harness, "old@example.com", "new@example.com", "Miller")


@pytest.mark.parametrize("depth", [64, 400, 700, 5000])
def test_a_body_of_any_depth_keeps_nobody_from_being_erased(harness: Harness, depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    harness.process(json.dumps(created("b2", odd="here")).encode().replace(b'"here"', nested), created("b1", guest()))
    done = run(JANE)
    assert done.exit_code == 0, done.output
    assert_gone(harness, JANE, "Miller")


def test_a_guest_in_a_list_that_was_too_long_to_be_read_is_found(harness: Harness) -> None:
    others = [{"id": f"guest-{number}"} for number in range(1000)]
    harness.process(created("b1", guest(), *others))
    assert run(JANE).exit_code == 0
    (delivery,) = harness.all(Delivery)
    assert (delivery.body, delivery.note) == (b"", "the body was erased on request")


def test_a_guest_whom_a_repeated_name_hides_in_the_body_is_found(harness: Harness) -> None:
    """The last value of a name counts, and the bytes of the others are stored, too."""
    body = json.dumps(created("b1")).replace('"attendees":', f'"attendees": {json.dumps([guest()])}, "attendees":')
    harness.process(body.encode())
    assert len(harness.booking().attendees) == 1
    assert run(JANE).exit_code == 0
    assert_gone(harness, JANE, "Miller", "guest-jane-1")


def test_the_same_guest_in_another_booking_is_found_by_the_id(harness: Harness) -> None:
    harness.process(created("b1", guest("old@example.com")), created("b2", guest("new@example.com")))
    assert run("new@example.com").exit_code == 0
    assert_gone(harness, "old@example.com", "new@example.com", "Miller")


def test_a_former_guest_is_found_in_the_history(harness: Harness) -> None:
    harness.process(created("b1", guest()), created("b1", at=later(1)))
    assert run(JANE).exit_code == 0
    assert_gone(harness, JANE, "Miller")


def test_keys_free_texts_and_numbers_are_erased_too(harness: Harness) -> None:
    metadata = {JANE: "vip", "note": f"call {JANE}", "more": {"who": [f"<{JANE}>", 49170555987]}, "kept": "kept"}
    harness.process(
        created(
            "b1",
            guest(phone="+49 170 555 987", id=None),
            meetingType={"id": "t", "metadata": metadata},
            location="+49 (0) 170 / 555 987 Jane Miller",
            isCancelled=True,
            cancel={"cancelledAt": AT.isoformat(), "cancelledBy": f"Jane <{JANE}>", "reason": "Jane Miller is ill"},
            link=f"https://h.example/?e={JANE.replace('@', '%40')}",
        )
    )
    with harness.services.database.transaction() as session:
        (delivery,), (notification,) = harness.all(Delivery), harness.all(Notification)[:1]
        session.add(FailedAttempt(notification_id=notification.id, number=1, error=JANE, outcome="pending", at=AT))
        session.add(FailedAttempt(delivery_id=delivery.id, number=1, error="Jane Miller", outcome="pending", at=AT))
        session.add(
            Intervention(kind="replayed", delivery_id="gone", by=JANE, reason=f"asked by {JANE.upper()}", at=AT)
        )
    done = run(JANE)
    assert done.exit_code == 0, done.output
    assert_gone(harness, JANE, "Miller", "170555987", "170 555 987", "170 / 555")
    assert harness.booking().metadata_ == {
        "note": "(erased)",
        "more": {"who": ["(erased)", "(erased)"]},
        "kept": "kept",
    }


def test_guests_with_a_similar_address_or_a_shared_phone_stay(harness: Harness) -> None:
    others = [
        {"id": "guest-joann-1", "email": "mary-jane@example.com", "phone": "+49 170 555987", "fullname": "Mary Jane"},
        {"id": "guest-joann-2", "email": "jane@example.com.au", "fullname": "Jane Au"},
    ]
    harness.process(created("b1", guest(phone="+49170555987"), *others))
    assert run(JANE).exit_code == 0
    assert [each["id"] for each in harness.booking().attendees] == ["guest-joann-1", "guest-joann-2", "guest-other-1"]
    assert harness.booking().attendees[0] == dict(sorted(others[0].items()))
    assert "Miller" not in snapshot(harness)


@pytest.mark.parametrize("asked", ["+49 170 555 987", "0049170555987", "0170/555987"])
def test_a_guest_with_only_a_phone(harness: Harness, asked: str) -> None:
    harness.process(
        created("b1", guest(None, id=None, phone="+49 170 555987")), created("b2", guest(None, phone="49170555987"))
    )
    done = run("--phone", asked)
    assert done.exit_code == 0, done.output
    assert_gone(harness, "Miller", "555987")


def test_a_guest_with_only_a_name_and_several_with_one_name(harness: Harness) -> None:
    harness.process(
        created("b1", guest(None, id=None)),
        created("b2", guest(None, firstname=None, lastname=None, fullname="JANE  miller")),
    )
    assert run("--name", "jane Miller").exit_code == 0
    assert_gone(harness, "Miller")
    harness.process(created("b3", guest(JANE)), created("b4", guest("jane@example.net", id="guest-jane-2")))
    done = run("--name", "Jane Miller")
    assert done.exit_code == 1
    assert (
        "several guests have this name: Jane Miller <jane@example.com>; Jane Miller <jane@example.net>" in done.output
    )
    assert len(harness.booking("b3").attendees) == 2


@pytest.mark.parametrize("words", [["nobody@example.com"], ["--phone", "+1 555 5550100"], ["--name", "No Body"]])
def test_an_unknown_guest_is_reported_without_a_prompt(harness: Harness, words: list[str]) -> None:
    harness.process(created("b1", guest()))
    done = CliRunner().invoke(cli, ["erase", *words])
    assert done.exit_code == 1
    assert "nobody with this address, number or name is known" in done.output
    assert "Go on" not in done.output


@pytest.mark.parametrize("words", [[], ["Jane"], ["--phone", "12"], ["a@b@c"]])
def test_a_command_without_a_guest_is_wrong_usage(harness: Harness, words: list[str]) -> None:
    assert run(*words).exit_code == 2


def test_it_shows_the_guest_and_the_counts_before_it_asks(harness: Harness) -> None:
    harness.process(created("b1", guest()), created("b2", guest()), json.dumps({"who": JANE}).encode())
    done = CliRunner().invoke(cli, ["erase", JANE], input="n\n")
    assert f"Jane Miller <{JANE}>: 2 bookings, 1 delivery besides." in done.output
    assert done.exit_code == 1
    assert JANE in snapshot(harness)


def test_a_dry_run_shows_the_guest_and_changes_nothing(harness: Harness) -> None:
    harness.process(created("b1", guest()), created("b2", guest()), json.dumps({"who": JANE}).encode())
    before = snapshot(harness)
    done = CliRunner().invoke(cli, ["erase", JANE, "--dry-run"])
    assert done.exit_code == 0, done.output
    assert f"Jane Miller <{JANE}>: 2 bookings, 1 delivery besides." in done.output
    assert "This was a dry run: nothing is changed. To do it, leave --dry-run out and add --reason." in done.output
    done = CliRunner().invoke(cli, ["erase", JANE, "--dry-run", "--json"])
    assert json.loads(done.stdout) == {
        "dry_run": True,
        "bookings": 2,
        "other_deliveries": 1,
        "texts": 0,
        "hosts": 0,
        "unopened": 0,
        "skipped": [],
    }
    assert snapshot(harness) == before


def test_json_needs_yes_or_a_dry_run(harness: Harness) -> None:
    harness.process(created("b1", guest()))
    done = CliRunner().invoke(cli, ["erase", JANE, "--json"], input="y\n")
    assert done.exit_code == 2
    assert "--json cannot ask: add --yes or --dry-run" in done.output
    assert JANE in snapshot(harness)


def test_who_erased_and_why_is_recorded_without_the_guest(harness: Harness) -> None:
    harness.process(created("b1", guest()), created("b2", guest(None, id="guest-2", phone="+49 30 2222222")))
    assert run(JANE, "--by", "Ada", "--reason", f"{JANE} asked by mail").exit_code == 0
    assert run("--phone", "+49 30 2222222", "--by", "Ada", "--reason", "asked by phone").exit_code == 0
    acts = [(act.kind, act.by, act.reason) for act in harness.all(Intervention)]
    assert acts == [("erased", "Ada", ERASED), ("erased", "Ada", "asked by phone")]
    assert_gone(harness, JANE)


@pytest.mark.parametrize("words", ["Jane Miller asked", "JANE.M@other.example asked", "a call from 030 2222222"])
def test_a_reason_that_names_the_guest_in_other_words_is_not_recorded(harness: Harness, words: str) -> None:
    harness.process(created("b1", guest(phone="+49 30 2222222")), created("b2", guest("jane.m@other.example")))
    assert run(JANE, "--reason", words).exit_code == 0
    assert [act.reason for act in harness.all(Intervention)] == [ERASED]


def test_a_delivery_that_is_processed_after_the_search_is_erased_with_its_booking(harness: Harness) -> None:
    """The operator may look at what was found for minutes before confirming it."""
    harness.deliver(*(created("b1", guest(), at=later(minute)) for minute in range(3)))
    services, person = harness.services, person_from(JANE)
    found = find_person(services.database, services.inbox.cipher, person, None)
    harness.process_due()
    erased = erasure.erase(services.database, services.inbox.cipher, person, later(2), found)
    assert (erased.bookings, erased.deliveries, erased.waiting) == (1, 3, 0)
    assert_gone(harness, JANE, "Jane Miller")


def test_bodies_that_no_key_decrypts_are_reported(open_harness: Callable[..., Harness]) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    open_harness(body_keys=old).process({"webhookType": "form_submission", "id": "1", "email": JANE})
    harness = open_harness(body_keys=new)
    done = run(JANE)
    assert done.exit_code == 1
    assert "1 body that cannot be decrypted: run it again with all BODY_KEYS" in done.output
    harness.process(created("b1", guest()))
    done = run(JANE)
    assert (done.exit_code, "1 body that cannot be decrypted" in done.output) == (1, True)
    assert [each["id"] for each in harness.booking().attendees] == ["guest-other-1"]


def test_webhooks_in_redis_only_are_reported(harness: Harness) -> None:
    harness.process(created("b1", guest()))
    harness.services.job_queue.enqueue_store(
        pack(NewDelivery.from_body(json.dumps(created("b2", guest())).encode(), "default", AT, BodyCipher([])))
    )
    done = run(JANE)
    assert done.exit_code == 1
    assert "1 webhook in Redis only: run it again when they are stored" in done.output


def test_a_host_with_the_address_stays_and_is_reported(harness: Harness) -> None:
    harness.add_user(email=JANE.upper())
    harness.process(created("b1", guest()))
    done = run(JANE)
    assert "1 host with this address" in done.output
    assert len(harness.all(PlatformUser)) == 1


def test_one_booking_that_cannot_be_read_stops_no_other(harness: Harness) -> None:
    harness.process(*(created(f"b{number}", guest()) for number in range(3)))
    with harness.services.database.transaction() as session:
        bad = {**session.get_one(Booking, "b1").facts, "starts_at": ["0", "no time"]}
        session.get_one(Booking, "b1").facts = bad
    done = run(JANE)
    assert done.exit_code == 1
    assert "could not be read or changed: booking b1: ValueError" in done.output
    assert [len(harness.booking(f"b{number}").attendees) for number in range(3)] == [1, 2, 1]


@ON_SQLITE
def test_a_row_that_the_database_cannot_hand_out_stops_no_other(harness: Harness) -> None:
    harness.process(*(created(f"b{number}", guest()) for number in range(3)))
    with harness.services.database.transaction() as session:
        session.execute(text("UPDATE bookings SET facts = '{' WHERE id = 'b1'"))
    done = run(JANE)
    assert done.exit_code == 1
    assert "could not be read or changed: bookings b1" in done.output
    with harness.services.database.read_only() as session:
        attendees = session.scalars(select(Booking.attendees).where(Booking.id != "b1")).all()
    assert [len(each) for each in attendees] == [1, 1]


def test_a_webhook_repeated_or_replayed_afterwards_does_not_restore_the_guest(harness: Harness) -> None:
    body = created("b1", guest())
    harness.process(body)
    run(JANE)
    harness.process(body)
    assert_gone(harness, JANE, "Miller")
    done = CliRunner().invoke(cli, ["replay", "--booking", "b1", "--yes"])
    assert "the body was erased" in done.output


def test_the_bytes_are_removed_from_sqlites_files(harness: Harness, database: Any, tmp_path: Path) -> None:
    if database.supports_skip_locked:
        pytest.skip("PostgreSQL has its vacuum")
    marker = "j4n3-m4rk3r@example.com"
    for number in range(40):
        harness.process(
            created(f"b{number}", guest(marker)), created(f"b{number}", guest(marker), at=later(1), notes="x" * 999)
        )
    files = [*tmp_path.glob("inbox.db*")]
    assert any(marker.encode() in path.read_bytes() for path in files)
    assert run(marker).exit_code == 0
    assert not [path.name for path in tmp_path.glob("inbox.db*") if marker.encode() in path.read_bytes()]


def test_an_sqlite_file_that_others_read_is_reported(
    harness: Harness, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database.supports_skip_locked:
        pytest.skip("PostgreSQL has its vacuum")
    vacuum = erasure.vacuum
    monkeypatch.setattr(erasure, "vacuum", lambda database: vacuum(database, timedelta(0)))
    harness.process(created("b1", guest()))
    with database.read_only() as session:
        session.execute(sql(session, "SELECT * FROM bookings")).all()
        done = run(JANE)
    assert done.exit_code == 1
    assert "other processes are reading the database file" in done.output


def test_an_erasure_that_left_old_copies_is_completed_when_it_is_run_again(
    harness: Harness, database: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It ended or was killed after it had changed the rows, so that nobody with the address is found any more."""
    if database.supports_skip_locked:
        pytest.skip("PostgreSQL has its vacuum")
    marker = "j4n3-m4rk3r@example.com"
    harness.process(created("b1", guest(marker)))
    with monkeypatch.context() as patch:
        patch.setattr(erasure, "vacuum", lambda _database: False)
        run(marker)
    assert [path for path in tmp_path.glob("inbox.db*") if marker.encode() in path.read_bytes()]
    assert run(marker, "--dry-run").exit_code == 1
    assert [path for path in tmp_path.glob("inbox.db*") if marker.encode() in path.read_bytes()]
    assert "nobody with this address" in run(marker).output
    assert not [path.name for path in tmp_path.glob("inbox.db*") if marker.encode() in path.read_bytes()]


@ON_SQLITE
def test_a_lock_that_is_held_when_all_rows_are_changed_does_not_end_an_erasure(
    harness: Harness, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.database.SQLITE_BUSY_TIMEOUT_SECONDS", 0.05)
    harness.process(created("b1", guest()))
    erase = erasure.erase
    with closing(sqlite3.connect(database.engine.url.database, check_same_thread=False)) as other:
        release = Timer(0.1, other.rollback)

        def erase_and_lock(*arguments: Any) -> Any:
            done = erase(*arguments)
            other.execute("BEGIN IMMEDIATE")
            release.start()
            return done

        monkeypatch.setattr(erasure, "erase", erase_and_lock)
        done = run(JANE)
        release.join()
    assert done.exit_code == 0
    assert [row.kind for row in harness.all(Intervention)] == ["erased"]


def test_a_guest_can_be_named_in_many_ways() -> None:
    assert person_from(" Jane <JANE@Example.com> ").emails == {JANE}
    assert person_from(phone="00 49 (170) 555-987").phones == {"49170555987"}


@pytest.mark.parametrize(
    "told",
    [
        "no mail to jörg@example.com",
        r'{"email": "j\u00f6rg@example.com"}',
        "GET /u?q=j%C3%B6rg%40example.com failed",
        "call +49 170 5559871",
        "call 0170/5559871",
        {"email": "JÖRG@example.com", "fullname": "J."},
    ],
)
def test_a_person_is_recognised_in_whatever_quotes_them(told: Any) -> None:
    person = person_from("jörg@example.com", "+49 170 5559871")
    assert person.redact({"quoted": told, "other": "jo@example.com"}) == {"quoted": ERASED, "other": "jo@example.com"}


def test_an_erasure_is_a_change_without_the_guest_that_notifies_nobody(harness: Harness) -> None:
    harness.process(created("b1", guest()))
    before = len(harness.all(Notification))
    assert run(JANE).exit_code == 0
    *_, change = harness.changes()
    assert (change.kind, change.revision, change.notification_kinds) == ("erased", 2, [])
    assert [each["id"] for each in change.after["attendees"]] == ["guest-other-1"]
    assert harness.booking().revision == 2
    assert len(harness.all(Notification)) == before
    assert_gone(harness, JANE, "Miller", "guest-jane-1")
    assert run(JANE).exit_code != 0
    assert len(harness.changes()) == 2, "once"


def test_errors_of_one_account_that_quote_the_guest_are_erased_with_it(harness: Harness) -> None:
    """The last error of each row quotes nobody any more, and its body is of somebody else."""
    harness.add_account("acme")
    for account in ("default", "acme"):
        (row_id,) = harness.deliver(samples.created("b1", START, AT, attendees=[OTHER]), account=account)
        with harness.services.database.transaction() as session:
            reference = {"delivery_id": row_id, "number": 1, "outcome": "pending", "at": AT}
            session.add(FailedAttempt(**reference, error=f"no such guest: {JANE}"))
    assert run(JANE, "--account", "acme").exit_code == 0
    assert [JANE in row.error for row in harness.all(FailedAttempt)] == [True, False]


@ON_SQLITE
@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("", 0, "REDIS_URL is not set: webhooks that may be in Redis only were not searched."),
        ("redis://127.0.0.1:1/0", 1, "Redis does not answer, so webhooks that are in Redis only were not searched"),
    ],
)
def test_webhooks_in_a_redis_that_cannot_be_searched_are_named(
    harness: Harness, url: str, code: int, said: str
) -> None:
    harness.process(created("b1", guest()))
    done = CliRunner(env={"REDIS_URL": url}).invoke(cli, ["erase", JANE, "--yes"])
    assert (done.exit_code, said in done.output) == (code, True)
    assert_gone(harness, JANE)
