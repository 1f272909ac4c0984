"""Claims: after a worker's death its rows are known, and are tried alone."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from models.attempt import FailedAttempt
from models.booking import Booking
from models.claim import Claim
from models.delivery import Delivery, NewDelivery
from models.migrate import migrate
from models.notification import Notification
from models.retryable import MAX_CRASHES, WORKER_DIED
from runtime.database import Database
from runtime.encryption import EncryptedBody
from tests.raw_sql import sql

NOW = datetime.now(UTC)
AGE = timedelta(seconds=5)
NORMAL, FULL = 1, 2
"""Of SQLite's `synchronous`."""


def deliver(database: Database, *ids: str) -> None:
    with database.transaction() as session:
        Delivery.accept(session, [NewDelivery(name, "default", EncryptedBody(b"{}", None), NOW) for name in ids])


def add_notifications(database: Database, *ids: int) -> None:
    booking = dict(status="confirmed", attendees=[], host_ids=[], metadata_={}, facts={}, version="", revision=1)
    columns = dict(booking_id="b1", kind="created", channel="log", recipient="", fingerprint="", payload={})
    times = dict(due_at=NOW, created_at=NOW)
    with database.transaction() as session:
        session.add(Booking(id="b1", as_of=NOW, created_at=NOW, updated_at=NOW, **booking))
        session.add_all(Notification(id=number, key=str(number), attempts=0, **columns, **times) for number in ids)


def rows(database: Database) -> dict[str, tuple[str, bool, int]]:
    with database.read_only() as session:
        return {row.id: (row.status, row.is_isolated, row.crashes) for row in session.scalars(select(Delivery))}


def claims(database: Database) -> dict[str, list[str]]:
    with database.read_only() as session:
        return {claim.worker: claim.row_ids for claim in session.scalars(select(Claim))}


def recover(database: Database, worker: str = "w") -> int:
    with database.transaction() as session:
        return len(Claim.recover(session, worker, NOW))


def recover_stale(database: Database, now: datetime = NOW) -> int:
    with database.transaction() as session:
        return len(Claim.recover_stale(session, AGE, now))


def age_claims(database: Database) -> None:
    with database.transaction() as session:
        session.execute(update(Claim).values(claimed_at=NOW - 2 * AGE))


def test_a_claim_is_committed_at_once_and_replaces_the_workers_last_one(database: Database) -> None:
    Claim.record(database, "w", "inbox", ["a"], NOW)
    Claim.record(database, "w", "inbox", ["b", "c"], NOW)
    Claim.record(database, "v", "outbox", [1], NOW)
    assert claims(database) == {"w": ["b", "c"], "v": [1]}
    with database.transaction() as session:
        Claim.release(session, "w")
    Claim.discard(database, "v")
    assert claims(database) == {}


def test_a_claim_is_written_without_fsync_and_later_commits_are_not(tmp_path: object) -> None:
    database = Database(f"sqlite:///{tmp_path}/claims.db", pool_size=1)
    migrate(database.engine)
    Claim.record(database, "w", "inbox", ["a"], NOW)
    assert synchronous(database) == FULL
    with suppress(ZeroDivisionError), database.unsynced_transaction() as session:
        Claim.write(session, "w", "inbox", ["b"], NOW)
        assert session.connection().exec_driver_sql("PRAGMA synchronous").scalar() == NORMAL
        raise ZeroDivisionError
    assert synchronous(database) == FULL
    assert claims(database) == {"w": ["a"]}
    database.close()


def synchronous(database: Database) -> int:
    with database.engine.connect() as connection:
        return int(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())


def test_the_rows_of_a_batch_are_isolated_after_their_worker_died(database: Database) -> None:
    deliver(database, "a", "b", "c", "other")
    with database.transaction() as session:
        session.get_one(Delivery, "c").finish(NOW)
    Claim.record(database, "w", "inbox", ["a", "b", "c"], NOW)
    assert recover(database) == 2
    assert rows(database) == {
        "a": ("pending", True, 0),
        "b": ("pending", True, 0),
        "c": ("done", False, 0),
        "other": ("pending", False, 0),
    }
    assert claims(database) == {}
    assert recover(database) == 0


def test_a_row_that_crashes_three_workers_alone_is_dead_and_a_replay_resets_the_count(database: Database) -> None:
    deliver(database, "a")
    for crashes in range(1, MAX_CRASHES + 1):
        Claim.record(database, "w", "inbox", ["a"], NOW)
        recover(database)
        assert rows(database)["a"] == ("dead" if crashes == MAX_CRASHES else "pending", True, crashes)
    with database.transaction() as session:
        (attempt,) = session.scalars(select(FailedAttempt)).all()
        assert (attempt.delivery_id, attempt.outcome, attempt.error) == ("a", "dead", WORKER_DIED)
        session.get_one(Delivery, "a").replay(NOW)
    assert rows(database)["a"] == ("pending", False, 0)


