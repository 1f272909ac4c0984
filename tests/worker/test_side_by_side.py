"""Erasing, reencrypting, replaying, pruning and linking beside the workers: nobody fails, and nothing is half done."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from console import samples
from models.booking import Booking, BookingChange
from models.contention import in_transaction
from models.database import Database
from models.delivery import Delivery
from models.erasure import erase
from models.failures import Transient
from models.notification import Notification
from models.platform_user import PlatformUser
from models.reencryption import reencrypt
from models.retention import prune
from models.vault import Vault, name_of
from tests.worker.desk import AT, START, Desk, later
from worker.office import Office, open_office
from worker.repair import Repair
from worker.selection import select_deliveries
from worker.settings import WorkerSettings
from worker.sweep import link_new_users

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
BOOKINGS, ROUNDS = 30, 4
GUESTS = [samples.guest(1), samples.guest(2)]
KEEP = {"done": timedelta(days=30), "dead": timedelta(days=90)}


def bodies() -> list[dict[str, Any]]:
    return [
        samples.created(
            f"b{number:02}",
            START,
            later(turn),
            attendees=[samples.guest(1), samples.guest(2)],
            hostIds=[f"h{number % 5}"],
        )
        | {"start": later(60 + turn).isoformat()}
        for number in range(BOOKINGS)
        for turn in range(3)
    ]


def erase_somebody(office: Office) -> None:
    erase(office.database, office.inbox.vault, "guest-2@example.com", datetime.now(UTC))


def reencrypt_all(office: Office) -> None:
    assert reencrypt(office.database, office.inbox.vault).failed == {}


def replay_all(office: Office) -> None:
    chosen = select_deliveries(office.inbox, select(Delivery), None).chosen
    for start in range(0, len(chosen), 20):
        Repair(office, "the operator", tells_again=True).replay(chosen[start : start + 20], datetime.now(UTC))


def replay_notifications(office: Office) -> None:
    with office.database.reading() as session:
        ids = session.scalars(select(Notification.id).order_by(Notification.id.desc()).limit(50)).all()
    Repair(office, "the operator", tells_again=True).replay_notifications(ids, datetime.now(UTC))


def work(office: Office) -> None:
    for _ in range(3):
        office.inbox.work_off()
        office.outbox.work_off()


def link(office: Office) -> None:
    def unlink(session: Any) -> None:
        its_users = select(PlatformUser).order_by(PlatformUser.id).with_for_update(key_share=True)
        for user in session.scalars(its_users):
            user.linked_as = None
        locked = select(Booking).where(Booking.platform_user_id.is_not(None)).order_by(Booking.id).with_for_update()
        for booking in session.scalars(locked):
            booking.platform_user_id = None

    in_transaction(office.database, unlink)
    link_new_users(office, datetime.now(UTC))


def remove_what_is_old(office: Office) -> None:
    prune(office.database, datetime.now(UTC) + timedelta(days=40), KEEP | {"done": timedelta(days=39, hours=23)})


def test_all_that_operators_do_goes_on_beside_the_workers(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(body_keys=OLD)
    for number in range(5):
        desk.add_user(external_id=str(number), meetergo_user_id=f"h{number}", email=f"h{number}@example.com")
    desk.deliver(*bodies())
    desk.work_off()
    desk = open_desk(body_keys=f"{OLD},{NEW}")
    tasks = [erase_somebody, reencrypt_all, replay_all, replay_notifications, work, work, link, remove_what_is_old]
    together = Barrier(len(tasks))

    def go_on(task: Callable[[Office], None]) -> None:
        office = open_office(WorkerSettings.load())
        try:
            for _ in range(ROUNDS):
                together.wait(60)
                task(office)
        finally:
            office.database.close()

    with ThreadPoolExecutor(len(tasks)) as pool:
        for done in [pool.submit(go_on, task) for task in tasks]:
            done.result(300)
    with desk.office.database.transaction() as session:
        session.execute(update(Delivery).where(Delivery.status == "pending").values(attempts=0, due_at=AT))
    desk.work_off()
    erase_somebody(desk.office)
    assert {row.status for row in desk.all(Delivery)} <= {"done"}
    assert {row.sealed_with for row in desk.all(Delivery) if row.body} <= {name_of(NEW)}
    told = {Booking: ("facts", "attendees"), BookingChange: ("before", "after"), Notification: ("payload",)}
    for rows, columns in told.items():
        assert not [
            row.id for row in desk.all(rows) if "guest-2@" in json.dumps([getattr(row, name) for name in columns])
        ]
    for booking in desk.all(Booking):
        replayed: dict[str, Any] = {}
        for change in desk.changes():
            replayed |= change.after if change.booking_id == booking.id else {}
        assert {**replayed, "platform_user_id": None} == {**booking.seen(), "platform_user_id": None}


def test_work_that_another_transaction_is_in_the_way_of_is_done_again(database: Database, database_url: str) -> None:
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
    assert database.skips_locked is False or len(tries) > 1


def test_a_deadlock_is_done_again_and_another_error_is_not(database: Database) -> None:
    if not database.skips_locked:
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
                    both.wait(10)
            return len(tries)

        return work

    with ThreadPoolExecutor(2) as pool:
        tries = [pool.submit(in_transaction, database, lock(order)) for order in ("ab", "ba")]
        assert sorted(each.result(30) for each in tries) == [1, 2]
    tries_of_a_fault: list[int] = []

    def fail(session: Any) -> None:
        tries_of_a_fault.append(1)
        session.execute(text("SELECT * FROM nowhere"))

    with pytest.raises(DBAPIError):
        in_transaction(database, fail)
    assert len(tries_of_a_fault) == 1


def test_one_body_that_no_key_opens_does_not_stop_the_others(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(body_keys=OLD)
    desk.deliver(*(samples.created(f"b{number}", START, AT) for number in range(3)))
    with desk.office.database.transaction() as session:
        bad = session.scalars(select(Delivery).order_by(Delivery.id)).all()[1]
        bad.body = b"damaged"
    result = reencrypt(desk.office.database, Vault([OLD, NEW]))
    assert result.done == 2
    assert list(result.failed) == [bad.id]
    assert "damaged" in result.failed[bad.id]
    with pytest.raises(Transient):
        desk.office.inbox.vault.open(desk.all(Delivery)[1].sealed)
