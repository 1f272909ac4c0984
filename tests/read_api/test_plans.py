"""Each query of the read API is found by an index, as the plans of both databases show on many rows."""

from uuid import uuid4

import pytest
from flask import Flask

from models.account import DEFAULT
from models.change_feed import last_batch, number_changes
from runtime.database import Database
from tests.dashboard.test_plans import full_scans
from tests.read_api.conftest import app, client_with, create_token
from tests.test_query_plans import database, database_url, large_database_url, large_postgresql, record_statements

__all__ = ["app", "database", "database_url", "large_database_url", "large_postgresql"]

PATHS = [
    "/api/v1/bookings",
    "/api/v1/bookings?host=7",
    "/api/v1/bookings?status=cancelled",
    "/api/v1/bookings?since=7d",
    "/api/v1/bookings?since=2020-01-01&until=2030-01-01&status=confirmed&host=7",
    "/api/v1/bookings/nowhere",
    "/api/v1/changes",
    "/api/v1/changes?after=now",
    "/api/v1/hosts",
]


@pytest.fixture(autouse=True, scope="module")
def _numbered(large_database_url: str) -> None:
    """Half of the changes are numbered, and half are a backlog."""
    database = Database(large_database_url)
    for _ in range(10):
        assert number_changes(database)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    database.close()


@pytest.mark.parametrize("account", [None, DEFAULT, "acme"])
@pytest.mark.parametrize("path", PATHS)
def test_a_page_and_the_next_are_found_by_an_index(
    app: Flask, database: Database, path: str, account: str | None
) -> None:
    client = client_with(app, create_token(database, uuid4().hex, account=account))
    with record_statements() as statements:
        response = client.get(path)
        if after := response.get_json().get("next"):
            following = path.replace("after=now", "") + ("&" if "?" in path else "?")
            assert client.get(f"{following}after={after}").status_code == 200
    assert response.status_code in (200, 404)
    assert statements
    assert not full_scans(database, statements)


def test_a_backlog_is_numbered_and_read_by_an_index(database: Database) -> None:
    with record_statements() as statements:
        assert number_changes(database)
        with database.read_only() as session:
            last_batch(session)
    assert not full_scans(database, statements)
