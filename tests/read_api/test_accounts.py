"""A token reads its own account only: bookings, hosts and changes."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from devtools.send import samples
from models.api_token import ApiToken
from models.change_feed import last_batch, number_changes
from operations.api_tokens import create_token
from operations.errors import OperationError
from read_api.feed_waiters import FeedWaiters
from read_api.rsgi import ReadApiServer
from runtime.database import Database
from tests.read_api.conftest import client_with
from tests.read_api.test_changes import QUICK, ask, kinds, read
from tests.worker.harness import AT, START, Harness

ACCOUNTS = ("default", "acme", "zeta")


@pytest.fixture
def several(harness: Harness) -> Harness:
    """Three accounts, each with a host and a booking of the same ids."""
    for number, account in enumerate(ACCOUNTS):
        if account != "default":
            harness.add_account(account)
        harness.add_user(external_id=str(number), meetergo_user_id=samples.HOST_ID, account=account)
        harness.process(samples.created("b1", START, AT), account=account)
    return harness


@pytest.fixture
def client_of(app: Flask, database: Database) -> Any:
    def client(account: str | None) -> FlaskClient:
        with database.transaction() as session:
            token = ApiToken.create(session, str(account), "read", "Ada", datetime.now(UTC), account)
        return client_with(app, token)

    return client


def seen(client: FlaskClient) -> dict[str, Any]:
    bookings = client.get("/api/v1/bookings").get_json()["bookings"]
    by_start = client.get("/api/v1/bookings?since=2100-01-01&status=confirmed").get_json()["bookings"]
    return {
        "bookings": [(row["id"], row["account"], row["external_id"]) for row in bookings],
        "by start": sorted(row["id"] for row in by_start),
        "hosts": [(row["external_id"], row["account"]) for row in client.get("/api/v1/hosts").get_json()["hosts"]],
        "changes": kinds(read(client)),
        "one": [client.get(f"/api/v1/bookings/{key}").status_code for key in ("b1", "acme:b1", "zeta:b1")],
    }


def test_a_token_of_an_account_sees_nothing_else(several: Harness, client_of: Any) -> None:
    assert seen(client_of("acme")) == {
        "bookings": [("acme:b1", "acme", "1")],
        "by start": ["acme:b1"],
        "hosts": [("1", "acme")],
        "changes": [("acme:b1", "created")],
        "one": [404, 200, 404],
    }
    assert seen(client_of("default")) == {
        "bookings": [("b1", "default", "0")],
        "by start": ["b1"],
        "hosts": [("0", "default")],
        "changes": [("b1", "created")],
        "one": [200, 404, 404],
    }
    everything = seen(client_of(None))
    assert [row[1] for row in everything["bookings"]] == ["acme", "default", "zeta"]
    assert (len(everything["hosts"]), len(everything["changes"]), everything["one"]) == (3, 3, [200] * 3)


@pytest.mark.parametrize("account", ["default", "acme"])
def test_a_consumer_continues_after_the_changes_of_others(several: Harness, client_of: Any, account: str) -> None:
    client = client_of(account)
    after = read(client)["next"]
    for number in range(3):
        several.process(samples.created(f"other-{number}", START, AT), account="zeta")
    empty = read(client, after=after)
    assert empty["changes"] == []
    several.process(samples.created("b2", START, AT), account=account)
    (found,) = read(client, after=empty["next"])["changes"]
    assert found["booking"]["account"] == account


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_changes_of_another_account_do_not_end_a_wait(
    several: Harness, client_of: Any, app: Flask, database: Database
) -> None:
    """The first change while the client waits is another account's, the second its own."""
    client = client_of("acme")
    after, numbers = read(client)["next"], iter(("zeta", "acme"))

    def poll() -> int:
        account = next(numbers, None)
        if account:
            several.process(samples.created("later", START, AT), account=account)
        number_changes(database)
        with database.read_only() as session:
            return last_batch(session)

    token = client.environ_base["HTTP_AUTHORIZATION"].removeprefix("Bearer ")
    exchange = asyncio.run(ask(ReadApiServer(app, FeedWaiters(poll, interval=QUICK)), token, f"after={after}&wait=30"))
    assert (exchange.status, b'"booking_id":"acme:later"' in exchange.body) == (200, True)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_token_is_of_an_account_that_exists(several: Harness, database: Database) -> None:
    with database.transaction() as session:
        with pytest.raises(OperationError, match="there is no account 'nobody'"):
            create_token(session, "platform", "read", "Ada", datetime.now(UTC), "nobody")
        create_token(session, "platform", "read", "Ada", datetime.now(UTC), "acme")
