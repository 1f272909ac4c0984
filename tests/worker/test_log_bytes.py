"""What the worker writes to PostgreSQL's log: an update that stays on its page logs only what it changes."""

import pytest

from benchmarks.bodies import new_bookings
from models.delivery import Delivery
from models.notification import Notification
from runtime.database import Database
from tests.raw_sql import sql
from tests.worker.harness import Harness

COUNT = 60
PAGE = "SELECT id, (ctid::text::point)[0] FROM {} ORDER BY id"


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_most_deliveries_and_notifications_are_changed_on_their_page(database: Database, harness: Harness) -> None:
    harness.deliver(*new_bookings("pages", COUNT).values())
    received = pages(database, Delivery.__tablename__)
    harness.process_due()
    processed, planned = pages(database, Delivery.__tablename__), pages(database, Notification.__tablename__)
    harness.send_all()
    sent = pages(database, Notification.__tablename__)
    assert len(received & processed) > 0.8 * COUNT
    assert len(planned & sent) > 0.25 * COUNT


def pages(database: Database, table: str) -> set[tuple[str | int, float]]:
    """Return the rows with the page on which each is."""
    with database.engine.connect() as connection:
        return {(key, page) for key, page in connection.execute(sql(connection, PAGE.format(table)))}
