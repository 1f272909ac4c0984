"""Erase, re-encrypt, replay, prune and link beside the workers: none fails, and nothing is left half done."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from devtools.send import samples
from models.booking import Booking, BookingChange
from models.delivery import Delivery
from models.notification import Notification
from models.platform_user import PlatformUser
from models.privacy.erasure import erase
from models.privacy.person import person_from
from models.privacy.reencryption import reencrypt
from models.privacy.retention import prune
from models.run import Run
from operations.erasure import GuestName
from operations.replay.selection import select_deliveries
from operations.replay.service import ReplayService
from operations.runs.executor import advance_runs
from operations.runs.store import start_erasure
from runtime.contention import in_transaction, with_retry
from runtime.database import Database
from runtime.encryption import BodyCipher, key_id
from runtime.errors import Transient
from tests.waiting import wait_until
from tests.worker.harness import AT, START, Harness, later
from worker.maintenance.sweeper import link_new_users
from worker.services import Services, build_services
from worker.settings import WorkerSettings

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
BOOKINGS, ROUNDS = 30, 4
KEEP = {"done": timedelta(days=30), "dead": timedelta(days=90)}


def bodies(turn: int) -> list[dict[str, Any]]:
    """Return all bookings, each with a guest of this turn only, rescheduled."""
    return [
        samples.created(f"b{number:02}", START, later(turn), attendees=[samples.guest(1), samples.guest(turn + 2)])
        | {"start": later(60 + turn).isoformat(), "hostIds": [f"h{number % 5}"]}
        for number in range(BOOKINGS)
    ]


def erase_one_person(services: Services, turn: int) -> None:
    erase(services.database, services.inbox.cipher, person_from(f"guest-{turn + 2}@example.com"), datetime.now(UTC))


def reencrypt_all(services: Services, _turn: int) -> None:
    assert reencrypt(services.database, services.inbox.cipher).failed == {}


def replay_all(services: Services, _turn: int) -> None:
    chosen = select_deliveries(services.inbox, select(Delivery), None).chosen
    for start in range(0, len(chosen), 20):
        ReplayService(services, "the operator", resend=True).replay(chosen[start : start + 20], datetime.now(UTC))


def replay_notifications(services: Services, _turn: int) -> None:
    with services.database.read_only() as session:
        ids = session.scalars(select(Notification.id).order_by(Notification.id.desc()).limit(50)).all()
    ReplayService(services, "the operator", resend=True).replay_notifications(ids, datetime.now(UTC))


def work(services: Services, turn: int) -> None:
    """Process what is due; retry after a lock conflict, as a job would."""
    with_retry(lambda: Harness(services).deliver(*bodies(turn + 1)))
    for _ in range(3):
        with_retry(services.inbox.process_due)
        with_retry(services.outbox.process_due)


def link(services: Services, _turn: int) -> None:
    def unlink(session: Any) -> None:
        its_users = select(PlatformUser).order_by(PlatformUser.id).with_for_update(key_share=True)
        for user in session.scalars(its_users):
            user.linked_as = None
        locked = select(Booking).where(Booking.platform_user_id.is_not(None)).order_by(Booking.id).with_for_update()
        for booking in session.scalars(locked):
            booking.platform_user_id = None

    in_transaction(services.database, unlink)
    link_new_users(services, datetime.now(UTC))


def remove_what_is_old(services: Services, _turn: int) -> None:
    prune(services.database, datetime.now(UTC) + timedelta(days=40), KEEP | {"done": timedelta(days=39, hours=23)})


def test_operators_commands_work_beside_the_workers(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness(body_keys=OLD)
    for number in range(5):
        harness.add_user(external_id=str(number), meetergo_user_id=f"h{number}", email=f"h{number}@example.com")
    harness.deliver(*bodies(0))
    harness.process_due()
    harness = open_harness(body_keys=f"{OLD},{NEW}")
    tasks = [erase_one_person, reencrypt_all, replay_all, replay_notifications, work, work, link, remove_what_is_old]
    together = Barrier(len(tasks))

    def go_on(task: Callable[[Services, int], None]) -> None:
        services = build_services(WorkerSettings.load())
        try:
            for turn in range(ROUNDS):
                together.wait(60)
                task(services, turn)
        except BaseException:
            together.abort()
            raise
        finally:
            services.database.close()

    with ThreadPoolExecutor(len(tasks)) as pool:
        running = [pool.submit(go_on, task) for task in tasks]
    errors = [error for each in running if (error := each.exception()) and not isinstance(error, BrokenBarrierError)]
    assert not errors
    with harness.services.database.transaction() as session:
        session.execute(update(Delivery).where(Delivery.status == "pending").values(attempts=0, due_at=AT))
    harness.process_due()
    for turn in range(ROUNDS):
        erase_one_person(harness.services, turn)
    assert {row.status for row in harness.all(Delivery)} <= {"done"}
    assert {row.sealed_with for row in harness.all(Delivery) if row.body} <= {key_id(NEW)}
    personal = {Booking: ("facts", "attendees"), BookingChange: ("before", "after"), Notification: ("payload",)}
    for rows, columns in personal.items():
        assert not [
            row.id for row in harness.all(rows) if "guest-2@" in json.dumps([getattr(row, name) for name in columns])
        ]
    for booking in harness.all(Booking):
        replayed: dict[str, Any] = {}
        for change in harness.changes():
            replayed |= change.after if change.booking_id == booking.id else {}
        assert {**replayed, "platform_user_id": None} == {**booking.public_columns(), "platform_user_id": None}


def _erase(services: Services) -> object:
    return erase(services.database, services.inbox.cipher, person_from("guest-2@example.com"), datetime.now(UTC))


def _tell_again(services: Services) -> object:
    with services.database.read_only() as session:
        ids = session.scalars(select(Notification.id)).all()
    return ReplayService(services, "the operator", resend=True).replay_notifications(ids, datetime.now(UTC))


def _waits_for_a_lock(database: Database) -> bool:
    with database.read_only() as session:
        return bool(session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


def _link(services: Services) -> object:
    return link_new_users(services, datetime.now(UTC))


@pytest.mark.parametrize(
    ("command", "first", "then"),
    [
        (_erase, select(Delivery).with_for_update(), select(Booking).with_for_update()),
        (_erase, select(Booking).with_for_update(), select(Notification).with_for_update()),
        (_tell_again, select(Booking).with_for_update(), select(Notification).with_for_update()),
        (_link, select(Booking).with_for_update(), select(PlatformUser).with_for_update(read=True, key_share=True)),
    ],
    ids=["erase and a worker", "erase and a replay", "a replay and erase", "linking and a worker"],
)
def test_a_transaction_that_keeps_the_lock_order_is_never_the_deadlock_victim(
    open_harness: Callable[..., Harness],
    database: Database,
    command: Callable[[Services], object],
    first: Any,
    then: Any,
) -> None:
    if not database.supports_skip_locked:
        pytest.skip("SQLite has one lock")
    harness = open_harness()
    harness.add_user(external_id="1", meetergo_user_id="h0")
    harness.process(*bodies(0)[:1])
    with database.transaction() as session:
        session.execute(update(Booking).values(platform_user_id=None))
        session.execute(update(PlatformUser).values(linked_as=None))
    with ThreadPoolExecutor(1) as pool:
        with database.transaction() as session:
            session.execute(first).all()
            running = pool.submit(command, harness.services)
            wait_until(lambda: _waits_for_a_lock(database))
            session.execute(text("SET LOCAL lock_timeout = '300ms'"))  # longer than the deadlock timeout
            session.execute(then).all()
        running.result(60)


def test_work_that_conflicts_with_another_transaction_is_retried(database: Database, database_url: str) -> None:
    other, tries = Database(database_url), []
    with database.transaction() as session:
        session.add_all(PlatformUser(external_id=each) for each in "ab")

    def lock(session: Any) -> str:
        tries.append(1)
        session.execute(select(PlatformUser).with_for_update()).all()
        return "done"

    with ThreadPoolExecutor(1) as pool:
        with other.transaction() as holding:
            holding.execute(select(PlatformUser).with_for_update()).all()
            waiting = pool.submit(in_transaction, database, lock)
            holding.execute(text("SELECT 1"))
            with pytest.raises(TimeoutError):
                waiting.result(3)
        assert waiting.result(60) == "done"
    other.close()
    assert database.supports_skip_locked is False or len(tries) > 1


def test_a_deadlock_is_retried_and_another_error_is_not(database: Database) -> None:
    if not database.supports_skip_locked:
        pytest.skip("SQLite has one lock")
    with database.transaction() as session:
        session.add_all(PlatformUser(external_id=each) for each in "ab")
    both = Barrier(2)

    def lock(order: str) -> Callable[[Any], int]:
        tries = []

        def work(session: Any) -> int:
            tries.append(1)
            for each in order:
                its = select(PlatformUser).where(PlatformUser.external_id == each)
                session.execute(its.with_for_update()).all()
                if len(tries) == 1 and each == order[0]:
                    both.wait(60)
            return len(tries)

        return work

    with ThreadPoolExecutor(2) as pool:
        tries = [pool.submit(in_transaction, database, lock(order)) for order in ("ab", "ba")]
        assert sorted(each.result(60) for each in tries) == [1, 2]
    tries_of_a_fault: list[int] = []

    def fail(session: Any) -> None:
        tries_of_a_fault.append(1)
        session.execute(text("SELECT * FROM nowhere"))

    with pytest.raises(DBAPIError):
        in_transaction(database, fail)
    assert len(tries_of_a_fault) == 1


def test_one_body_that_no_key_decrypts_does_not_stop_the_others(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness(body_keys=OLD)
    harness.deliver(*(samples.created(f"b{number}", START, AT) for number in range(3)))
    with harness.services.database.transaction() as session:
        bad = session.scalars(select(Delivery).order_by(Delivery.id)).all()[1]
        bad.body = b"damaged"
    result = reencrypt(harness.services.database, BodyCipher([OLD, NEW]))
    assert result.done == 2
    assert list(result.failed) == [bad.id]
    assert "damaged" in result.failed[bad.id]
    with pytest.raises(Transient):
        harness.services.inbox.cipher.decrypt(harness.all(Delivery)[1].encrypted_body)


def test_a_guest_whom_a_run_will_erase_is_encrypted_with_the_newest_key(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness(body_keys=OLD)
    harness.process(samples.created("b1", START, AT, attendees=[samples.guest(1)]))
    guest, now = GuestName(email=str(samples.guest(1)["email"])), datetime.now(UTC)
    with harness.services.database.transaction() as session:
        start_erasure(session, guest, harness.services.inbox.cipher, "Ada", "she asked", now)
    assert "run 1" in reencrypt(harness.services.database, BodyCipher([NEW])).failed
    assert reencrypt(harness.services.database, BodyCipher([OLD, NEW])).failed == {}
    rotated = open_harness(body_keys=NEW)
    assert advance_runs(rotated.services, now) == 1
    assert [(run.status, run.outcome["bookings"]) for run in harness.all(Run)] == [("done", 1)]
