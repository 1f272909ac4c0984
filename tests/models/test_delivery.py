"""Deliveries are inserted as they are, whatever else is in the same statement."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select, text

from models.delivery import Delivery, NewDelivery
from operations.store_errors import StoreError, store_error_message
from runtime.database import EARLIEST, Database, RowsDiscarded
from runtime.encryption import EncryptedBody
from runtime.write_probe import probe_write
from tests.discarding_trigger import discarding
from tests.raw_sql import sql

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


def test_a_trigger_that_silently_discards_deliveries_is_an_error_and_a_repeat_is_none(database: Database) -> None:
    """The receiver would otherwise answer 200 to what is stored nowhere; after an error, Redis keeps it."""
    known, new = new_delivery(1, b"known"), new_delivery(2, b"new")
    with database.one_statement() as connection:
        Delivery.accept(connection, [known])
    with discarding(database, "deliveries"):
        with pytest.raises(RowsDiscarded, match="look at that table"), database.one_statement() as connection:
            Delivery.accept(connection, [known, new])
        with pytest.raises(StoreError) as error:
            probe_write(database)
        assert store_error_message(error.value).startswith("the database discards or changes what is written")
        with database.one_statement() as connection:
            Delivery.accept(connection, [known])
    probe_write(database)


CHANGING = {
    "postgresql": (
        "CREATE FUNCTION upper_status() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN NEW.status := upper(NEW.status); RETURN NEW; END'",
        "CREATE TRIGGER upper_status BEFORE INSERT ON deliveries FOR EACH ROW EXECUTE FUNCTION upper_status()",
    ),
    "sqlite": (
        "CREATE TRIGGER upper_status AFTER INSERT ON deliveries BEGIN"
        " UPDATE deliveries SET status = upper(status) WHERE id = NEW.id; END",
    ),
}


def test_a_trigger_that_changes_the_status_is_reported(database: Database) -> None:
    """Nobody would handle these rows: `PENDING` is not a status."""
    with database.engine.begin() as connection:
        for statement in CHANGING[connection.dialect.name]:
            connection.execute(sql(connection, statement))
    try:
        with pytest.raises(RowsDiscarded, match="changes what is written to deliveries"):
            probe_write(database)
    finally:
        with database.engine.begin() as connection:
            is_sqlite = connection.dialect.name == "sqlite"
            connection.execute(text(f"DROP {'TRIGGER upper_status' if is_sqlite else 'FUNCTION upper_status CASCADE'}"))
