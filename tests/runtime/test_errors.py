"""What is logged and stored of an error: the driver's reason, and no data of people."""

import pytest
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from models.retryable import stored_error
from runtime.database import Database, RowsDiscarded
from runtime.errors import Transient, describe, log_fields

GUEST = "guest@example.com"
RAISE = f"DO $$ BEGIN RAISE EXCEPTION '% is unknown', '{GUEST}'; END $$"


def error_of(database: Database, statement: str) -> SQLAlchemyError:
    with pytest.raises(SQLAlchemyError) as raised, database.transaction() as session:
        session.execute(text(statement))
    return raised.value


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("statement", "fields"),
    [
        ("SELECT * FROM audit_log", {"error": "UndefinedTable", "reason": 'relation "audit_log" does not exist'}),
        (f"SELECT CAST('{GUEST}' AS integer)", {"error": "InvalidTextRepresentation"}),
        (RAISE, {"error": "RaiseException"}),
    ],
)
def test_a_database_error_is_logged_with_its_reason_unless_it_may_quote_data(
    database: Database, statement: str, fields: dict[str, str]
) -> None:
    assert log_fields(error_of(database, statement)) == fields


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_error_of_sqlite_has_a_reason_too(database: Database) -> None:
    fields = log_fields(error_of(database, "SELECT * FROM audit_log"))
    assert fields == {"error": "OperationalError", "reason": "no such table: audit_log"}


def test_an_error_of_redis_has_a_reason_without_the_values_of_its_command(redis: Redis) -> None:
    redis.set("a", "text")
    pipeline = redis.pipeline()
    pipeline.lpush("a", GUEST)
    with pytest.raises(RedisError) as raised:
        pipeline.execute()
    assert GUEST in str(raised.value)
    assert log_fields(raised.value)["reason"].startswith("WRONGTYPE")
    assert GUEST not in f"{log_fields(raised.value)}"


def test_any_other_error_is_logged_by_its_class_alone() -> None:
    assert log_fields(KeyError(GUEST)) == {"error": "KeyError"}
    assert log_fields(Transient("busy")) == {"error": "busy"}


def test_a_stored_database_error_begins_with_its_cause_and_holds_no_statement(database: Database) -> None:
    error = error_of(database, "SELECT * FROM audit_log")
    assert stored_error(error).startswith(f"{describe(error)}: ")
    assert "audit_log" in stored_error(error)
    assert "[SQL" not in stored_error(error)


def test_a_stored_error_of_our_own_says_it_once() -> None:
    error = RowsDiscarded("notifications")
    assert stored_error(error) == str(error)
