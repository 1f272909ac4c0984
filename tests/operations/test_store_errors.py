"""What a store's error tells an operator: the real errors of both databases and of Redis."""

from datetime import UTC, datetime

import pytest
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from models.delivery import Delivery, NewDelivery
from operations.store_errors import StoreError, store_error_message
from runtime.database import Database
from runtime.encryption import BodyCipher
from runtime.redis.client import connect
from tests.broken_databases import read_only_database
from tests.discarding_trigger import discarding

ON_POSTGRESQL = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


def message_of(database: Database, *statements: str) -> str:
    *before, last = map(text, statements)
    with database.engine.connect() as connection:
        for statement in before:
            connection.execute(statement)
        with pytest.raises(DBAPIError) as raised:
            connection.execute(last)
    return store_error_message(raised.value)


def test_a_database_that_is_read_only(database: Database) -> None:
    with read_only_database(database):
        assert "can be read, but not written" in message_of(database, "CREATE TABLE another (id INTEGER)")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_disk_that_is_full(database: Database) -> None:
    fill = "CREATE TABLE another AS SELECT zeroblob(100000)"
    assert "the disk of the database is full" in message_of(database, "PRAGMA max_page_count = 1", fill)


@ON_POSTGRESQL
def test_a_user_without_privileges(database: Database) -> None:
    refused = message_of(database, "SET LOCAL ROLE pg_monitor", "CREATE TABLE public.another (id INTEGER)")
    assert "the user in DATABASE_URL lacks a privilege" in refused


@ON_POSTGRESQL
def test_any_other_error(database: Database) -> None:
    assert "the database reports an error: division by zero" in message_of(database, "SELECT 1/0")


def test_a_key_of_redis_that_holds_something_else(redis: Redis) -> None:
    redis.set("key", "text")
    with pytest.raises(RedisError) as raised:
        redis.lpush("key", "item")
    assert "holds another type (see REDIS_PREFIX)" in store_error_message(raised.value)


def test_a_user_of_redis_without_permissions(redis: Redis, redis_url: str) -> None:
    redis.acl_setuser("guest", enabled=True, passwords=["+secret"], commands=["+ping"])
    url = redis_url.replace("redis://", "redis://guest:secret@")
    with connect(url) as guest, pytest.raises(RedisError) as raised:
        guest.get("key")
    redis.acl_deluser("guest")
    assert "the Redis user in REDIS_URL lacks a permission" in store_error_message(raised.value)


def test_a_change_that_a_trigger_discards(database: Database) -> None:
    """A command that ends a delivery, for example, through the ORM."""
    with database.one_statement() as connection:
        Delivery.accept(connection, [NewDelivery.from_body(b"{}", "default", datetime.now(UTC), BodyCipher([]))])
    with discarding(database, "deliveries", "UPDATE"), pytest.raises(StoreError) as raised:
        with database.transaction() as session:
            session.scalars(select(Delivery)).one().ignore("not ours", datetime.now(UTC))
    assert store_error_message(raised.value).startswith("a row did not change, because a trigger discards that")
