"""The platform lets nobody update one of its hosts, such as by a check that an older row does not pass."""

from collections.abc import Iterator

import pytest

from models.incident import Incident
from models.platform_user import PlatformUser
from runtime.database import Database
from tests.raw_sql import sql
from tests.worker.harness import START, Harness
from worker.maintenance.sweeper import link_new_users

CHECKS = {
    "postgresql": "ALTER TABLE platform_users ADD CONSTRAINT has_email CHECK (email <> '') NOT VALID",
    "sqlite": "CREATE TRIGGER has_email BEFORE UPDATE ON platform_users WHEN NEW.email = ''"
    " BEGIN SELECT RAISE(ABORT, 'no e-mail'); END",
}


@pytest.fixture
def check(harness: Harness, database: Database) -> Iterator[None]:
    """A host without an e-mail, another one, and a check that the first does not pass."""
    for number, email in (("1", ""), ("2", "host@example.com")):
        harness.add_user(external_id=number, meetergo_user_id=f"host-{number}", email=email)
    with database.engine.begin() as connection:
        connection.execute(sql(connection, CHECKS[connection.dialect.name]))
    yield
    if database.supports_skip_locked:
        with database.engine.begin() as connection:
            connection.execute(sql(connection, "ALTER TABLE platform_users DROP CONSTRAINT has_email"))


def test_a_host_whom_nobody_may_update_keeps_no_other_from_being_linked(harness: Harness, check: None) -> None:
    link_new_users(harness.services, START)
    assert [user.linked_as for user in harness.all(PlatformUser)] == [None, "host-2/"]
    assert [incident.kind for incident in harness.all(Incident)] == ["link_skipped"]