def test_notifications_count_crashes_too_and_are_due_at_once(database: Database) -> None:
    add_notifications(database, 1, 2, 3)
    with database.transaction() as session:
        session.execute(update(Notification).values(due_at=NOW + timedelta(minutes=1), claimed_by="w"))
        session.get_one(Notification, 3).claimed_by = "v"
    Claim.record(database, "w", "outbox", [1], NOW)
    assert recover(database) == 1
    with database.read_only() as session:
        found = {
            row.id: (row.is_isolated, row.crashes, row.due_at, row.claimed_by)
            for row in session.scalars(select(Notification))
        }
    assert found == {
        1: (True, 1, NOW, None),
        2: (False, 0, NOW, None),
        3: (False, 0, NOW + timedelta(minutes=1), "v"),
    }


def test_a_notification_that_another_worker_leased_meanwhile_is_left_to_it(database: Database) -> None:
    """The dead one had released it: it was claimed with many and there was no time for it."""
    add_notifications(database, 1, 2)
    leased_until = NOW + timedelta(minutes=1)
    with database.transaction() as session:
        session.execute(update(Notification).values(due_at=leased_until, claimed_by="w"))
        session.get_one(Notification, 2).claimed_by = "alive"
    Claim.record(database, "w", "outbox", [1, 2], NOW)
    assert recover(database) == 1
    with database.read_only() as session:
        other = session.get_one(Notification, 2)
        assert (other.is_isolated, other.due_at, other.claimed_by) == (False, leased_until, "alive")


def test_a_stale_claim_is_recovered_once_its_rows_are_not_locked(database: Database) -> None:
    deliver(database, "a", "b")
    Claim.record(database, "w", "inbox", ["a", "b"], NOW)
    assert recover_stale(database) == 0
    age_claims(database)
    assert recover_stale(database) == 2
    assert claims(database) == {}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # PostgreSQL stores nothing that cannot be loaded
@pytest.mark.parametrize("is_known_dead", [True, False])
def test_a_row_that_cannot_be_loaded_stops_no_recovery(database: Database, is_known_dead: bool) -> None:
    deliver(database, "a", "b")
    Claim.record(database, "w", "inbox", ["a", "b"], NOW)
    age_claims(database)
    with database.engine.begin() as connection:
        connection.execute(sql(connection, "UPDATE deliveries SET received_at = 'yesterday' WHERE id = 'a'"))
    recover(database) if is_known_dead else recover_stale(database)
    assert claims(database) == {}
    with database.read_only() as session:
        assert {tuple(row) for row in session.execute(select(Delivery.id, Delivery.is_isolated))} == {
            ("a", True),
            ("b", True),
        }


def test_a_claim_from_the_future_is_stale(database: Database) -> None:
    deliver(database, "a")
    Claim.record(database, "w", "inbox", ["a"], NOW)
    with database.transaction() as session:
        session.execute(update(Claim).values(claimed_at=NOW + timedelta(days=1)))
    assert recover_stale(database) == 1


def test_a_claim_whose_rows_are_locked_is_not_recovered(database: Database) -> None:
    if not database.supports_skip_locked:
        pytest.skip("who holds the lock of SQLite keeps everybody out")
    deliver(database, "a", "b")
    Claim.record(database, "w", "inbox", ["a", "b"], NOW)
    age_claims(database)
    with database.transaction() as session:
        session.get_one(Delivery, "b", with_for_update=True)
        assert recover_stale(database) == 0
    assert claims(database) == {"w": ["a", "b"]}


@pytest.mark.parametrize(("attempts", "recovered"), [(1, 0), (0, 1)])
def test_a_delivery_of_which_meetergo_is_asked_is_left_to_its_worker_until_the_lease_ends(
    database: Database, attempts: int, recovered: int
) -> None:
    """A delivery that was never tried has no lease: a receiver with a wrong clock made it due so late."""
    deliver(database, "a")
    with database.transaction() as session:
        session.execute(update(Delivery).values(due_at=datetime.now(UTC) + timedelta(hours=1), attempts=attempts))
    Claim.record(database, "w", "inbox", ["a"], NOW)
    age_claims(database)
    assert recover_stale(database) == recovered
    with database.transaction() as session:
        session.execute(update(Delivery).values(due_at=NOW))
    assert recover_stale(database) == 1 - recovered


def test_a_leased_notification_is_not_recovered(database: Database) -> None:
    add_notifications(database, 1)
    with database.transaction() as session:
        session.execute(update(Notification).values(due_at=datetime.now(UTC) + timedelta(minutes=1), claimed_by="w"))
    Claim.record(database, "w", "outbox", [1], NOW)
    age_claims(database)
    assert recover_stale(database, datetime.now(UTC)) == 0
    with database.transaction() as session:
        session.execute(update(Notification).values(due_at=NOW))
    assert recover_stale(database, datetime.now(UTC)) == 1
