"""Each page and its counts are found by an index, as the plans of both databases show, and each page is small."""

import re
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
MAX_PAGE_BYTES = 60_000
STATUSES = ("all", "pending", "dead", "done")
PAGES = [
    "/",
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
    "/errors?of=notifications",
    *(f"/bookings?tab={tab}" for tab in ("all", "upcoming", "cancelled", "unhosted", "untimed")),
    "/bookings?host=7",
    "/bookings?state=confirmed&since=2020-01-01",
    "/bookings?until=2030-01-01",
    "/bookings?booking=filled-1",
    "/bookings?after=2026-01-01T00:00:00%2B00:00~x",
    *(f"/notifications?status={status}" for status in STATUSES),
    "/notifications?event=created&error=KeyError",
    "/notifications?host=7&since=7d",
    "/hosts",
    "/hosts?mapping=none",
    "/hosts?q=7",
    "/reconcile",
    "/audit",
    "/audit?by=Ada&since=7d",
    "/live",
    "/live/entries",
    "/people",
    "/runs/send-again?since=1h",
    "/hosts/7",
    "/notifications/7",
    "/audit?booking=x",
    "/audit?kind=revealed",
    "/bookings?tab=unhosted&guest=nobody@example.com",
    *(f"/deliveries?status={status}&account=acme" for status in STATUSES),
    *(f"/notifications?status={status}&account=acme" for status in STATUSES),
    *(f"/bookings?tab={tab}&account=acme" for tab in ("all", "upcoming", "cancelled", "unhosted")),
    "/deliveries?account=default&since=7d",
    "/bookings?account=acme&since=2020-01-01",
    "/bookings?account=default",
    "/hosts?account=acme",
    "/audit?account=acme",
]


def full_scans(database: Database, statements: Statements) -> list[str]:
    """Return scans of a growing table that use no index, and sorts of a whole one. A LIMIT ends a scan of an index."""
    found: list[str] = []
    with database.engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        for statement, parameters in distinct(statements).items():
            if database.supports_skip_locked:
                ((((plan,),),)) = ClientCursor(raw).execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters).fetchall()
                nodes = [node for node in _nodes(plan["Plan"]) if node.get("Relation Name") in TABLES]
                scans = [node for node in nodes if node["Node Type"] == "Seq Scan"]
                found += [f"{node['Node Type']} {statement}" for node in scans]
                found += [
                    f"{node['Node Type']} without end {statement}"
                    for node in nodes
                    if node["Node Type"].startswith("Index") and "Index Cond" not in node and "LIMIT" not in statement
                ]
            else:
                steps = _steps_of_sqlite(raw, statement, parameters)
                found += [f"{step} {statement}" for step in steps if _is_full_scan(step, steps, statement)]
    return found


def _is_full_scan(step: str, steps: list[str], statement: str) -> bool:
    """Whether SQLite reads a whole table or index. In the order of its key, a LIMIT ends the scan."""
    if not step.startswith("SCAN ") or step.split()[1] not in TABLES:
        return False
    is_ordered = "USING" in step or (f"ORDER BY {step.split()[1]}.id" in statement and "TEMP B-TREE" not in str(steps))
    return not (is_ordered and "LIMIT" in statement)


def test_a_page_is_found_by_an_index_and_is_small(app: Flask, database: Database) -> None:
    client = client_of(app, "people")
    for path in PAGES:
        with record_statements() as statements:
            response = client.get(path)
        assert response.status_code == 200, path
        assert len(response.data) < MAX_PAGE_BYTES, path
        assert statements, path
        assert not full_scans(database, statements), path
        assert "1,001" not in response.text, path


@pytest.mark.parametrize("name", ["deliveries", "notifications"])
def test_a_time_is_sought_in_an_index_of_that_time(app: Flask, name: str) -> None:
    """In the order of their ends, all rows that are done would be read in search of a few that came at that time."""
    with record_statements() as statements:
        assert client_of(app, "read").get(f"/{name}?status=done&since=1h").status_code == 200
    of_a_time = [each for each in statements if re.search(r"(received|created)_at >=", str(each))]
    assert of_a_time
    assert [each for each in of_a_time if "ended_at DESC" in str(each) and "status = 'dead'" not in str(each)] == []


def test_one_booking_is_found_by_an_index(app: Flask, database: Database) -> None:
    page = client_of(app, "read").get("/bookings").text
    address = page[page.index('href="/bookings/') + 6 :].partition('"')[0]
    with record_statements() as statements:
        assert client_of(app, "read").get(address).status_code == 200
    assert not full_scans(database, statements)


def test_one_delivery_is_found_by_an_index(app: Flask, database: Database) -> None:
    with database.read_only() as session:
        key = session.scalar(select(Delivery.id).limit(1))
    with record_statements() as statements:
        assert client_of(app, "read").get(f"/deliveries/{key}").status_code == 200
    assert not full_scans(database, statements)
