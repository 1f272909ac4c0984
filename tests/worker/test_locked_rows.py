"""The platform holds a lock on a row of ours, or of its own, for minutes: only what needs that row waits."""

from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from devtools.send import samples
from meetergo_inbox import BookingSnapshot, ChangeSnapshot
from models.delivery import Delivery
from models.employee import Employee
from models.platform_user import PlatformUser
from runtime.database import Database
from tests.raw_sql import sql
from tests.worker.harness import AT, START, Harness
from worker.maintenance.sweeper import link_new_users

pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)  # SQLite has one lock for all
LOCKED = 4
"""Deliveries that need the locked row, and batches: each had time for one of them only."""


TIMEOUTS: list[str] = []
"""The hook's timeout at each of its calls."""


def booking(host: int, number: int) -> dict[str, object]:
    return samples.created(f"b{host}-{number}", START, AT) | {"hostIds": [f"host-{host}"]}


def add_hosts(harness: Harness) -> None:
    for number in (1, 2):
        harness.add_user(external_id=str(number), meetergo_user_id=f"host-{number}")


def lock_in_hook(session: Session, _booking: BookingSnapshot, _change: ChangeSnapshot) -> None:
    TIMEOUTS.append(session.execute(text("SHOW lock_timeout")).scalar_one())
    session.execute(text("SELECT pg_advisory_xact_lock_shared(1)"))


def test_who_needs_a_locked_row_delays_no_other(harness: Harness, database: Database) -> None:
    add_hosts(harness)
    harness.deliver(*(booking(1, number) for number in range(LOCKED)), booking(2, 0))
    with database.engine.begin() as connection:
        connection.execute(sql(connection, "SELECT id FROM platform_users WHERE id = 1 FOR UPDATE"))
        for _ in range(LOCKED):
            harness.services.inbox.process_due()
        statuses = {str(row.booking_id): row.status for row in harness.all(Delivery)}
    assert statuses == {f"b1-{number}": "pending" for number in range(LOCKED)} | {"b2-0": "done"}


def test_after_a_hook_that_waited_for_long_the_next_wait_less(
    open_harness: Callable[..., Harness], database: Database
) -> None:
    harness = open_harness(platform_hook=f"{__name__}:lock_in_hook")
    TIMEOUTS.clear()
    with database.engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(1)"))
        for number in range(2):
            harness.process(booking(1, number))
    assert TIMEOUTS == ["2s", "100ms"]


def test_a_locked_user_keeps_no_other_from_being_linked(harness: Harness, database: Database) -> None:
    for number in (1, 2):
        harness.add_user(external_id=str(number), email=f"{number}@example.com")
        with database.transaction() as session:
            session.add(Employee(meetergo_user_id=f"host-{number}", email=f"{number}@example.com", created_at=AT))
    with database.engine.begin() as connection:
        connection.execute(sql(connection, "SELECT id FROM platform_users WHERE id = 1 FOR UPDATE"))
        link_new_users(harness.services, START)
        assert [user.linked_as for user in harness.all(PlatformUser)] == [None, "host-2/"]
    link_new_users(harness.services, START)
    assert [user.linked_as for user in harness.all(PlatformUser)] == ["host-1/", "host-2/"]


def test_a_mapped_user_who_is_locked_is_linked_later(harness: Harness, database: Database) -> None:
    add_hosts(harness)
    with database.engine.begin() as connection:
        connection.execute(sql(connection, "SELECT id FROM platform_users WHERE id = 1 FOR UPDATE"))
        link_new_users(harness.services, START)
        assert [user.linked_as for user in harness.all(PlatformUser)] == [None, "host-2/"]
    link_new_users(harness.services, START)
    assert [user.linked_as for user in harness.all(PlatformUser)] == ["host-1/", "host-2/"]
