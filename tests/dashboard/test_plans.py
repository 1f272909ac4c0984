"""Each list and its counts are found by an index, as the plans of both databases show."""

from typing import Any

import pytest
from flask import Flask
from psycopg import ClientCursor
from sqlalchemy import select

from models.delivery import Delivery
from runtime.database import Database
from tests.dashboard.conftest import client_of
from tests.test_query_plans import (
    GROWING_TABLES,
    Statements,
    _nodes,
    _steps_of_sqlite,
    database,
    database_url,
    distinct,
    large_database_url,
    large_postgresql,
    record_statements,
)

__all__ = ["database", "database_url", "large_database_url", "large_postgresql"]

TABLES = set(GROWING_TABLES) - {"failed_attempts"}
"""The filled database has no failed attempts: no planner would use an index for them."""
STATUSES = ("all", "pending", "dead", "done")
PAGES = [
    *(f"/deliveries?status={status}" for status in STATUSES),
    *(f"/deliveries?status={status}&event=booking_created" for status in STATUSES),
    "/deliveries?booking=filled-1",
    "/deliveries?host=7",
    "/deliveries?guest=nobody@example.com",
    "/deliveries?error=KeyError",
    "/deliveries?error_is=KeyError",
    "/deliveries?since=7d&until=1h",
    "/errors",
    "/runs",
]


def full_scans(database: Database, statements: Statements) -> list[str]:
    """Return scans of a growing table that use no index. Along an index, a LIMIT ends the scan."""
    found: list[str] = []
    with database.engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        for statement, parameters in distinct(statements).items():
            if database.supports_skip_locked:
                ((((plan,),),)) = ClientCursor(raw).execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters).fetchall()
                nodes = [node for node in _nodes(plan["Plan"]) if node.get("Relation Name") in TABLES]
                found += [f"{node['Node Type']} {statement}" for node in nodes if node["Node Type"] == "Seq Scan"]
            else:
                steps = [step for step in _steps_of_sqlite(raw, statement, parameters) if step.startswith("SCAN ")]
                found += [f"{step} {statement}" for step in steps if step.split()[1] in TABLES and "USING" not in step]
    return found


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_found_by_an_index(app: Flask, database: Database, path: str) -> None:
    client = client_of(app, "operate")
    with record_statements() as statements:
        assert client.get(path).status_code == 200
    assert statements
    assert not full_scans(database, statements)


def test_one_delivery_is_found_by_an_index(app: Flask, database: Database) -> None:
    with database.read_only() as session:
        key = session.scalar(select(Delivery.id).limit(1))
    with record_statements() as statements:
        assert client_of(app, "read").get(f"/deliveries/{key}").status_code == 200
    assert not full_scans(database, statements)
