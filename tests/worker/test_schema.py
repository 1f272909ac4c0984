"""Installations in schemas of their own, in one database: everything is read and written there, and nowhere else."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select, text

from devtools.send import samples
from models.claim import Claim
from models.migrate import migrate
from models.migrations.newer import is_up_to_date
from models.stats import collect_stats
from models.tables import Booking, Delivery, Notification
from runtime.database import Database
from runtime.write_probe import probe_write
from tests.snapshot import snapshot_rows
from tests.worker.harness import AT, START, Harness
from worker.maintenance.recovery import recover_stale_claims
from worker.maintenance.sweeper import sweep

NOW = datetime.now(UTC)
lawyers = Table("lawyers", MetaData(), Column("id", Integer, primary_key=True), Column("booking", String))
"""A table of the platform, which names no schema."""


def note_booking(session: Any, booking: Booking, change: Any) -> None:
    session.execute(insert(lawyers).values(booking=booking.id))


@pytest.fixture(params=["second", "order"])
def another(request: pytest.FixtureRequest, migrated_postgresql: Database) -> Iterator[str]:
    """The name of a schema with an installation; `order` has to be quoted."""
    url = migrated_postgresql.engine.url.render_as_string(hide_password=False)
    database = Database(url, schema=request.param)
    migrate(database.engine)
    database.close()
    with migrated_postgresql.engine.begin() as connection:
        lawyers.create(connection)
    yield request.param
    with migrated_postgresql.engine.begin() as connection:
        lawyers.drop(connection)
        connection.execute(text(f'DROP SCHEMA "{request.param}" CASCADE'))


@pytest.fixture
def database(migrated_postgresql: Database) -> Database:
    """The first installation's, in the default schema."""
    return migrated_postgresql


def test_another_schema_holds_all_that_an_installation_does(
    another: str, database: Database, open_harness: Callable[..., Harness]
) -> None:
    before = snapshot_rows(database)
    hook = f"{__name__}:note_booking"
    harness = open_harness(database_schema=another, platform_hook=hook, notify_default="log:")
    services, own = harness.services, harness.services.database
    probe_write(own)
    harness.add_user(meetergo_user_id=samples.HOST_ID)
    bodies = [samples.created(f"b{number}", START, AT) for number in range(5)]
    harness.deliver(*bodies, b"no JSON")
    harness.process_due()
    harness.process(samples.cancelled("b0", START, AT + timedelta(hours=1)))
    harness.send_all()
    Claim.record(own, "a worker", "inbox", ["x"], NOW)
    recover_stale_claims(own, services.job_queue, NOW + timedelta(hours=1))
    sweep(services, NOW)
    assert is_up_to_date(own.engine)

    assert harness.booking("b0").status == "cancelled"
    statuses = sorted(delivery.status for delivery in harness.all(Delivery))
    assert statuses == ["dead", *["done"] * 6]
    assert {notification.status for notification in harness.all(Notification)} == {"done"}
    stats = collect_stats(own, services.job_queue, NOW)
    assert stats.rows is not None
    assert stats.rows["inbox"].dead == 1
    with own.read_only() as session:
        assert len(session.execute(select(lawyers)).all()) == 6
    assert snapshot_rows(database) == before
    assert len(harness.all(Booking)) == 5
