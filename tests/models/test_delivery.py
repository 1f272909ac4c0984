"""Deliveries are inserted as they are, whatever else is in the same statement."""

from datetime import UTC, datetime, timedelta, timezone

from sqlalchemy import select

from models.delivery import Delivery, NewDelivery
from runtime.database import EARLIEST, Database
from runtime.encryption import EncryptedBody

NOW = datetime(2026, 5, 4, 9, 30, 15, 123456, tzinfo=UTC)
BEFORE_TIME = datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))
"""A deferred delivery may say so. Python cannot convert it to UTC."""


def new_delivery(number: int, content: bytes, key: str | None = None, at: datetime = NOW) -> NewDelivery:
    return NewDelivery(f"{number:064x}", "berlin" if number % 2 else "default", EncryptedBody(content, key), at)


def test_each_delivery_is_inserted_once_with_its_own_values(database: Database) -> None:
    plain, encrypted = new_delivery(1, b'{"name":"\\"J\xc3\xa4ne\\", {}"}'), new_delivery(2, bytes(range(256)), "key")
    ancient = new_delivery(3, b"NULL", at=BEFORE_TIME)
    with database.one_statement() as connection:
        Delivery.accept(connection, [encrypted, ancient, plain, plain])
    with database.transaction() as session:
        Delivery.accept(session, [plain, new_delivery(4, b"")])
    with database.read_only() as session:
        rows = session.scalars(select(Delivery).order_by(Delivery.id)).all()
    assert [(row.account, row.body, row.sealed_with, row.received_at) for row in rows] == [
        ("berlin", plain.encrypted_body.content, None, NOW),
        ("default", bytes(range(256)), "key", NOW),
        ("berlin", b"NULL", None, EARLIEST),
        ("default", b"", None, NOW),
    ]
    assert {(row.status, row.attempts, row.source, row.due_at == row.received_at) for row in rows} == {
        ("pending", 0, "webhook", True)
    }
