"""Changes over HTTP: from the start, from now on, after a cursor, and waiting for the next."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete
from sqlalchemy.exc import OperationalError

from devtools.send import samples
from models.booking import BookingChange
from models.change_feed import last_batch, number_changes
from operations.api_tokens import revoke_token
from read_api.feed_waiters import FeedWaiters, WaitResult
from read_api.rsgi import ReadApiServer
from runtime.database import Database
from tests.read_api.conftest import Book
from tests.worker.harness import START, Harness, later

CHANGES = "/api/v1/changes"
QUICK = timedelta(milliseconds=5)


def read(client: FlaskClient, **query: Any) -> dict[str, Any]:
    response = client.get(CHANGES, query_string=query)
    assert response.status_code == 200, response.text
    return dict(response.get_json())


def kinds(page: dict[str, Any]) -> list[tuple[str, str]]:
    return [(change["booking_id"], change["kind"]) for change in page["changes"]]


def test_a_consumer_gets_all_changes_once_and_continues(client: FlaskClient, book: Book, harness: Harness) -> None:
    book("b1", "b2")
    first = read(client, limit=1)
    assert (kinds(first), first["has_more"]) == ([("b1", "created")], True)
    second = read(client, after=first["next"])
    assert (kinds(second), second["has_more"]) == ([("b2", "created")], False)
    empty = read(client, after=second["next"])
    assert empty == {"changes": [], "next": second["next"], "has_more": False}
    harness.process(samples.cancelled("b1", START, later(5)))
    (change,) = read(client, after=empty["next"])["changes"]
    assert (change["kind"], change["revision"], change["after"]["status"]) == ("cancelled", 2, "cancelled")
    assert change["booking"] == client.get("/api/v1/bookings/b1").get_json()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_consumer_may_start_now(client: FlaskClient, book: Book) -> None:
    assert kinds(read(client, after=read(client, after="now")["next"])) == []
    book("b1")
    cursor = read(client, after="now")["next"]
    book("b2")
    assert kinds(read(client, after=cursor)) == [("b2", "created")]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_cursor_of_another_database_is_gone(client: FlaskClient, database: Database, book: Book) -> None:
    book("b1")
    cursor = read(client)["next"]
    with database.transaction() as session:
        session.execute(delete(BookingChange))
    response = client.get(CHANGES, query_string={"after": cursor})
    assert (response.status_code, response.content_type) == (410, "application/problem+json")
    assert client.get(f"{CHANGES}?after=x").status_code == 400


class Exchange:
    """One request and its response, as Granian has them."""

    def __init__(self, token: str, query: str) -> None:
        self.scope = SimpleNamespace(
            method="GET", path=CHANGES, query_string=query, headers={"authorization": f"Bearer {token}"},
            http_version="1.1", scheme="http", server="127.0.0.1:8500", client="127.0.0.1:5",
        )  # fmt: skip
        self.status, self.headers, self.body = 0, {}, b""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status, self.headers, self.body = status, {name.lower(): value for name, value in headers}, body


async def ask(server: ReadApiServer, token: str, query: str) -> Exchange:
    exchange = Exchange(token, query)
    await server.__rsgi__(exchange.scope, exchange)  # type: ignore[arg-type]
    return exchange


def waiters(database: Database, limit: int = 10) -> FeedWaiters:
    def poll() -> int:
        number_changes(database)
        with database.read_only() as session:
            return last_batch(session)

    return FeedWaiters(poll, limit, QUICK)


def test_those_who_wait_get_a_change_as_it_comes_and_hold_no_thread(
    app: Flask, token: str, database: Database, book: Book
) -> None:
    async def scene() -> list[Exchange]:
        server = ReadApiServer(app, waiters(database, limit=50))
        asking = [asyncio.create_task(ask(server, token, "wait=30")) for _ in range(50)]
        while server._waiters and server._waiters._waiting < 50:  # more than there are threads
            await asyncio.sleep(0.01)
        await asyncio.to_thread(book, "b1")
        return await asyncio.gather(*asking)

    answers = asyncio.run(scene())
    assert all(answer.status == 200 and b'"booking_id":"b1"' in answer.body for answer in answers)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_those_who_wait_in_vain_and_those_too_many_get_an_empty_page(
    app: Flask, token: str, database: Database
) -> None:
    async def scene() -> tuple[Exchange, Exchange]:
        patient = ReadApiServer(app, waiters(database))
        full = ReadApiServer(app, waiters(database, limit=0))
        return await ask(patient, token, "wait=1"), await ask(full, token, "wait=30")

    in_vain, too_many = asyncio.run(scene())
    assert in_vain.status == too_many.status == 200
    assert in_vain.body == too_many.body
    assert "retry-after" not in in_vain.headers
    assert too_many.headers["retry-after"] == "5"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_token_that_is_revoked_while_its_client_waits_shows_nothing(
    app: Flask, token: str, database: Database, book: Book
) -> None:
    async def scene() -> Exchange:
        server = ReadApiServer(app, waiters(database))
        asking = asyncio.create_task(ask(server, token, "wait=30"))
        while not (server._waiters and server._waiters._waiting):
            await asyncio.sleep(0.01)
        with database.transaction() as session:
            revoke_token(session, "platform", "Ada", datetime.now(UTC))
        await asyncio.to_thread(book, "b1")
        return await asking

    assert asyncio.run(scene()).status == 401


def test_the_database_is_polled_once_for_all_and_only_while_somebody_waits() -> None:
    polls = []

    def poll() -> int:
        polls.append(1)
        return len(polls)

    async def scene() -> list[WaitResult]:
        feed = FeedWaiters(poll, 100, QUICK)
        results = await asyncio.gather(*(feed.wait(2, 30) for _ in range(100)))
        assert feed._poller
        await feed._poller
        return results

    assert asyncio.run(scene()) == [WaitResult.CHANGED] * 100
    assert len(polls) == 3


def test_a_poll_that_fails_is_repeated_and_those_who_wait_go_on_waiting() -> None:
    polls = []

    def poll() -> int:
        polls.append(1)
        if len(polls) < 3:
            raise OperationalError("SELECT 1", {}, Exception("the database is away"))
        return len(polls)

    async def scene() -> WaitResult:
        return await FeedWaiters(poll, 100, QUICK).wait(0, 30)

    assert asyncio.run(scene()) is WaitResult.CHANGED
    assert len(polls) == 3
