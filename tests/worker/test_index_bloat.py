"""Traces: what was worked off leaves nothing in the way of what waits.

PostgreSQL keeps a row that is locked before a savepoint and changed in it as two transactions' (a MultiXact). No reader
ever learns that such a row is dead, so each search for what waits visits all that was worked off since the last vacuum.
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
def test_no_row_is_two_transactions_at_once(
    database: Database, open_harness: Callable[..., Harness], hook: str
) -> None:
    harness = open_harness(notify_default="log:", platform_hook=hook)
    before = multixacts(database)
    harness.deliver(*mix.same_event("booking_created", None, "traces", COUNT, datetime.now(UTC)))
    harness.process_due()
    harness.send_all()
    assert [delivery.status for delivery in harness.all(Delivery)] == ["done"] * COUNT
    assert multixacts(database) == before


def multixacts(database: Database) -> int:
    """How many there were of them until now, in the whole cluster."""
    engine = create_engine(database.engine.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CHECKPOINT"))
        number: int = connection.execute(text(NEXT)).scalar_one()
    engine.dispose()
    return number
