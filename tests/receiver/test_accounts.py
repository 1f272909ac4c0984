"""Several accounts: the address names the one that a webhook is for."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer
from sqlalchemy import select, text

from models.account import DEFAULT, Account
from models.account_cache import Accounts
from models.delivery import Delivery, delivery_id, unpack
from runtime.database import Database
from runtime.signed_address import AddressSigner
from tests.payloads import payload
from tests.receiver.conftest import ADDRESS, KEY, OLD_KEY, MakeApp
from tests.receiver.test_store_outage import no_database

BODY = payload("booking_created")


def address_of(name: str, *keys: str) -> str:
    return AddressSigner(keys or [OLD_KEY, KEY]).path(name)


def add_account(database: Database, name: str, **columns: Any) -> None:
    now = datetime.now(UTC)
    with database.transaction() as session:
        session.add(Account(name=name, created_at=now, updated_at=now, **columns))


def stored_in(database: Database) -> list[tuple[str, str]]:
    with database.read_only() as session:
        rows = session.execute(select(Delivery.account, Delivery.id).order_by(Delivery.account))
        return [(account, row_id) for account, row_id in rows]


def test_the_same_bytes_are_a_delivery_of_each_account(make_app: MakeApp, database: Database) -> None:
    add_account(database, "acme")
    client = make_app().test_client()
    for address in (ADDRESS, address_of("acme"), address_of("acme", OLD_KEY)):
        assert client.post(address, data=BODY).status_code == 200
    assert stored_in(database) == [("acme", delivery_id(BODY, "acme")), ("default", delivery_id(BODY, DEFAULT))]


@pytest.mark.parametrize("name", ["former", "never-added", "default"])
def test_an_account_that_is_disabled_or_unknown_is_not_found(
    make_app: MakeApp, database: Database, redis: Redis, name: str
) -> None:
    add_account(database, "former", is_active=False)
    response = make_app(webhook_account="own").test_client().post(address_of(name), data=BODY)
    assert (response.status_code, stored_in(database), redis.keys()) == (404, [], [])


def test_the_name_in_the_own_address_is_not_that_of_the_account(make_app: MakeApp, database: Database) -> None:
    assert make_app(webhook_account="own").test_client().post(address_of("own"), data=BODY).status_code == 200
    assert stored_in(database) == [("default", delivery_id(BODY, DEFAULT))]


def test_an_added_account_is_known_at_once(make_app: MakeApp, database: Database) -> None:
    client = make_app().test_client()
    assert client.post(address_of("acme"), data=BODY).status_code == 404
    add_account(database, "acme")
    assert client.post(address_of("acme"), data=BODY).status_code == 200


def test_a_known_account_is_checked_without_a_thread(
    make_app: MakeApp, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.account_cache.CACHE_TIME", timedelta(hours=1))
    add_account(database, "acme")
    client = make_app().test_client()
    assert client.post(address_of("acme"), data=BODY).status_code == 200
    monkeypatch.setattr(Accounts, "accepts", None)
    assert client.post(address_of("acme"), data=payload("booking_created", id="another")).status_code == 200


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)  # SQLite has no lock on one table
def test_the_last_known_accounts_count_while_their_table_is_locked(
    make_app: MakeApp, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.account_cache.CACHE_TIME", timedelta(0))
    monkeypatch.setattr("receiver.auth.ACCOUNT_TIMEOUT", timedelta(milliseconds=50))
    add_account(database, "acme")
    add_account(database, "former", is_active=False)
    client = make_app().test_client()
    assert client.post(address_of("former"), data=BODY).status_code == 404
    with database.engine.begin() as connection:
        connection.execute(text(f"LOCK TABLE {Account.__table__.fullname} IN ACCESS EXCLUSIVE MODE"))
        assert client.post(address_of("acme"), data=BODY).status_code == 200
        assert connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))  # its lookup still waits
        assert client.post(address_of("former"), data=BODY).status_code == 404
        assert client.post(address_of("unknown"), data=BODY).status_code == 200
    assert [account for account, _ in stored_in(database)] == ["acme", "unknown"]


def test_while_the_database_is_down_any_signed_address_is_accepted(
    make_app: MakeApp, redis: Redis, tmp_path: Path
) -> None:
    client = make_app(database_url=no_database(tmp_path)).test_client()
    assert client.post(address_of("acme"), data=BODY).status_code == 200
    assert client.post(address_of("acme", "another-key-" * 4), data=BODY).status_code == 404
    (job,) = Queue("meetergo-inbox-inbox", connection=redis, serializer=JSONSerializer).jobs
    assert unpack(*job.args[:5]).account == "acme"
