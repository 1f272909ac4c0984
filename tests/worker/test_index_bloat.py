"""Processed rows leave nothing behind that slows down the search for pending rows.

PostgreSQL keeps a row that is locked before a savepoint and changed in it as two transactions' (a MultiXact). No reader
marks such a row as dead, so each search for pending rows visits all rows processed since the last vacuum.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import create_engine, text

from devtools.send import mix
from models.delivery import Delivery
from runtime.database import Database
from tests.worker.harness import Harness

COUNT = 150
NEXT = "SELECT next_multixact_id::text::bigint FROM pg_control_checkpoint()"


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("hook", ["", "tests.worker.hooks:do_nothing"])
def test_processing_creates_no_multixact(database: Database, open_harness: Callable[..., Harness], hook: str) -> None:
    harness = open_harness(notify_default="log:", platform_hook=hook)
    before = multixacts(database)
    harness.deliver(*mix.same_event("booking_created", None, "traces", COUNT, datetime.now(UTC)))
    harness.process_due()
    harness.send_all()
    assert [delivery.status for delivery in harness.all(Delivery)] == ["done"] * COUNT
    made = multixacts(database) - before
    # Bookings are locked for the batch and changed in the savepoint of their hook. They are found by their key, so no
    # search visits their former versions; the deliveries are ended outside of it.
    assert made <= 2 * COUNT if hook else made == 0


def multixacts(database: Database) -> int:
    """Return the number of MultiXacts so far, in the whole cluster."""
    engine = create_engine(database.engine.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CHECKPOINT"))
        number: int = connection.execute(text(NEXT)).scalar_one()
    engine.dispose()
    return number
