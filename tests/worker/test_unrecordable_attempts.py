"""Failed attempts cannot be stored: a role may not use their sequence, or a trigger of the platform fails."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from devtools.send import samples
from models.delivery import Delivery
from models.notification import Notification
from runtime.database import Database
from tests.raw_sql import sql
from tests.worker.harness import AT, START, Harness

TRIGGERS = {
    "postgresql": (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE insufficient_privilege USING MESSAGE = 'permission denied for sequence'; END $$",
        "CREATE TRIGGER refuse BEFORE INSERT ON failed_attempts FOR EACH ROW EXECUTE FUNCTION refuse()",
    ),
    "sqlite": (
        "CREATE TRIGGER refuse BEFORE INSERT ON failed_attempts"
        " BEGIN SELECT RAISE(ABORT, 'permission denied for sequence'); END",
    ),
}


@pytest.fixture
def refused_attempts(database: Database) -> Iterator[None]:
    with database.engine.begin() as connection:
        for statement in TRIGGERS[connection.dialect.name]:
            connection.execute(sql(connection, statement))
    yield
    if database.supports_skip_locked:
        with database.engine.begin() as connection:
            connection.execute(text("DROP FUNCTION refuse CASCADE"))


def test_the_delivery_fails_with_the_reason_and_no_other(harness: Harness, refused_attempts: None) -> None:
    """Otherwise it would stay as if untried, and `status` would say that nothing needs a person."""
    failing, good = harness.deliver(b"no JSON", samples.created("b1", START, AT))
    for _ in range(3):
        harness.process_due()
    rows = {row.id: row for row in harness.all(Delivery)}
    assert (rows[good].status, rows[failing].status, rows[failing].attempts) == ("done", "pending", 1)
    assert "permission denied for sequence" in rows[failing].last_error
    assert len(harness.all(Notification)) == 1
